"""The pixels of images, in NumPy: uint8 <-> float, grey and luma, views and crops.

An image is [H, W] (grey) or [H, W, 3] (RGB); uint8 as stored, or float in [0, 1].
"""

import numpy as np

from nlrn_jax.errors import UserError

# What a float picture whose white is 1 holds, though noise of 200 grey levels be added to it.
LOWEST, HIGHEST = -4, 5


def to_float(image: np.ndarray) -> np.ndarray:
    """Convert uint8 or uint16 to float32 in [0, 1]; floats pass, as float32, unscaled.

    Raises:
      UserError: it is of another dtype.
    """
    image = np.asarray(image)
    if image.dtype.kind == "u" and image.dtype.itemsize <= 2:  # in either order of bytes
        return image.astype(np.float32) / np.float32(np.iinfo(image.dtype).max)
    if image.dtype.kind == "f":
        return image.astype(np.float32)
    mends = {
        "i": "convert it first, as by image.astype(np.uint8) where its white is 255",
        "b": "convert it first, by image.astype(np.float32)",
        "U": "read the file first, as by np.asarray(PIL.Image.open(NAME))",
    }
    mend = mends.get(image.dtype.kind, mends["i"] if image.dtype.kind == "u" else "give its pixels")
    raise UserError(f"an image is uint8, uint16 or float, not {image.dtype}; {mend}")


def check_values(pixels: np.ndarray) -> None:
    """Refuse float pixels that are no picture whose black is 0 and white 1, as far as one can tell.

    Raises:
      UserError: NaN or infinity, or values far from [0, 1].
    """
    bad = pixels.size - np.count_nonzero(np.isfinite(pixels))
    if bad:
        raise UserError(f"{bad} of {pixels.size} values are NaN or infinite; replace them")
    low, high = pixels.min(), pixels.max()
    if low < LOWEST or high > HIGHEST:
        raise UserError(
            f"float values from {low:g} to {high:g}; scale black to 0, white to 1: where white is "
            "255, give image / 255"
        )


def to_uint8(image: np.ndarray) -> np.ndarray:
    """Convert float [0, 1] to uint8: clipped, rounded to the nearest (halves to even).

    Raises:
      UserError: it is not float, or NaN somewhere.
    """
    image = np.asarray(image)
    if image.dtype.kind != "f":
        raise UserError(f"float in [0, 1] is needed, not {image.dtype}; convert it with to_float")
    if np.isnan(image).any():
        raise UserError(f"{np.count_nonzero(np.isnan(image))} of {image.size} values are NaN")
    return np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)


def grey(image: np.ndarray) -> np.ndarray:
    """Return the grey picture of an RGB one: BT.601 weights, full range, as MATLAB's rgb2gray.

    [H, W, 3] -> [H, W]; uint8 and uint16 keep their dtype (rounded half up), as float does. [H, W]
    passes. Anything else raises a UserError.
    """
    if image.ndim == 2:
        return image
    _check_colour(image)
    if image.dtype.kind == "u":
        return ((image @ np.array([299, 587, 114]) + 500) // 1000).astype(image.dtype)
    return image @ np.array([0.299, 0.587, 0.114], image.dtype)


def luma(image: np.ndarray) -> np.ndarray:
    """Return the BT.601 luma, 16..235 in grey levels, as MATLAB's rgb2ycbcr.

    [H, W, 3] -> [H, W]; uint8 and uint16 keep their dtype (rounded), float [0, 1] stays float: grey
    levels / 255. [H, W] passes unchanged: published figures use the grey picture of Set14 (bridge)
    as it is. Anything else raises a UserError.
    """
    if image.ndim == 2:
        return image
    _check_colour(image)
    if image.dtype.kind == "u":
        return np.rint(luma(to_float(image)) * np.iinfo(image.dtype).max).astype(image.dtype)
    levels = 16 + image @ np.array([65.481, 128.553, 24.966], image.dtype)
    return levels / 255


def _check_colour(image: np.ndarray) -> None:
    whole = image.dtype.kind == "u" and image.dtype.itemsize <= 2
    if image.shape[2:] != (3,) or not (whole or image.dtype.kind == "f"):
        raise UserError(
            f"grey [H, W] or RGB [H, W, 3] of uint8, uint16 or float is needed, not {image.dtype} "
            f"{list(image.shape)}"
        )


def dihedral(image: np.ndarray, k: int) -> np.ndarray:
    """Return view `k` in 0..7 of [H, W, ...]: k % 4 quarter turns, from 4 on also upside down."""
    if not 0 <= k < 8:
        raise ValueError(f"a square has the eight views 0..7, not {k}")
    turned = np.rot90(image, k % 4)
    return turned[::-1] if k >= 4 else turned


def undo_dihedral(image: np.ndarray, k: int) -> np.ndarray:
    """Return the image whose `dihedral(..., k)` is given, [H, W, ...]."""
    if not 0 <= k < 8:
        raise ValueError(f"a square has the eight views 0..7, not {k}")
    return np.rot90(image[::-1] if k >= 4 else image, -(k % 4))


def crop_to_multiple(image: np.ndarray, scale: int) -> np.ndarray:
    """Drop the last rows and columns of [H, W, ...] so that both sides are multiples of `scale`."""
    height, width = (side - side % scale for side in image.shape[:2])
    if not height or not width:
        raise ValueError(f"an image of {list(image.shape)} has no side of {scale}; take a larger")
    return image[:height, :width]


def network_channels(pixels: np.ndarray, task: str, channels: int) -> np.ndarray:
    """Turn a picture into what a network sees: [H, W] for one channel, else [H, W, 3].

    One channel is the grey value for denoising (0..255, as MATLAB's rgb2gray) and the luma for
    super-resolution (BT.601, 16..235, as MATLAB's rgb2ycbcr), following the authors' programs.
    """
    if channels == 3:
        return pixels if pixels.ndim == 3 else np.stack([pixels] * 3, axis=-1)
    return luma(pixels) if task == "sr" else grey(pixels)
