"""What a way to restore is, and what restores so: each pixel once, or overlapping patches.

The command line (`commands/restoring.py`) and scoring (`scoring/methods.py`) each describe theirs;
the window is the network's own.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from nlrn_jax.network.build import Model
from nlrn_jax.restoring.memory import default_memory, patches_at_a_time
from nlrn_jax.restoring.patches import restore_patches
from nlrn_jax.restoring.restore import Advance, restore, restore_by
from nlrn_jax.restoring.tiles import choose_tiling

# (pixels of a picture, advance) -> its restored pixels, as `restore` takes and gives them
Restorer = Callable[[np.ndarray, Advance | None], np.ndarray]


class Way(NamedTuple):
    """How a network restores pictures.

    Attributes:
      scale: 1 to denoise; 2, 3, ... to enlarge.
      memory: bytes that this may take; None is `memory.default_memory()`.
      exact: let its tiles overlap by all of a pixel's reach.
      patch: side of overlapping patches instead, the published way; None: each pixel once.
      stride: between patches, pixels.
      batch: patches at a time, or fewer where they do not fit the memory.
      ensemble: average over the eight flips and turns.
      strength: how far to go from the picture (0) to its restoration (1), as `restore` says.
    """

    scale: int = 1
    memory: int | None = None
    exact: bool = False
    patch: int | None = None
    stride: int = 7
    batch: int = 16
    ensemble: bool = False
    strength: float = 1.0


def require_memory(model: Model, way: Way, shape: tuple[int, int]) -> None:
    """Refuse pictures [H, W] that this way could not restore within its memory, before any work.

    Raises:
      UserError: says what would fit.
    """
    if way.patch:
        patches_at_a_time(model, tuple(min(way.patch, s) for s in shape), way.batch, way.memory)
        return
    model = model.clone(neighborhood=model.window)
    memory = default_memory() if way.memory is None else way.memory
    choose_tiling(model, shape, memory, model.reach if way.exact else model.halo)


def restorer(model: Model, variables: dict, way: Way) -> Restorer:
    """Return what restores a picture with a network in this way."""

    def once(pixels: np.ndarray, advance: Advance | None = None) -> np.ndarray:
        return restore(
            model, variables, pixels, scale=way.scale, memory=way.memory, exact=way.exact,
            ensemble=way.ensemble, strength=way.strength, advance=advance,
        )  # fmt: skip

    def patches_of_plane(pixels: np.ndarray, advance: Advance | None) -> np.ndarray:
        return restore_patches(
            model, variables, pixels, way.patch, way.stride, way.batch, advance, way.memory
        )  # fmt: skip

    def by_patches(pixels: np.ndarray, advance: Advance | None = None) -> np.ndarray:
        return restore_by(
            patches_of_plane, model, pixels,
            scale=way.scale, ensemble=way.ensemble, strength=way.strength, advance=advance,
        )  # fmt: skip

    return by_patches if way.patch else once
