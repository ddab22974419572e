"""Restore a picture of any size with a trained network, in bounded memory.

Every pixel is taken once: the network sees a window of q x q around each position, on the whole of
a small picture, on overlapping tiles of a larger one (`tiles.py`).
"""

import itertools
from collections.abc import Callable

import jax
import numpy as np

from nlrn_jax.data.degrade import bicubic_resize
from nlrn_jax.data.pixels import check_values, dihedral, grey, luma, to_float, undo_dihedral
from nlrn_jax.errors import UserError
from nlrn_jax.network.build import Model
from nlrn_jax.restoring.memory import default_memory
from nlrn_jax.restoring.patches import apply, network_input
from nlrn_jax.restoring.places import places, side_by_side
from nlrn_jax.restoring.tiles import Tile, Tiling, choose_tiling

VIEWS = 8  # flips and quarter turns

# Is called with the fraction done since the last call; with 0 where equal parts begin.
Advance = Callable[[float], None]
# (pixels in the network's channels, advance) -> restored pixels
Plane = Callable[[np.ndarray, Advance | None], np.ndarray]


def restore(
    model: Model,
    variables: dict,
    image: np.ndarray,
    *,
    scale: int = 1,
    neighborhood: int | None = None,
    memory: int | None = None,
    exact: bool = False,
    ensemble: bool = False,
    strength: float = 1.0,
    advance: Advance | None = None,
) -> np.ndarray:
    """Restore a picture; with `scale`, enlarge it.

    Args:
      model, variables: the network and {'params', 'batch_stats'}.
      image: [H, W] or [H, W, C], NumPy, JAX or a list; uint8, uint16, or float with black at 0 and
        white at 1, which noise may leave.
      scale: 1 to denoise; 2, 3, ... to enlarge a low-resolution picture. It is to be one that the
        weights were trained for, which a model does not know: `--mode=weights` says it.
      neighborhood: odd side of the window; None is the network's own, `model.window`.
      memory: bytes that the computation may take; None is `memory.default_memory()`.
      exact: let tiles overlap by all of a pixel's reach, so that they equal the whole.
      ensemble: average over the eight flips and turns.
      strength: how far to go from the picture (0: as it is, or its bicubic enlargement; the network
        is not asked) to its restoration (1).
      advance: called with the fraction done since the last call.

    Returns:
      The restoration, NumPy, in the image's dtype and order of bytes, `scale` times as large;
      computed in float32, and not clipped where the image is float. With a network of one channel,
      a colour picture is denoised in red, green and blue one by one, since each has its noise;
      enlarged, its luma is restored and its chroma is bicubic. A network of three channels sees a
      grey picture as RGB, and its answer is made grey.

    Raises:
      UserError: the image does not suit the network, its values are NaN or not of a picture with
        white at 1, the scale is not a whole number, the strength not of 0..1, or the memory no
        number or too little.
    """
    model = model.clone(neighborhood=model.window if neighborhood is None else neighborhood)
    memory = default_memory() if memory is None else memory
    if not isinstance(memory, int | float | np.number):
        raise UserError(f"{memory=} should be a number of bytes, as 4 * 2**30")
    halo = model.reach if exact else model.halo

    def by_tiles(pixels: np.ndarray, advance: Advance | None) -> np.ndarray:
        tiling = choose_tiling(model, pixels.shape[:2], memory, halo)
        return restore_tiling(tiling, variables, pixels, advance)

    return restore_by(
        by_tiles, model, image,
        scale=scale, ensemble=ensemble, strength=strength, advance=advance,
    )  # fmt: skip


def restore_by(
    plane: Plane,
    model: Model,
    image: np.ndarray,
    *,
    scale: int = 1,
    ensemble: bool = False,
    strength: float = 1.0,
    advance: Advance | None = None,
) -> np.ndarray:
    """Enlarge and restore a picture by `plane`, which takes and gives the network's channels.

    Other arguments, returns and errors as those of `restore`.
    """
    image, scale, strength = np.asarray(image), _whole(scale), _share(strength)
    if not strength:
        return _untouched(image, scale, advance)
    if model.channels == 3 and (image.ndim == 2 or image.shape[2:] == (1,)):
        colour = np.stack([image.reshape(image.shape[:2])] * 3, axis=-1)
        restored = restore_by(plane, model, to_float(colour), scale=scale, ensemble=ensemble,
                              strength=strength, advance=advance)  # fmt: skip
        return _like(image, grey(restored).reshape(*restored.shape[:2], *image.shape[2:]))
    one = image[..., 0] if _is_colour(model, image) else image
    network_input(model, one)  # says what does not suit
    if image.dtype.kind == "f":
        check_values(to_float(image))
    split = scale == 1 and one is not image  # red, green and blue one by one
    passes = (VIEWS if ensemble else 1) * (3 if split else 1)
    share = advance and (lambda fraction: advance(fraction / passes))

    def once(pixels: np.ndarray) -> np.ndarray:
        return plane(pixels, share)

    way = _averaged(once) if ensemble else once
    way = _in_part(way, strength) if strength < 1 else way
    if split:  # each in its own time, since a large picture's three are much in float
        restored = (way(to_float(channel)) for channel in np.moveaxis(image, -1, 0))
        return np.stack([_like(image, channel) for channel in restored], -1)
    pixels = bicubic_resize(to_float(image), scale) if scale > 1 else to_float(image)
    if one is not image:
        return _like(image, _restore_luma(way, pixels))
    return _like(image, way(pixels))


