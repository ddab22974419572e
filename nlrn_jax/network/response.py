"""One tile of queries against the keys that it sees: the non-local operation's inner step.

The tile of `whole.py` is a whole image; `windowed.py` walks over small ones. The backward pass
recomputes the weights from the logits and the saved normalisers instead of keeping them.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from nlrn_jax.network.weighing import Weighing


class Residuals(NamedTuple):
    """What the operation keeps of its forward pass for the backward one.

    Attributes:
      theta, phi, g: its inputs, [N, H, W, l] twice and [N, H, W, m].
      correlation: the logits that it returned, float32, or None where nothing is carried.
      size: int32 [2], rows and columns that hold an image, or None for all.
      normaliser: of the weights of each query, float32; see `Weighing`.
      response: what it returned, [N, H, W, m].
    """

    theta: jax.Array
    phi: jax.Array
    g: jax.Array
    correlation: jax.Array | None
    size: jax.Array | None
    normaliser: jax.Array
    response: jax.Array

    def overlap(self, d_response: jax.Array) -> jax.Array:
        """Return the sum of each response times its gradient: float32 [N, H, W, 1]."""
        products = self.response.astype(jnp.float32) * d_response.astype(jnp.float32)
        return jnp.sum(products, -1, keepdims=True)


class Tile(NamedTuple):
    """The same of one tile of Q queries and K keys.

    Attributes:
      query, key, value: [Q, l], [K, l], [K, m].
      logits: those that `respond` returned, [Q, K], or None to form them again.
      mask: 0 or MASKED, [Q, K] or [1, K], or None where every key is seen.
      normaliser, overlap: [Q] and [Q, 1].
    """

    query: jax.Array
    key: jax.Array
    value: jax.Array
    logits: jax.Array | None
    mask: jax.Array | None
    normaliser: jax.Array
    overlap: jax.Array


def respond(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    carried: jax.Array | None,
    mask: jax.Array | None,
    weighing: Weighing,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Respond to each query with the weighted mean of the values.

    Args:
      query, key, value, mask: as those of `Tile`.
      carried: logits of the states before, [Q, K], or None.
      weighing: how logits become weights.

    Returns:
      The response [Q, m] in the dtype of `value`, the normaliser [Q], and the unmasked logits
      [Q, K], float32.
    """
    logits = product(query, key, (1, 1))
    logits = logits if carried is None else logits + carried
    weights, total, normaliser = weighing.forward(logits if mask is None else logits + mask)
    response = product(weights.astype(value.dtype), value, (1, 0)) / total
    return response.astype(value.dtype), normaliser, logits


def respond_backward(
    tile: Tile, d_response: jax.Array, d_logits: jax.Array | None, weighing: Weighing
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """Return the gradients by query, key, value and carried logits.

    Args:
      tile: what the forward pass left.
      d_response: [Q, m]; d_logits: [Q, K], from the states after, or None.
      weighing: as it was in the forward pass.
    """
    query, key, value, logits, mask, normaliser, overlap = tile
    logits = product(query, key, (1, 1)) if logits is None else logits
    masked = logits if mask is None else logits + mask
    d_weights = product(d_response, value, (1, 1))
    weights, d = weighing.backward(masked, normaliser, d_weights, overlap)
    d = d if d_logits is None else d + d_logits
    d_query = product(d.astype(key.dtype), key, (1, 0)).astype(query.dtype)
    d_key = product(d.astype(query.dtype), query, (0, 0))
    d_value = product(weights.astype(value.dtype), d_response, (0, 0))
    return d_query, d_key, d_value, d


def product(a: jax.Array, b: jax.Array, axes: tuple[int, int]) -> jax.Array:
    """Multiply two matrices over one axis of each, in float32.

    'highest': on GPU and TPU a float32 product would otherwise be rounded to tf32 or bfloat16, and
    these logits are large: they are not divided by sqrt(l) and grow with every state.
    """
    dims = (((axes[0],), (axes[1],)), ((), ()))
    return lax.dot_general(a, b, dims, precision="highest", preferred_element_type=jnp.float32)
