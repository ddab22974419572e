"""The correlation handed from state to state, without being kept in every state for the gradient.

The backward pass of a state needs the logits of that state, [N, HW, HW] for the whole input: kept
for twelve states they are most of the memory of training. But the correlation is a running sum,

    correlation_t = correlation_{t-1} + theta_t phi_t^T,

so that each can be had from the next, and the backward pass walks from the last state to the
first. Only what is handed on beside the gradients is missing, and an *echo* does that: a second
carry that is zero and unused on the way forward (compilers drop it), whose "gradient" on the way
back is, by agreement, the correlation after the state. `finish` starts it with that of the last
state; each state works with it, subtracts its own part, and hands the rest to the state before.

Two forms, the same function: the logits themselves, or the *embeddings* of all states so far side
by side, whose product they are.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from nlrn_jax.network.non_local import backward, forward, initial_correlation, undo


class Carry(NamedTuple):
    """The correlation between two states, and its echo.

    Attributes:
      value: logits, or a pair (thetas, phis) [N, H, W, T l], zero for the states to come.
      echo: like the value.
    """

    value: jax.Array | tuple[jax.Array, jax.Array]
    echo: jax.Array | tuple[jax.Array, jax.Array]


def start_logits(shape: tuple[int, ...], neighborhood: int | None) -> Carry:
    """Return the correlation before the first state for features [N, H, W, ...], as logits."""
    zero = initial_correlation(shape, neighborhood)
    return Carry(zero, zero)


def start_embeddings(shape: tuple[int, ...], width: int, dtype: str) -> Carry:
    """Return the same as embeddings; `width` is T l, that of all states side by side."""
    zero = jnp.zeros((*shape[:3], width), dtype)
    return Carry((zero, zero), (zero, zero))


@functools.partial(jax.custom_vjp, nondiff_argnums=(5,))
def propagate_logits(theta, phi, g, carry: Carry, size, neighborhood):
    """Apply the non-local operation to a carry of logits: response [N, H, W, m] and new carry.

    Arguments as those of `non_local`.
    """
    response, _, value = forward(theta, phi, g, carry.value, size, neighborhood)
    return response, Carry(value, carry.echo)


def _logits_forward(theta, phi, g, carry, size, neighborhood):
    response, normaliser, value = forward(theta, phi, g, carry.value, size, neighborhood)
    return (response, Carry(value, carry.echo)), (theta, phi, g, size, normaliser, response)


def _logits_backward(neighborhood, residuals, gradients):
    theta, phi, g, size, normaliser, response = residuals
    d_response, (d_value, value) = gradients
    kept = theta, phi, g, value, size, normaliser, response
    *by_inputs, d_value = backward(neighborhood, kept, d_response, d_value)
    return *by_inputs, Carry(d_value, undo(theta, phi, value, neighborhood)), None


propagate_logits.defvjp(_logits_forward, _logits_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(6,))
def propagate_embeddings(theta, phi, g, carry: Carry, index, size, neighborhood):
    """Apply the non-local operation to a carry of embeddings: response and new carry.

    `index` is the number of states before this one; other arguments as those of `non_local`.
    """
    value = _placed(carry.value, (theta, phi), index)
    response, _, _ = forward(*value, g, None, size, neighborhood)
    return response, Carry(value, carry.echo)


def _embeddings_forward(theta, phi, g, carry, index, size, neighborhood):
    value = _placed(carry.value, (theta, phi), index)
    response, normaliser, _ = forward(*value, g, None, size, neighborhood)
    empty = jnp.zeros_like(theta[:0])  # of the width of one state
    return (response, Carry(value, carry.echo)), (g, index, size, normaliser, response, empty)


def _embeddings_backward(neighborhood, residuals, gradients):
    g, index, size, normaliser, response, empty = residuals
    d_response, (d_later, value) = gradients
    kept = *value, g, None, size, normaliser, response
    *d_value, d_g, _ = backward(neighborhood, kept, d_response, None)
    d_value = jax.tree.map(jnp.add, tuple(d_value), d_later)
    shape = *g.shape[:3], empty.shape[-1]
    d_theta, d_phi = (_cut(d, index, shape) for d in d_value)
    nothing = (jnp.zeros(shape, empty.dtype),) * 2
    earlier = Carry(_placed(d_value, nothing, index), _placed(value, nothing, index))
    return d_theta, d_phi, d_g, earlier, None, None


propagate_embeddings.defvjp(_embeddings_forward, _embeddings_backward)


@jax.custom_vjp
def finish(features: jax.Array, carry: Carry) -> jax.Array:
    """Return the features of the last state; on the way back, start the echo."""
    return features


def _finish_forward(features, carry):
    return features, carry.value


def _finish_backward(value, d_features):
    return d_features, Carry(jax.tree.map(jnp.zeros_like, value), value)


finish.defvjp(_finish_forward, _finish_backward)


def _placed(stacks, states, index):
    """Put theta and phi of a state at their place among those of all states."""
    return tuple(
        lax.dynamic_update_slice_in_dim(stack, new, index * new.shape[-1], axis=3)
        for stack, new in zip(stacks, states, strict=True)
    )


def _cut(stack, index, shape):
    return lax.dynamic_slice_in_dim(stack, index * shape[-1], shape[-1], axis=3)