def enlarge(image: np.ndarray, scale: int) -> np.ndarray:
    """Enlarge by bicubic interpolation alone, keeping the dtype: what alpha gets."""
    image = np.asarray(image)
    return _like(image, bicubic_resize(to_float(image), scale))


def _untouched(image: np.ndarray, scale: int, advance: Advance | None) -> np.ndarray:
    """Return what no strength leaves: the picture, or its bicubic enlargement."""
    if advance:
        advance(1.0)
    return enlarge(image, scale) if scale > 1 else image.copy()


def restore_tiling(
    tiling: Tiling, variables: dict, pixels: np.ndarray, advance: Advance | None = None
) -> np.ndarray:
    """Restore float32 [H, W] or [H, W, C] in the network's channels, tile by tile."""
    source = network_input(tiling.model, pixels)
    result = np.empty_like(source)
    at = places()[: tiling.at_a_time]
    weights = {place: jax.device_put(variables, place) for place in set(at)}

    def restored(tile: Tile, place: jax.Device) -> np.ndarray:
        part = _padded(source[tile.seen], tiling.sides)
        size = np.array(source[tile.seen].shape[:2], np.int32)
        output = apply(tiling.model, weights[place], *jax.device_put((part, size), place))
        return np.asarray(output)[0][_inner(tile)]

    done = _in_rounds(advance, len(tiling.tiles), len(at))
    for tile, part in side_by_side(restored, tiling.tiles, at):
        result[tile.kept] = part
        done()
    return result.reshape(pixels.shape)


def _in_rounds(advance: Advance | None, count: int, together: int) -> Callable[[], None]:
    """Return what counts tiles, and advances when as many are done as are computed at a time.

    Those of a round end together: to go on at each would tell of too slow a start.
    """
    done = itertools.count(1)
    if advance:
        advance(0.0)  # from here on it goes in equal parts

    def one() -> None:
        number = next(done)
        in_round = (number - 1) % together + 1
        if advance and (in_round == together or number == count):
            advance(in_round / count)

    return one


def _padded(part: np.ndarray, sides: tuple[int, int]) -> np.ndarray:
    """Fill [H, W, C] up to the sides of the compiled program: [1, ..., C]."""
    padded = np.zeros((1, *sides, part.shape[-1]), np.float32)
    padded[0, : part.shape[0], : part.shape[1]] = part
    return padded


def _inner(tile: Tile) -> tuple[slice, ...]:
    """Return the kept part in coordinates of the seen part."""
    return tuple(
        slice(kept.start - seen.start, kept.stop - seen.start)
        for seen, kept in zip(tile.seen, tile.kept, strict=True)
    )


def _averaged(way: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    """Average a way to restore over the eight flips and turns."""

    def average(pixels: np.ndarray) -> np.ndarray:
        views = (undo_dihedral(way(dihedral(pixels, k)), k) for k in range(VIEWS))
        return sum(views) / np.float32(VIEWS)

    return average


def _in_part(
    way: Callable[[np.ndarray], np.ndarray], strength: float
) -> Callable[[np.ndarray], np.ndarray]:
    """Go but a part of the way from float32 pixels to their restoration."""

    def part(pixels: np.ndarray) -> np.ndarray:
        return pixels + np.float32(strength) * (way(pixels) - pixels)

    return part


def _is_colour(model: Model, image: np.ndarray) -> bool:
    """Tell whether a colour picture meets a network of one channel."""
    return model.channels == 1 and np.ndim(image) == 3 and np.shape(image)[-1] == 3


def _restore_luma(way: Callable[[np.ndarray], np.ndarray], pixels: np.ndarray) -> np.ndarray:
    """Restore the BT.601 luma of [H, W, 3], of 219 levels, and keep the chroma.

    A change of the luma that is added to red, green and blue alike leaves Cb and Cr as they are.
    """
    before = luma(pixels)
    return pixels + (way(before) - before)[..., None] * np.float32(255 / 219)


def _like(image: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    if np.issubdtype(image.dtype, np.integer):
        top = np.iinfo(image.dtype).max
        return np.rint(np.clip(pixels, 0, 1) * np.float64(top)).astype(image.dtype)
    return pixels.astype(image.dtype)


def _whole(scale: float) -> int:
    """Return the scale as an int.

    Raises:
      UserError: it is not a whole number from 1 on.
    """
    try:
        whole = int(scale)
    except (TypeError, ValueError, OverflowError):
        whole = 0
    if whole < 1 or whole != scale:
        raise UserError(f"{scale=} should be a whole number: 1 to denoise, 2, 3, ... to enlarge")
    return whole


def _share(strength: float) -> float:
    """Return the strength as a float.

    Raises:
      UserError: it is not a number from 0 to 1.
    """
    try:
        share = float(strength)
    except (TypeError, ValueError):
        share = np.nan
    if not 0 <= share <= 1:  # NaN too
        raise UserError(f"{strength=} should be from 0, the picture itself, to 1, its restoration")
    return share
