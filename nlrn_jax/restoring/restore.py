"""Restore a picture of any size with a trained network, in bounded memory.

Every pixel is computed once: the network sees a window of q x q around each position, on the whole
picture where memory allows, else on overlapping tiles.
"""

from collections.abc import Callable

import numpy as np
import psutil

from nlrn_jax.data import pixels as im
from nlrn_jax.data.degrade import bicubic_resize
from nlrn_jax.network.model import NLRN
from nlrn_jax.restoring.patches import apply, network_input
from nlrn_jax.restoring.tiles import HALO, Plan, plan, reach

WINDOW = 45  # q of the paper, for a network that was trained on whole patches
VIEWS = 8  # flips and quarter turns
MEMORY = 4 * 2**30  # bytes: more does not make it faster

Restorer = Callable[[np.ndarray], np.ndarray]


def restore(
    model: NLRN,
    variables: dict,
    image: np.ndarray,
    *,
    scale: int = 1,
    neighborhood: int | None = None,
    memory: int | None = None,
    exact: bool = False,
    ensemble: bool = False,
    advance: Callable[[float], None] | None = None,
) -> np.ndarray:
    """Restore a picture; with `scale`, enlarge it.

    Args:
      model, variables: the network and {'params', 'batch_stats'}.
      image: [H, W] or [H, W, C], uint8, uint16, or float in [0, 1].
      scale: 1 to denoise; 2, 3, ... to enlarge a low-resolution picture.
      neighborhood: odd side of the window; None is the network's own, or 45 where it was trained
        on whole patches.
      memory: bytes that the computation may take; None is `default_memory()`.
      exact: let tiles overlap by all of a pixel's reach, so that they equal the whole.
      ensemble: average over the eight flips and turns.
      advance: called with the fraction done since the last call.

    Returns:
      The restoration in the image's dtype (float is not clipped), `scale` times as large. With a
      network of one channel, a colour picture is denoised in red, green and blue one by one, since
      each has its noise; enlarged, its luma is restored and its chroma is bicubic.

    Raises:
      ValueError: the image does not suit the network, or does not fit the memory.
    """
    window = neighborhood or model.neighborhood or WINDOW
    model = model.clone(neighborhood=window)
    memory = default_memory() if memory is None else memory
    halo = reach(model) if exact else HALO
    passes = (VIEWS if ensemble else 1) * (3 if _is_split(model, image, scale) else 1)

    def by_tiles(pixels: np.ndarray) -> np.ndarray:
        return restore_tiles(model, variables, pixels, memory, halo, _shared(advance, passes))

    return restore_by(average_views(by_tiles) if ensemble else by_tiles, model, image, scale)


def default_memory() -> int:
    """Return the memory budget, bytes: 4 GiB, or half of what is free where that is less."""
    return min(MEMORY, psutil.virtual_memory().available // 2)


def restore_by(way: Restorer, model: NLRN, image: np.ndarray, scale: int = 1) -> np.ndarray:
    """Enlarge and restore a picture by `way`, which takes and gives the network's channels.

    Args and returns as `restore`.
    """
    image = np.asarray(image)
    pixels = im.to_float(image)
    pixels = bicubic_resize(pixels, scale) if scale > 1 else pixels
    if _is_split(model, image, scale):
        return _like(image, np.stack([way(plane) for plane in np.moveaxis(pixels, -1, 0)], -1))
    if _is_colour(model, image):
        return _like(image, _restore_luma(way, pixels))
    network_input(model, image)  # says what does not suit
    return _like(image, way(pixels))


def enlarge(image: np.ndarray, scale: int) -> np.ndarray:
    """Enlarge by bicubic interpolation alone, keeping the dtype: what alpha gets."""
    return _like(image, bicubic_resize(im.to_float(image), scale))


def average_views(way: Restorer) -> Restorer:
    """Return a restorer that averages another over the eight flips and turns."""

    def average(pixels):
        views = (im.undo_dihedral(way(im.dihedral(pixels, k)), k) for k in range(VIEWS))
        return sum(views) / np.float32(VIEWS)

    return average


def restore_tiles(
    model: NLRN,
    variables: dict,
    pixels: np.ndarray,
    memory: int,
    halo: int,
    advance: Callable[[float], None] | None = None,
) -> np.ndarray:
    """Restore float32 [H, W] or [H, W, C] in the network's channels, tile by tile."""
    return restore_plan(plan(model, pixels.shape[:2], memory, halo), variables, pixels, advance)


def restore_plan(
    work: Plan,
    variables: dict,
    pixels: np.ndarray,
    advance: Callable[[float], None] | None = None,
) -> np.ndarray:
    """Restore float32 [H, W] or [H, W, C] in the network's channels by a plan made for it."""
    source = network_input(work.model, pixels)
    result = np.empty_like(source)
    for tile in work.tiles:
        part = source[tile.seen]
        result[tile.kept] = _restore_padded(work, variables, part)[_inner(tile)]
        if advance:
            advance(1 / len(work.tiles))
    return result.reshape(pixels.shape)


def _restore_padded(work, variables, part):
    height, width, channels = part.shape
    padded = np.zeros((1, *work.sides, channels), np.float32)
    padded[0, :height, :width] = part
    output = apply(work.model, variables, padded, np.array([height, width], np.int32))
    return np.asarray(output[0, :height, :width])


def _inner(tile):
    """Return the kept part in coordinates of the seen part."""
    return tuple(
        slice(kept.start - seen.start, kept.stop - seen.start)
        for seen, kept in zip(tile.seen, tile.kept, strict=True)
    )


def _is_colour(model: NLRN, image: np.ndarray) -> bool:
    """Tell whether a colour picture meets a network of one channel."""
    return model.channels == 1 and np.ndim(image) == 3 and np.shape(image)[-1] == 3


def _is_split(model: NLRN, image: np.ndarray, scale: int) -> bool:
    """Tell whether red, green and blue are restored one by one."""
    return scale == 1 and _is_colour(model, image)


def _restore_luma(way, pixels):
    """Restore the BT.601 luma of [H, W, 3], of 219 levels, and keep the chroma.

    A change of the luma that is added to red, green and blue alike leaves Cb and Cr as they are.
    """
    luma = im.luma(pixels)
    return pixels + (way(luma) - luma)[..., None] * np.float32(255 / 219)


def _like(image: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    if np.issubdtype(image.dtype, np.integer):
        top = np.iinfo(image.dtype).max
        return np.rint(np.clip(pixels, 0, 1) * np.float64(top)).astype(image.dtype)
    return pixels.astype(np.float32)


def _shared(advance, count):
    return None if advance is None else lambda fraction: advance(fraction / count)
