"""The non-local operation: every position looks at the positions of its neighborhood.

    correlation_ij = correlation'_ij + theta_i . phi_j      correlation' of the state before
    response_i     = sum_j softmax_j(correlation_ij) g_j    j in the q x q window around i

(Liu et al. 2018, section 3; without 1 / sqrt(l), as in the authors' programs.) Other weights than
the softmax are in `weighing.py`.

Pure functions. Correlation and weights are float32 whatever the inputs are.
"""

import functools
import operator
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from nlrn_jax.network import whole, windowed
from nlrn_jax.network.mesh import on_each_device
from nlrn_jax.network.response import Residuals
from nlrn_jax.network.weighing import MEAN, SOFTMAX, Weighing

WEIGHTS = {"softmax": SOFTMAX, "mean": MEAN}
KEPT = ("response", "normaliser")  # by rematerialisation: with these, no logits are formed again

Responded = tuple[jax.Array, jax.Array, jax.Array | None]  # response, normaliser, correlation
Gradients = tuple[jax.Array, jax.Array, jax.Array, jax.Array | None]  # theta, phi, g, correlation


class Form(NamedTuple):
    """The operation in the form that a neighborhood wants: over the whole input, or in windows.

    Attributes:
      forward: (theta, phi, g, correlation or None, size or None) -> `Responded`.
      alone: the same where no gradient follows; its normaliser is not to be read.
      backward: (residuals, gradient by response, gradient by correlation or None) -> `Gradients`.
      undo: (theta, phi, correlation) -> the correlation before the state that added them to it.
      zero: features [N, H, W, ...] -> the correlation before the first state.
    """

    forward: Callable[..., Responded]
    alone: Callable[..., Responded]
    backward: Callable[[Residuals, jax.Array, jax.Array | None], Gradients]
    undo: Callable[[jax.Array, jax.Array, jax.Array], jax.Array]
    zero: Callable[[jax.Array], jax.Array]


def form_of(neighborhood: int | None, weights: str = "softmax") -> Form:
    """Return the form of the operation for a neighborhood and the name of its weights.

    Raises:
      ValueError: the one is neither odd and positive, nor None, or the other is unknown.
    """
    if weights not in WEIGHTS:
        raise ValueError(f"{weights=} should be one of {', '.join(WEIGHTS)}")
    return _form(_side(neighborhood), WEIGHTS[weights])


@functools.cache
def _form(neighborhood: int | None, weighing: Weighing) -> Form:
    if neighborhood is None:
        forward = functools.partial(whole.forward, weighing=weighing)
        alone, undo, zero = forward, whole.undo, whole.zero
        backward = functools.partial(whole.backward, weighing=weighing)
    else:
        of_window = functools.partial(functools.partial, neighborhood=neighborhood)
        forward, alone = (
            of_window(windowed.forward, weighing=weighing, kept=kept) for kept in (True, False)
        )
        backward = of_window(windowed.backward, weighing=weighing)
        undo, zero = of_window(windowed.undo), of_window(windowed.zero)
    return Form(
        _named(_forward_by_share(forward)),
        _forward_by_share(alone),
        _backward_by_share(backward),
        functools.partial(on_each_device, undo),
        functools.partial(on_each_device, zero),
    )


def _side(neighborhood: int | None) -> int | None:
    """Return a neighborhood that can be one: 7.0 is none, though a cache would take it for 7."""
    try:
        side = None if neighborhood is None else operator.index(neighborhood)
    except TypeError:
        side = 0
    if side is not None and (side < 1 or side % 2 == 0):
        raise ValueError(f"{neighborhood=} must be odd and positive, or None for the whole input")
    return side


def non_local(
    theta: jax.Array,
    phi: jax.Array,
    g: jax.Array,
    correlation: jax.Array | None = None,
    neighborhood: int | None = None,
    size: jax.Array | None = None,
    weights: str = "softmax",
) -> tuple[jax.Array, jax.Array]:
    """Weigh `g` by the softmax of the correlation, carried from state to state.

    The carry may also be given as embeddings: since the correlation is a running sum, theta and
    phi of all states so far, side by side on the last axis, have this state's correlation as their
    product, and nothing of it needs to be stored.

    Args:
      theta, phi: embeddings of the queries and of the keys, [N, H, W, l].
      g: what is averaged, [N, H, W, m].
      correlation: what an earlier call returned; None in the first state.
      neighborhood: odd side q of the window centred on each position and cut at the image's
        border; None is the whole input.
      size: int32 [2], rows and columns that hold the image; the rest of H x W is padding that
        changes nothing. None: all of it.
      weights: 'softmax'; or 'mean', the correlation itself over the number of positions seen.

    Returns:
      response [N, H, W, m] in the dtype of `g`, and the new correlation: logits before they
      become weights, unmasked, float32, [N, HW, HW] for the whole input and [N, tiles,
      queries, keys] for windows (see `windowed.py`), about 4 (q + 7)(q + 15) bytes a position.

    Raises:
      ValueError: shapes that do not belong together, or are empty; a correlation of another
        dtype; a neighborhood that is not odd; weights of another name.
    """
    form = form_of(neighborhood, weights)
    check_shapes(theta, phi, g, size)
    if correlation is None:
        correlation = form.zero(theta)
    else:
        _check_correlation(correlation, form, theta, neighborhood)
    return respond(theta, phi, g, correlation, size, form)


