"""The non-local operation over the whole input: every position sees every other.

The backward pass recomputes the softmax from the logits, which the carry keeps anyway, and the
saved normalisers; see `tile.py`.
"""

import jax
import jax.numpy as jnp

from nlrn_jax import tile


def whole(theta, phi, g, correlation, size):
    """Respond to each position with the softmax-weighted mean of `g` over the input.

    Args:
      theta, phi: [N, H, W, l]; g: [N, H, W, m].
      correlation: logits carried from the states before, [N, HW, HW], float32, or None where
        nothing is carried.
      size: int32 [2], rows and columns that hold an image, or None for all.

    Returns:
      The response [N, H, W, m] and the new correlation (None where nothing is carried).
    """
    n, height, width, _ = theta.shape
    mask = None
    if size is not None:
        inside = within(size, (height, width)).reshape(-1)
        mask = jnp.where(inside, 0.0, tile.MASKED)
    flat = (x.reshape(n, height * width, -1) for x in (theta, phi, g))
    response, correlation = _respond(*flat, correlation, mask)
    return response.reshape(g.shape), correlation


def zero_correlation(shape: tuple[int, ...]) -> jax.Array:
    """Return the correlation before the first state: float32 [N, HW, HW]."""
    n, height, width = shape[:3]
    return jnp.zeros((n, height * width, height * width), jnp.float32)


def within(size: jax.Array, shape: tuple[int, int]) -> jax.Array:
    """Mark the positions [H, W] that hold the image: bool."""
    return (jnp.arange(shape[0]) < size[0])[:, None] & (jnp.arange(shape[1]) < size[1])


@jax.custom_vjp
def _respond(theta, phi, g, correlation, mask):
    response, _, correlation = _forward(theta, phi, g, correlation, mask)
    return response, correlation


def _respond_forward(theta, phi, g, correlation, mask):
    response, normaliser, correlation = _forward(theta, phi, g, correlation, mask)
    return (response, correlation), (theta, phi, g, correlation, mask, normaliser, response)


def _forward(theta, phi, g, correlation, mask):
    def of_one_image(theta, phi, g, carried):
        response, normaliser, logits = tile.respond(theta, phi, g, carried, mask)
        return response, normaliser, None if carried is None else logits

    return jax.vmap(of_one_image)(theta, phi, g, correlation)


def _respond_backward(residuals, gradients):
    theta, phi, g, correlation, mask, normaliser, response = residuals
    d_response, d_correlation = gradients
    overlap = jnp.sum(response.astype(jnp.float32) * d_response, -1, keepdims=True)

    def of_one_image(theta, phi, g, logits, normaliser, overlap, d_response, d_logits):
        d_theta, d_phi, d_g, d_carried = tile.respond_backward(
            theta, phi, g, logits, mask, normaliser, overlap, d_response, d_logits
        )
        d_phi, d_g = d_phi.astype(phi.dtype), d_g.astype(g.dtype)
        return d_theta, d_phi, d_g, None if logits is None else d_carried

    gradients = jax.vmap(of_one_image)(
        theta, phi, g, correlation, normaliser, overlap, d_response, d_correlation
    )
    return *gradients, None


_respond.defvjp(_respond_forward, _respond_backward)
