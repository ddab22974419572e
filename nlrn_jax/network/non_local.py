"""The non-local operation: every position looks at the positions of its neighborhood.

    correlation_ij = correlation'_ij + theta_i . phi_j      correlation' of the state before
    response_i     = sum_j softmax_j(correlation_ij) g_j    j in the q x q window around i

(Liu et al. 2018, section 3; without 1 / sqrt(l), as in the authors' programs.)

Pure functions. Correlation and softmax are float32 whatever the inputs are.
"""

import functools

import jax
from jax.ad_checkpoint import checkpoint_name

from nlrn_jax.network import whole, windowed
from nlrn_jax.network.mesh import on_each_device

KEPT = ("response", "normaliser")  # by rematerialisation: with these, no logits are formed again


def non_local(
    theta: jax.Array,
    phi: jax.Array,
    g: jax.Array,
    correlation: jax.Array | None = None,
    neighborhood: int | None = None,
    size: jax.Array | None = None,
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

    Returns:
      response [N, H, W, m] in the dtype of `g`, and the new correlation: logits before the
      softmax, unmasked, float32, [N, HW, HW] for the whole input and [tiles, queries, keys] for
      windows (see `windowed.py`), about 4 (q + 7)(q + 15) bytes a position.

    Raises:
      ValueError: shapes that do not belong together, or a neighborhood that is not odd.
    """
    _check(theta, phi, g, neighborhood)
    correlation = _started(correlation, theta.shape, neighborhood)
    return _respond(theta, phi, g, correlation, size, neighborhood)


def respond(theta, phi, g, neighborhood=None, size=None) -> jax.Array:
    """Return the response of `non_local` alone, where nothing is carried: [N, H, W, m].

    No logits are kept for the gradient either: it forms them again.
    """
    return _respond(theta, phi, g, None, size, neighborhood)[0]


def initial_correlation(shape, neighborhood=None) -> jax.Array:
    """Return the correlation before the first state, zero, for inputs [N, H, W, ...]."""
    if neighborhood is None:
        return whole.zero_correlation(shape)
    return windowed.zero_correlation(shape, neighborhood)


def forward(theta, phi, g, correlation, size, neighborhood):
    """Return response, normaliser and correlation in the form of the neighborhood."""
    _check(theta, phi, g, neighborhood)

    def of_windows(theta, phi, g, correlation):
        return windowed.forward(theta, phi, g, correlation, size, neighborhood)

    if neighborhood is None:
        parts = whole.forward(theta, phi, g, correlation, size)
    else:
        parts = on_each_device(of_windows, theta, phi, g, correlation)
    response, normaliser, correlation = parts
    return *map(checkpoint_name, (response, normaliser), KEPT), correlation


def backward(neighborhood, residuals, d_response, d_correlation):
    """Return the gradients by theta, phi, g and carried correlation.

    `residuals`: the inputs of `forward` but for the neighborhood, with the correlation that it
    returned instead of the one it was given, then its normaliser and response.
    """
    *inputs, size, normaliser, response = residuals
    if neighborhood is None:
        return whole.backward(*residuals, d_response, d_correlation)

    def of_windows(theta, phi, g, correlation, *others):
        return windowed.backward(theta, phi, g, correlation, size, *others, neighborhood)

    return on_each_device(of_windows, *inputs, normaliser, response, d_response, d_correlation)


def undo(theta, phi, correlation, neighborhood) -> jax.Array:
    """Return the correlation before the state that added `theta` and `phi` to it."""
    if neighborhood is None:
        return whole.undo(theta, phi, correlation)
    of_windows = functools.partial(windowed.undo, neighborhood=neighborhood)
    return on_each_device(of_windows, theta, phi, correlation)


@functools.partial(jax.custom_vjp, nondiff_argnums=(5,))
def _respond(theta, phi, g, correlation, size, neighborhood):
    response, _, correlation = forward(theta, phi, g, correlation, size, neighborhood)
    return response, correlation


def _respond_forward(theta, phi, g, correlation, size, neighborhood):
    response, normaliser, correlation = forward(theta, phi, g, correlation, size, neighborhood)
    return (response, correlation), (theta, phi, g, correlation, size, normaliser, response)


def _respond_backward(neighborhood, residuals, gradients):
    return *backward(neighborhood, residuals, *gradients), None


_respond.defvjp(_respond_forward, _respond_backward)


def _check(theta, phi, g, neighborhood) -> None:
    if theta.ndim != 4 or theta.shape != phi.shape or theta.shape[:3] != g.shape[:3]:
        raise ValueError(
            "non_local wants theta and phi [N, H, W, l] and g [N, H, W, m], "
            f"got {theta.shape}, {phi.shape} and {g.shape}"
        )
    if neighborhood is not None and (neighborhood < 1 or neighborhood % 2 == 0):
        raise ValueError(f"{neighborhood=} must be odd and positive, or None for the whole input")


def _started(correlation, shape, neighborhood) -> jax.Array:
    """Return the correlation to add to, and refuse one of another input or neighborhood."""
    if correlation is None:
        return initial_correlation(shape, neighborhood)
    wanted = jax.eval_shape(lambda: initial_correlation(shape, neighborhood)).shape
    if correlation.shape != wanted:
        raise ValueError(
            f"correlation {correlation.shape} does not belong to theta {shape} and "
            f"{neighborhood=}: it should be {wanted}"
        )
    return correlation
