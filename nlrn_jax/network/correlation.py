"""The correlation on its way from state to state, and the four ways to carry it.

The backward pass of a state needs the logits of that state, [N, HW, HW] for the whole input: kept
for twelve states they are most of the memory of training. But the correlation is a running sum,

    correlation_t = correlation_{t-1} + theta_t phi_t^T,

so that each can be had from the next, and the backward pass walks from the last state to the
first. Only what is handed on beside the gradients is missing, and an *echo* does that: a second
carry that is zero and unused on the way forward (compilers drop it), whose "gradient" on the way
back is, by agreement, the correlation after the state. `finish` starts it with that of the last
state; each state works with it, subtracts its own part, and hands the rest to the state before.

`carrier_of` chooses the way by the fields of a network: those of its recipe in training; where
pictures are restored, `restoring/tiles.py` sets `carry` by the memory that there is.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jax import lax

from nlrn_jax.network.mesh import laid_as, on_each_device
from nlrn_jax.network.non_local import Form, form_of, respond
from nlrn_jax.network.response import Residuals

Result = TypeVar("Result")
Stack = tuple[jax.Array, jax.Array]  # theta and phi of all states, zero for those to come


class Carry(NamedTuple):
    """The correlation between two states, and its echo.

    Attributes:
      value: logits, or theta and phi of all states side by side, [N, H, W, T l] each.
      echo: like the value.
    """

    value: jax.Array | Stack
    echo: jax.Array | Stack


Correlation = jax.Array | Carry | None


class Carrier(NamedTuple):
    """How the correlation is carried.

    Attributes:
      start: (features [N, H, W, F], width T l of the embeddings of all T states side by side,
        their dtype) -> the correlation before the first state.
      respond: (theta, phi, g, correlation, index, size) -> the response and the new correlation.
        `index` counts the states before this one; the others are as those of `non_local`.
      finish: (features of the last state, its correlation) -> the features.
    """

    start: Callable[[jax.Array, int, str], Correlation]
    respond: Callable[..., tuple[jax.Array, Correlation]]
    finish: Callable[[jax.Array, Correlation], jax.Array]


@functools.cache
def carrier_of(
    neighborhood: int | None, propagate: bool, carry: str, remat: str, weights: str = "softmax"
) -> Carrier:
    """Return how the correlation is carried; arguments as the attributes of `NLRN`.

    Raises:
      ValueError: carry, remat, neighborhood or weights is not one of those.
    """
    if carry not in ("logits", "embeddings"):
        raise ValueError(f"{carry=} should be 'logits' or 'embeddings'")
    if remat not in ("nothing", "correlation", "states"):
        raise ValueError(f"{remat=} should be 'nothing', 'correlation' or 'states'")
    form = form_of(neighborhood, weights)
    if not propagate:
        return _anew(form)
    if carry == "embeddings":
        return _stacked(form)
    return _kept(form) if remat == "nothing" else _undone(form)


def _anew(form: Form) -> Carrier:
    """Carry nothing, not even at the start: every state compares anew."""
    return _kept(form)._replace(start=lambda features, width, dtype: None)


def _kept(form: Form) -> Carrier:
    """Carry the logits, and keep those of every state for the gradient: the fastest."""
    return Carrier(
        start=lambda features, width, dtype: form.zero(features),
        respond=lambda theta, phi, g, logits, index, size: respond(
            theta, phi, g, logits, size, form
        ),
        finish=lambda features, logits: features,
    )


def _undone(form: Form) -> Carrier:
    """Carry the logits; on the way back, have those of a state from those of the next."""

    def start(features: jax.Array, width: int, dtype: str) -> Carry:
        zero = form.zero(features)
        return Carry(zero, zero)

    return Carrier(
        start,
        respond=lambda theta, phi, g, carry, index, size: _respond_to_logits(
            theta, phi, g, carry, size, form
        ),
        finish=_finish,
    )


def _stacked(form: Form) -> Carrier:
    """Carry theta and phi of all states, whose product the correlation is: the least memory."""

    def start(features: jax.Array, width: int, dtype: str) -> Carry:
        def zeros(share: jax.Array) -> jax.Array:
            return jnp.zeros_like(share, dtype, (*share.shape[:3], width))

        zero = on_each_device(zeros, features)
        return Carry((zero, zero), (zero, zero))

    return Carrier(
        start,
        respond=lambda theta, phi, g, carry, index, size: _respond_to_stack(
            theta, phi, g, carry, index, size, form
        ),
        finish=_finish,
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(5,))
def _respond_to_logits(
    theta: jax.Array,
    phi: jax.Array,
    g: jax.Array,
    carry: Carry,
    size: jax.Array | None,
    form: Form,
) -> tuple[jax.Array, Carry]:
    response, _, value = form.alone(theta, phi, g, carry.value, size)
    return response, Carry(value, carry.echo)


def _logits_forward(
    theta: jax.Array,
    phi: jax.Array,
    g: jax.Array,
    carry: Carry,
    size: jax.Array | None,
    form: Form,
) -> tuple[tuple[jax.Array, Carry], Residuals]:
    response, normaliser, value = form.forward(theta, phi, g, carry.value, size)
    residuals = Residuals(theta, phi, g, None, size, normaliser, response)  # the echo has the rest
    return (response, Carry(value, carry.echo)), residuals


def _logits_backward(
    form: Form, residuals: Residuals, gradients: tuple[jax.Array, Carry]
) -> tuple[jax.Array, jax.Array, jax.Array, Carry, None]:
    d_response, (d_value, value) = gradients
    *by_inputs, d_value = form.backward(residuals._replace(correlation=value), d_response, d_value)
    earlier = form.undo(residuals.theta, residuals.phi, value)
    return *by_inputs, Carry(d_value, earlier), None


_respond_to_logits.defvjp(_logits_forward, _logits_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(6,))
def _respond_to_stack(
    theta: jax.Array,
    phi: jax.Array,
    g: jax.Array,
    carry: Carry,
    index: jax.Array,
    size: jax.Array | None,
    form: Form,
) -> tuple[jax.Array, Carry]:
    return _stack_forward(theta, phi, g, carry, index, size, form)[0]


class _StackResiduals(NamedTuple):
    """What a state keeps of its forward pass; theta and phi are in the stack that the echo brings.

    `empty` is [0, H, W, l], of the width of one state.
    """

    g: jax.Array
    index: jax.Array
    size: jax.Array | None
    normaliser: jax.Array
    response: jax.Array
    empty: jax.Array


def _stack_forward(
    theta: jax.Array,
    phi: jax.Array,
    g: jax.Array,
    carry: Carry,
    index: jax.Array,
    size: jax.Array | None,
    form: Form,
) -> tuple[tuple[jax.Array, Carry], _StackResiduals]:
    value = _placed(carry.value, (theta, phi), index)

    def of_states(stack: Stack) -> tuple[jax.Array, jax.Array]:
        return form.forward(*stack, g, None, size)[:2]

    response, normaliser = _of_states_so_far(of_states, value, index, theta.shape[-1])
    empty = jnp.zeros_like(theta[:0])
    residuals = _StackResiduals(g, index, size, normaliser, response, empty)
    return (response, Carry(value, carry.echo)), residuals


def _stack_backward(
    form: Form, residuals: _StackResiduals, gradients: tuple[jax.Array, Carry]
) -> tuple[jax.Array, jax.Array, jax.Array, Carry, None, None]:
    g, index, size, normaliser, response, empty = residuals
    d_response, (d_later, value) = gradients
    shape = *g.shape[:3], empty.shape[-1]

    def of_states(stack: Stack) -> tuple[jax.Array, jax.Array, jax.Array]:
        kept = Residuals(*stack, g, None, size, normaliser, response)
        *d_stack, d_g, _ = form.backward(kept, d_response, None)
        missing = (0, value[0].shape[-1] - stack[0].shape[-1])
        return *(jnp.pad(d, [(0, 0)] * 3 + [missing]) for d in d_stack), d_g

    *d_value, d_g = _of_states_so_far(of_states, value, index, shape[-1])
    d_value = jax.tree.map(jnp.add, tuple(d_value), d_later)
    d_theta, d_phi = (_cut(d, index, shape) for d in d_value)
    nothing = tuple(laid_as(jnp.zeros_like(d), d) for d in (d_theta, d_phi))
    earlier = Carry(_placed(d_value, nothing, index), _placed(value, nothing, index))
    return d_theta, d_phi, d_g, earlier, None, None


_respond_to_stack.defvjp(_stack_forward, _stack_backward)


@jax.custom_vjp
def _finish(features: jax.Array, carry: Carry) -> jax.Array:
    """Return the features; on the way back, start the echo with the last state's correlation."""
    return features


