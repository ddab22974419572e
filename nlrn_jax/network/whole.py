"""The non-local operation over the whole input: every position sees every other.

The backward pass recomputes the weights from the logits and the saved normalisers; see
`response.py`.
"""

import jax
import jax.numpy as jnp

from nlrn_jax.network.response import Residuals, Tile, product, respond, respond_backward
from nlrn_jax.network.weighing import SEEN_OR_MASKED, Weighing


def forward(
    theta: jax.Array,
    phi: jax.Array,
    g: jax.Array,
    correlation: jax.Array | None,
    size: jax.Array | None,
    weighing: Weighing,
) -> tuple[jax.Array, jax.Array, jax.Array | None]:
    """Respond to each position with the weighted mean of `g` over the input.

    Args:
      theta, phi: [N, H, W, l]; g: [N, H, W, m].
      correlation: logits carried from the states before, [N, HW, HW], float32, or None where
        nothing is carried.
      size: int32 [2], rows and columns that hold an image, or None for all.
      weighing: how the correlation becomes weights.

    Returns:
      The response [N, H, W, m], the normaliser [N, HW], and the new correlation (None where
      nothing is carried).
    """
    mask = _mask(size, theta.shape)

    def of_one_image(
        theta: jax.Array, phi: jax.Array, g: jax.Array, carried: jax.Array | None
    ) -> tuple[jax.Array, jax.Array, jax.Array | None]:
        response, normaliser, logits = respond(theta, phi, g, carried, mask, weighing)
        return response, normaliser, None if carried is None else logits

    response, normaliser, correlation = jax.vmap(of_one_image)(
        _flat(theta), _flat(phi), _flat(g), correlation
    )
    return response.reshape(g.shape), normaliser, correlation


def backward(
    residuals: Residuals,
    d_response: jax.Array,
    d_correlation: jax.Array | None,
    weighing: Weighing,
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array | None]:
    """Return the gradients by theta, phi, g and the carried correlation.

    Args:
      residuals: of the forward pass.
      d_response: like the response; d_correlation: like the correlation, from the states after.
      weighing: as it was in the forward pass.
    """
    theta, phi, g, correlation, size, normaliser, _ = residuals
    mask = _mask(size, theta.shape)

    def of_one_image(
        image: Tile, d_response: jax.Array, d_logits: jax.Array | None
    ) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array | None]:
        image = image._replace(mask=mask)
        d_theta, d_phi, d_g, d_carried = respond_backward(image, d_response, d_logits, weighing)
        d_phi, d_g = d_phi.astype(phi.dtype), d_g.astype(g.dtype)
        return d_theta, d_phi, d_g, None if image.logits is None else d_carried

    overlap = _flat(residuals.overlap(d_response))
    images = Tile(_flat(theta), _flat(phi), _flat(g), correlation, None, normaliser, overlap)
    d_theta, d_phi, d_g, d_carried = jax.vmap(of_one_image)(
        images, _flat(d_response), d_correlation
    )
    return d_theta.reshape(theta.shape), d_phi.reshape(phi.shape), d_g.reshape(g.shape), d_carried


def undo(theta: jax.Array, phi: jax.Array, correlation: jax.Array) -> jax.Array:
    """Return the correlation before the state that added `theta` and `phi` to it."""
    return correlation - jax.vmap(lambda a, b: product(a, b, (1, 1)))(_flat(theta), _flat(phi))


def zero(like: jax.Array) -> jax.Array:
    """Return the correlation of features [N, H, W, ...] before the first state.

    Float32 [N, HW, HW], on the devices where the features are.
    """
    n, height, width = like.shape[:3]
    return jnp.zeros_like(like, jnp.float32, (n, height * width, height * width))


def within(size: jax.Array, shape: tuple[int, int]) -> jax.Array:
    """Mark the positions [H, W] that hold the image: bool."""
    rows, columns = (jnp.arange(length, dtype=jnp.int32) for length in shape)
    return (rows < size[0])[:, None] & (columns < size[1])[None]


def _flat(x: jax.Array) -> jax.Array:
    return x.reshape(x.shape[0], -1, x.shape[-1])


def _mask(size: jax.Array | None, shape: tuple[int, ...]) -> jax.Array | None:
    """Return 0 or MASKED for each key: [1, HW], or None where all are seen."""
    if size is None:
        return None
    return jnp.where(within(size, shape[1:3]).reshape(1, -1), *SEEN_OR_MASKED)
