"""The non-local operation over the whole input: every position sees every other.

The backward pass recomputes the softmax from the logits and the saved normalisers; see `tile.py`.
"""

import jax
import jax.numpy as jnp

from nlrn_jax.network import response as tile


def forward(theta, phi, g, correlation, size):
    """Respond to each position with the softmax-weighted mean of `g` over the input.

    Args:
      theta, phi: [N, H, W, l]; g: [N, H, W, m].
      correlation: logits carried from the states before, [N, HW, HW], float32, or None where
        nothing is carried.
      size: int32 [2], rows and columns that hold an image, or None for all.

    Returns:
      The response [N, H, W, m], the normaliser [N, HW], and the new correlation (None where
      nothing is carried).
    """
    mask = _mask(size, theta.shape)

    def of_one_image(theta, phi, g, carried):
        response, normaliser, logits = tile.respond(theta, phi, g, carried, mask)
        return response, normaliser, None if carried is None else logits

    response, normaliser, correlation = jax.vmap(of_one_image)(
        _flat(theta), _flat(phi), _flat(g), correlation
    )
    return response.reshape(g.shape), normaliser, correlation


def backward(theta, phi, g, correlation, size, normaliser, response, d_response, d_correlation):
    """Return the gradients by theta, phi, g and the carried correlation.

    Args:
      theta, phi, g, size: as for `forward`.
      correlation, normaliser, response: what `forward` returned.
      d_response: like the response; d_correlation: like the correlation, from the states after.
    """
    mask = _mask(size, theta.shape)
    overlap = jnp.sum(response.astype(jnp.float32) * d_response, -1, keepdims=True)

    def of_one_image(theta, phi, g, logits, normaliser, overlap, d_response, d_logits):
        d_theta, d_phi, d_g, d_carried = tile.respond_backward(
            theta, phi, g, logits, mask, normaliser, overlap, d_response, d_logits
        )
        d_phi, d_g = d_phi.astype(phi.dtype), d_g.astype(g.dtype)
        return d_theta, d_phi, d_g, None if logits is None else d_carried

    d_theta, d_phi, d_g, d_carried = jax.vmap(of_one_image)(
        _flat(theta), _flat(phi), _flat(g), correlation, normaliser, _flat(overlap),
        _flat(d_response), d_correlation,
    )  # fmt: skip
    return d_theta.reshape(theta.shape), d_phi.reshape(phi.shape), d_g.reshape(g.shape), d_carried


def undo(theta, phi, correlation):
    """Return the correlation before the state that added `theta` and `phi` to it."""
    return correlation - jax.vmap(lambda a, b: tile.product(a, b, (1, 1)))(_flat(theta), _flat(phi))


def zero_correlation(shape: tuple[int, ...]) -> jax.Array:
    """Return the correlation before the first state: float32 [N, HW, HW]."""
    n, height, width = shape[:3]
    return jnp.zeros((n, height * width, height * width), jnp.float32)


def within(size: jax.Array, shape: tuple[int, int]) -> jax.Array:
    """Mark the positions [H, W] that hold the image: bool."""
    return (jnp.arange(shape[0]) < size[0])[:, None] & (jnp.arange(shape[1]) < size[1])


def _flat(x):
    return x.reshape(x.shape[0], -1, x.shape[-1])


def _mask(size, shape):
    """Return 0 or tile.MASKED for each key: [HW], or None where all are seen."""
    if size is None:
        return None
    return jnp.where(within(size, shape[1:3]).reshape(-1), 0.0, tile.MASKED)
