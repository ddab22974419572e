"""The published way to restore an image: overlapping patches, their restorations averaged.

With patches of 45 and stride 7 every pixel is computed about 40 times. Trained networks are
compared by it; `restore.py` keeps every pixel once. Both call the network by `apply`.
"""

import functools
import itertools
import math
from collections.abc import Callable

import jax
import numpy as np

from nlrn_jax.data.pixels import check_values, to_float
from nlrn_jax.errors import UserError
from nlrn_jax.network.build import Model
from nlrn_jax.network.mesh import by_batch, data_mesh, replicated
from nlrn_jax.restoring.memory import patches_at_a_time


def restore_patches(
    model: Model,
    variables: dict,
    image: np.ndarray,
    patch: int = 43,
    stride: int = 7,
    batch: int = 16,
    advance: Callable[[float], None] | None = None,
    memory: int | None = None,
) -> np.ndarray:
    """Restore an image patch by patch and average where patches overlap.

    Args:
      model, variables: the network and {'params', 'batch_stats'}.
      image: [H, W] or [H, W, C], uint8, uint16, or float with white at 1; for super-resolution
        already enlarged to the size wanted.
      patch: side of a patch; an image smaller than that is one patch.
      stride: between neighbouring patches; the last one is flush with the border.
      batch: patches at a time, on as many of this process's devices as divide it; fewer where they
        do not fit the memory.
      advance: called with the fraction done since the last call, after each batch.
      memory: bytes that the computation may take; None is `memory.default_memory()`.

    Returns:
      float32 of the image's shape, not clipped.

    Raises:
      UserError: patches that leave gaps, or do not fit the memory; or as `network_input`.
    """
    if not 1 <= stride <= patch or batch < 1:
        raise UserError(
            f"patches of {patch} with stride {stride}, {batch} at a time: the stride should be 1 "
            "to the side of a patch, and there should be one or more at a time"
        )
    pixels = network_input(model, image)
    corners = patch_corners(pixels.shape[:2], patch, stride)
    seen = tuple(min(patch, side) for side in pixels.shape[:2])
    batch = patches_at_a_time(model, seen, batch, memory)
    mesh = data_mesh(jax.local_devices()[: math.gcd(batch, jax.local_device_count())])
    variables = jax.device_put(variables, replicated(mesh))
    total, count = np.zeros(pixels.shape, np.float64), np.zeros(pixels.shape, np.float64)
    if advance:
        advance(0.0)  # from here on it goes in equal parts
    for group in _groups(corners, batch):
        areas = [(slice(y, y + patch), slice(x, x + patch)) for y, x in group]
        # The last group repeats its last patch: one shape, one compilation.
        padded = areas + areas[-1:] * (batch - len(areas))
        x = jax.device_put(np.stack([pixels[area] for area in padded]), by_batch(mesh))
        restored = apply(model, variables, x)
        for area, output in zip(areas, np.asarray(restored), strict=False):
            total[area] += output
            count[area] += 1
        if advance:
            advance(len(areas) / len(corners))
    return (total / count).astype(np.float32).reshape(np.shape(image))


def network_input(model: Model, image: np.ndarray) -> np.ndarray:
    """Return an image as the network takes it: float32 [H, W, C].

    Raises:
      UserError: the image has no pixels, not the network's channels, another dtype than uint8,
        uint16 and float, or values that are not of a picture with white at 1.
    """
    pixels = to_float(image)
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    if pixels.ndim != 3 or pixels.shape[-1] != model.channels or not pixels.size:
        raise UserError(
            f"an image {list(np.shape(image))} does not suit a network of {model.channels} "
            f"channels: it wants [H, W] or [H, W, C]{_mend(np.shape(image))}"
        )
    check_values(pixels)
    return pixels


def _mend(shape: tuple[int, ...]) -> str:
    """Say what makes an image of a picture's array that is shaped otherwise."""
    if not math.prod(shape):
        return "; it has no pixels"
    if len(shape) == 4:
        return "; restore the images of a batch one by one"
    if len(shape) != 3:
        return ""
    if shape[-1] in (2, 4):
        return "; restore colour without alpha, as image[..., :-1]"
    return "; give its channels last, as np.moveaxis(image, 0, -1)" if shape[0] in (1, 3, 4) else ""


@functools.partial(jax.jit, static_argnums=0)
def apply(model: Model, variables: dict, x: jax.Array, size: jax.Array | None = None) -> jax.Array:
    """Apply a network in evaluation: [N, H, W, C] -> [N, H, W, C], compiled once for each shape."""
    return model.apply(variables, x, size=size)


def patch_corners(shape: tuple[int, int], patch: int, stride: int) -> list[tuple[int, int]]:
    """List the upper left corners of the patches that cover an image [H, W]."""

    def starts(length: int) -> list[int]:
        last = max(0, length - patch)
        return [*range(0, last, stride), last]

    return list(itertools.product(starts(shape[0]), starts(shape[1])))


def _groups(corners: list[tuple[int, int]], size: int) -> list[list[tuple[int, int]]]:
    return [corners[i : i + size] for i in range(0, len(corners), size)]