@functools.partial(jax.custom_vjp, nondiff_argnums=(5,))
def respond(
    theta: jax.Array,
    phi: jax.Array,
    g: jax.Array,
    correlation: jax.Array | None,
    size: jax.Array | None,
    form: Form,
) -> tuple[jax.Array, jax.Array | None]:
    """Return response and new correlation, arguments as those of `non_local`.

    The logits are kept for the gradient. Where the correlation is None nothing is carried and
    nothing is kept: the gradient forms them again.
    """
    response, _, correlation = form.alone(theta, phi, g, correlation, size)
    return response, correlation


def _respond_forward(
    theta: jax.Array,
    phi: jax.Array,
    g: jax.Array,
    correlation: jax.Array | None,
    size: jax.Array | None,
    form: Form,
) -> tuple[tuple[jax.Array, jax.Array | None], Residuals]:
    response, normaliser, correlation = form.forward(theta, phi, g, correlation, size)
    residuals = Residuals(theta, phi, g, correlation, size, normaliser, response)
    return (response, correlation), residuals


def _respond_backward(
    form: Form, residuals: Residuals, gradients: tuple[jax.Array, jax.Array | None]
) -> tuple[jax.Array | None, ...]:
    return *form.backward(residuals, *gradients), None


respond.defvjp(_respond_forward, _respond_backward)


def _forward_by_share(forward: Callable[..., Responded]) -> Callable[..., Responded]:
    """Let each device respond for its share of the images."""

    def by_share(
        theta: jax.Array,
        phi: jax.Array,
        g: jax.Array,
        correlation: jax.Array | None,
        size: jax.Array | None,
    ) -> Responded:
        def of_share(*batched: jax.Array | None) -> Responded:
            return forward(*batched, size)  # one size for all images: every device has it

        return on_each_device(of_share, theta, phi, g, correlation)

    return by_share


def _backward_by_share(backward: Callable[..., Gradients]) -> Callable[..., Gradients]:
    """Let each device form the gradients of its share of the images."""

    def by_share(
        residuals: Residuals, d_response: jax.Array, d_correlation: jax.Array | None
    ) -> Gradients:
        def of_share(
            share: Residuals, d_response: jax.Array, d_correlation: jax.Array | None
        ) -> Gradients:
            return backward(share._replace(size=residuals.size), d_response, d_correlation)

        batched = residuals._replace(size=None)
        return on_each_device(of_share, batched, d_response, d_correlation)

    return by_share


def _named(forward: Callable[..., Responded]) -> Callable[..., Responded]:
    """Give what rematerialisation may keep its names."""

    def named(*arguments: jax.Array | None) -> Responded:
        response, normaliser, correlation = forward(*arguments)
        return *map(checkpoint_name, (response, normaliser), KEPT), correlation

    return named


def check_shapes(theta: jax.Array, phi: jax.Array, g: jax.Array, size: jax.Array | None) -> None:
    """Refuse what does not belong together, or is empty.

    Raises:
      ValueError: names the shapes.
    """
    if theta.ndim != 4 or theta.shape != phi.shape or theta.shape[:3] != g.shape[:3]:
        raise ValueError(
            "non_local wants theta and phi [N, H, W, l] and g [N, H, W, m], "
            f"got {theta.shape}, {phi.shape} and {g.shape}"
        )
    if not theta.size or not g.size:
        raise ValueError(f"non_local has nothing to look at in {theta.shape} and {g.shape}")
    check_size(size)


def check_size(size: jax.Array | None) -> None:
    """Refuse a size that is not rows and columns, int32 [2].

    Raises:
      ValueError: says what it is.
    """
    if size is None:
        return
    is_array = hasattr(size, "dtype")
    if not is_array or jnp.shape(size) != (2,) or jnp.result_type(size).kind not in "iu":
        raise ValueError(
            f"size should be rows and columns, int32 [2], not {size!r}: give jnp.array([H, W])"
        )


def _check_correlation(
    correlation: jax.Array, form: Form, theta: jax.Array, neighborhood: int | None
) -> None:
    """Refuse a correlation of another input or neighborhood.

    Raises:
      ValueError: says which it should be.
    """
    wanted = jax.eval_shape(form.zero, theta).shape
    if jnp.shape(correlation) != wanted or jnp.result_type(correlation) != jnp.float32:
        raise ValueError(
            f"correlation {jnp.shape(correlation)} {jnp.result_type(correlation)} does not belong "
            f"to theta {theta.shape} and {neighborhood=}: it should be {wanted}, float32"
        )
