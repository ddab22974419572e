"""The pixels of images, in NumPy: uint8 <-> float, grey and luma, views and crops.

An image is [H, W] (grey) or [H, W, 3] (RGB); uint8 as stored, or float in [0, 1].
"""

import numpy as np


def to_float(image: np.ndarray) -> np.ndarray:
    """Convert uint8 or uint16 to float32 in [0, 1]; floats pass, as float32, unscaled."""
    if image.dtype in (np.uint8, np.uint16):
        return image.astype(np.float32) / np.float32(np.iinfo(image.dtype).max)
    if np.issubdtype(image.dtype, np.floating):
        return image.astype(np.float32)
    raise ValueError(f"an image is uint8, uint16 or float, not {image.dtype}; convert it first")


def to_uint8(image: np.ndarray) -> np.ndarray:
    """Convert float [0, 1] to uint8: clipped, rounded to the nearest (halves to even)."""
    if not np.issubdtype(image.dtype, np.floating):
        raise ValueError(f"float in [0, 1] is needed, not {image.dtype}; convert it with to_float")
    return np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)


def grey(image: np.ndarray) -> np.ndarray:
    """Return the grey picture of an RGB one: BT.601 weights, full range, as MATLAB's rgb2gray.

    [H, W, 3] -> [H, W]; uint8 stays uint8 (rounded half up), float stays float. [H, W] passes.
    """
    if image.ndim == 2:
        return image
    if image.dtype == np.uint8:
        return ((image @ np.array([299, 587, 114]) + 500) // 1000).astype(np.uint8)
    return image @ np.array([0.299, 0.587, 0.114], image.dtype)


def luma(image: np.ndarray) -> np.ndarray:
    """Return the BT.601 luma, 16..235 in grey levels, as MATLAB's rgb2ycbcr.

    [H, W, 3] -> [H, W]; uint8 stays uint8 (rounded), float [0, 1] stays float: grey levels / 255.
    [H, W] passes unchanged: published figures use the grey picture of Set14 (bridge) as it is.
    """
    if image.ndim == 2:
        return image
    if image.dtype == np.uint8:
        return to_uint8(luma(to_float(image)))
    levels = 16 + image @ np.array([65.481, 128.553, 24.966], image.dtype)
    return levels / 255


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
