"""Inside the network: what one position sees in each state, and the output after each state.

Of DnCNN with non-local blocks: what it sees in each block, and the output of the whole.

The weights that a position gives to the positions of its window are the softmax of its
correlation. That is a running sum over the states (`non_local.py`), so for one position it is
formed here again from theta and phi of the states. The output after a state is what the network's
output layers make of it, with the batch norm that they learned for the last.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from nlrn_jax.network.build import Model
from nlrn_jax.network.dncnn import DnCNN


class View(NamedTuple):
    """What one position sees, over T states.

    Attributes:
      weights: softmax over the window, [T, h, w], each summing to one.
      corner: row and column of the window's first position; it is cut at the border.
      output: the restored picture, [H, W, C], not clipped.
      after: the picture after each state, [T, H, W, C]; None of a network that has but the one.
    """

    weights: np.ndarray
    corner: tuple[int, int]
    output: np.ndarray
    after: np.ndarray | None


def look(model: Model, variables: dict, image: np.ndarray, at: tuple[int, int]) -> View:
    """Look at an image from one position.

    Args:
      model, variables: the network, with the window to look through, and its variables.
      image: float32 [H, W, C] in [0, 1].
      at: row and column of the position.
    """
    outputs, theta, phi = _look_inside(model, variables, image[None])
    height, width = image.shape[:2]
    reach = max(height, width) if model.neighborhood is None else model.neighborhood // 2
    top, left = (max(0, place - reach) for place in at)
    query = np.asarray(theta, np.float32)[:, at[0], at[1]]
    keys = np.asarray(phi, np.float32)[:, top : at[0] + reach + 1, left : at[1] + reach + 1]
    logits = np.einsum("tl,thwl->thw", query, keys)
    logits = np.cumsum(logits, axis=0) if model.hands_on else logits
    weights = np.exp(logits - logits.max((1, 2), keepdims=True))
    weights /= weights.sum((1, 2), keepdims=True)
    after = None if isinstance(model, DnCNN) else np.asarray(outputs)
    return View(weights, (top, left), np.asarray(outputs[-1]), after)


@functools.partial(jax.jit, static_argnums=0)
def _look_inside(
    model: Model, variables: dict, x: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return theta and phi of all T looks at one image, [T, H, W, l], and the outputs after each.

    Outputs are [T, H, W, C], or [1, H, W, C] where there is but that of the whole.
    """
    output, kept = model.apply(variables, x, mutable="intermediates")
    if isinstance(model, DnCNN):
        blocks = [kept["intermediates"][f"block_{layer}"] for layer in model.blocks]
        seen = (jnp.stack([block[name][0][0] for block in blocks]) for name in ("query", "key"))
        return output, *seen
    cell = kept["intermediates"]["cell"]
    states, theta, phi = (cell[name][0][:, 0] for name in ("state", "query", "key"))

    def instead(method, args, kwargs, context):
        return states if context.method_name == "recur" else method(*args, **kwargs)

    with nn.intercept_methods(instead):  # a batch of states takes the place of the last one
        outputs = model.apply(variables, x)
    return outputs, theta, phi