def _finish_forward(features: jax.Array, carry: Carry) -> tuple[jax.Array, jax.Array | Stack]:
    return features, carry.value


def _finish_backward(value: jax.Array | Stack, d_features: jax.Array) -> tuple[jax.Array, Carry]:
    return d_features, Carry(jax.tree.map(jnp.zeros_like, value), value)


_finish.defvjp(_finish_forward, _finish_backward)


def _of_states_so_far(
    function: Callable[[Stack], Result], stack: Stack, index: jax.Array, width: int
) -> Result:
    """Apply a function to theta and phi of the states so far: those to come are zero.

    A branch for each state, since shapes are known when compiled: (T + 1) / 2T of the products.
    """

    def of_first(count: int, stack: Stack) -> Result:
        return function(tuple(x[..., : count * width] for x in stack))

    states = stack[0].shape[-1] // width
    return lax.switch(index, [functools.partial(of_first, n + 1) for n in range(states)], stack)


def _placed(stack: Stack, state: Stack, index: jax.Array) -> Stack:
    """Put theta and phi of a state at their place among those of all states."""
    return tuple(
        lax.dynamic_update_slice_in_dim(all_states, new, index * new.shape[-1], axis=3)
        for all_states, new in zip(stack, state, strict=True)
    )


def _cut(stack: jax.Array, index: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    return lax.dynamic_slice_in_dim(stack, index * shape[-1], shape[-1], axis=3)
