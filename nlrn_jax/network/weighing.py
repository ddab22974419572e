"""How the logits of a query become the weights of the values that it averages.

    softmax    exp(logits) over their sum
    mean       the logits themselves over the number of keys seen (Wang et al. 2018, section 3.2)

Keys that are not seen, outside a query's window or the image, have MASKED added to their logits.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

MASKED = np.float32(-1e30)  # finite: a query outside the image has no key, and must not become NaN
SEEN_OR_MASKED = np.float32(0), MASKED


class Weighing(NamedTuple):
    """How logits become the weights of the values.

    Attributes:
      forward: masked logits [Q, K] -> weights [Q, K] that are yet to be divided by a total
        [Q, 1], that total, and the normaliser [Q], from which `backward` has the weights again.
      backward: (masked logits, normaliser, gradient by the weights, overlap) -> the weights, and
        the gradient by the logits, [Q, K] each.
    """

    forward: Callable[[jax.Array], tuple[jax.Array, jax.Array, jax.Array]]
    backward: Callable[..., tuple[jax.Array, jax.Array]]


def _softmax(masked: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    top = masked.max(-1, keepdims=True)
    weights = jnp.exp(masked - top)
    total = weights.sum(-1, keepdims=True)
    return weights, total, (top + jnp.log(total))[:, 0]


def _softmax_backward(
    masked: jax.Array, normaliser: jax.Array, d_weights: jax.Array, overlap: jax.Array
) -> tuple[jax.Array, jax.Array]:
    weights = jnp.exp(masked - normaliser[:, None])
    return weights, weights * (d_weights - overlap)


def _mean(masked: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    seen = _seen(masked)
    total = jnp.maximum(seen.sum(-1, keepdims=True, dtype=jnp.float32), 1)  # padding sees no key
    return jnp.where(seen, masked, 0), total, total[:, 0]


def _mean_backward(
    masked: jax.Array, normaliser: jax.Array, d_weights: jax.Array, overlap: jax.Array
) -> tuple[jax.Array, jax.Array]:
    seen = _seen(masked)
    share = seen.astype(jnp.float32) / normaliser[:, None]
    return jnp.where(seen, masked, 0) * share, d_weights * share


def _seen(masked: jax.Array) -> jax.Array:
    return masked > MASKED / 2


SOFTMAX = Weighing(_softmax, _softmax_backward)
MEAN = Weighing(_mean, _mean_backward)
