"""How an image is degraded: Gaussian noise, and the bicubic reduction of MATLAB's imresize.

Images are [H, W] or [H, W, C]. `bicubic_resize` takes NumPy and JAX arrays, also inside jit, grad
and vmap; the rest is NumPy for the data pipeline.
"""

import math
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np

from nlrn_jax.data.pixels import to_float
from nlrn_jax.errors import UserError

# Ties are common: the kernel's values are multiples of 1/256, 1/162 and 1/4096 at scales 2, 3, 4.
# A quarter of the smallest step, and more than float32's error, makes every sum of one tie round
# up, in whatever order it was added: NumPy, JAX, whole image and patch agree.
_HALF_UP = 0.5 + 6e-5

# Entries of a weight matrix up to which the dense product beats adding the few taps one by one.
_DENSE = 2**17


def add_noise(image: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Add white Gaussian noise of `sigma` grey levels (of 255), neither clipped nor rounded.

    float [H, W, ...] in [0, 1] -> float32 of that shape. Integers raise a ValueError.
    """
    if not np.issubdtype(image.dtype, np.floating):
        raise ValueError(f"float in [0, 1] is needed, not {image.dtype}; convert it with to_float")
    noise = rng.standard_normal(image.shape, dtype=np.float32)
    return image.astype(np.float32) + np.float32(sigma / 255) * noise


def bicubic_resize(image: np.ndarray | jax.Array, scale: float) -> np.ndarray | jax.Array:
    """Resize as MATLAB's `imresize(image, scale)`: bicubic, anti-aliased where it shrinks.

    Keys' kernel with a = -0.5, widened by 1 / scale when shrinking; half-pixel centres; symmetric
    border; rows before columns.

    Args:
      image: [H, W] or [H, W, C], NumPy or JAX. uint8 is rounded half up, and clipped, after each
        of the two passes, as MATLAB does; floats are neither. Computed in float32, or in float64
        where that is given.
      scale: 1/3 shrinks, 3 enlarges.

    Returns:
      [ceil(scale H), ceil(scale W)] or [..., C], of the same dtype.

    Raises:
      UserError: another rank or dtype, no pixels, or a scale that is not positive.
    """
    xp = jnp if isinstance(image, jax.Array) else np
    image = xp.asarray(image)
    is_uint8 = image.dtype == np.uint8
    if image.ndim not in (2, 3) or not (is_uint8 or xp.issubdtype(image.dtype, xp.floating)):
        raise UserError(
            f"an image is uint8 or float, [H, W] or [H, W, C], not {image.dtype} "
            f"{list(image.shape)}; resize its channels as float"
        )
    if not image.size:
        raise UserError(f"an image {list(image.shape)} has no pixels")
    if not 0 < scale < math.inf:
        raise UserError(f"scale must be positive, not {scale}")
    resized = image.astype(np.float64 if image.dtype.itemsize >= 8 else np.float32)
    for _ in range(2):
        resized = _resize_rows(resized, float(scale))
        if is_uint8:
            resized = xp.clip(xp.floor(resized + _HALF_UP), 0, 255)
        resized = resized.swapaxes(0, 1)
    return resized.astype(image.dtype)


def _resize_rows(image: np.ndarray | jax.Array, scale: float) -> np.ndarray | jax.Array:
    """Resize the first axis of [H, ...] float."""
    height, *rest = image.shape
    if height * _length(height, scale) <= _DENSE:
        matrix = _matrix(height, scale, image.dtype.name)
        flat = image.reshape(height, -1)
        if isinstance(image, jax.Array):  # not in the accelerator's fast reduced precision
            return jnp.matmul(matrix, flat, precision="highest").reshape(-1, *rest)
        return (matrix @ flat).reshape(-1, *rest)
    indices, weights = _taps(height, scale)
    weights = weights.astype(image.dtype).reshape(*weights.shape, *[1] * len(rest))
    resized = weights[:, 0] * image[indices[:, 0]]
    for tap in range(1, indices.shape[1]):
        resized += weights[:, tap] * image[indices[:, tap]]
    return resized


def _length(length: int, scale: float) -> int:
    return max(1, math.ceil(round(length * scale, 6)))  # 1/3 may leave 33.000000000004


@lru_cache(maxsize=256)
def _matrix(length: int, scale: float, dtype: str) -> np.ndarray:
    """Return the weights as a matrix [output, input]; mirrored taps fall on one entry."""
    indices, weights = _taps(length, scale)
    matrix = np.zeros((len(indices), length))
    np.add.at(matrix, (np.arange(len(indices))[:, None], indices), weights)
    return _frozen(matrix.astype(dtype))


@lru_cache(maxsize=256)
def _taps(length: int, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Return which inputs make each output, and their weights, [output, taps] each.

    The `contributions` of MATLAB's imresize.m.
    """
    shrink = min(scale, 1.0)
    support = 4 / shrink
    centres = (np.arange(_length(length, scale)) + 0.5) / scale - 0.5
    first = np.floor(centres - support / 2).astype(int)
    indices = first[:, None] + np.arange(math.ceil(support) + 2)
    weights = _keys(shrink * (centres[:, None] - indices))
    weights /= weights.sum(axis=1, keepdims=True)
    used = np.any(np.abs(weights) > 1e-12, axis=0)
    there_and_back = np.r_[:length, length - 1 : -1 : -1]  # the symmetric border: abc cba abc
    return _frozen(there_and_back[indices[:, used] % (2 * length)]), _frozen(weights[:, used])


def _keys(x: np.ndarray) -> np.ndarray:
    """Return the cubic convolution kernel, a = -0.5 (Keys 1981, equation 15)."""
    x = np.abs(x)
    inner = 1.5 * x**3 - 2.5 * x**2 + 1
    outer = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, inner, np.where(x <= 2, outer, 0))


def _frozen(array: np.ndarray) -> np.ndarray:
    array.setflags(write=False)  # the caches hand the same array to everyone
    return array


def degrade_sr(image: np.ndarray, scale: int) -> tuple[np.ndarray, np.ndarray]:
    """Make the input of super-resolution: reduced in 8 bits, enlarged again in float.

    Args:
      image: uint8 [H, W] or [H, W, C], both sides multiples of `scale`.
      scale: 2, 3, 4, ...

    Returns:
      The low resolution, uint8 [H / scale, W / scale(, C)], and the network's input, float32
      [H, W(, C)] in units of [0, 1], not clipped.

    Raises:
      ValueError: a side is not a multiple of `scale`, or the image is not uint8.
    """
    if image.dtype != np.uint8:
        raise ValueError(f"uint8 is needed, not {image.dtype}; convert it with to_uint8")
    if image.shape[0] % scale or image.shape[1] % scale:
        raise ValueError(
            f"the sides of {list(image.shape)} are not multiples of scale {scale}; "
            "crop them with crop_to_multiple"
        )
    low = bicubic_resize(image, 1 / scale)
    return low, bicubic_resize(to_float(low), scale)


def sr_patch(
    image: np.ndarray, top: int, left: int, size: int, scale: int
) -> tuple[np.ndarray, np.ndarray]:
    """Cut one training pair out of an image while degrading only the patch's surroundings.

    Args:
      image: uint8 [H, W] or [H, W, C], both sides multiples of `scale`.
      top, left, size: the patch in pixels of `image`; it need not be aligned to `scale`.
      scale: 2, 3, 4, ...

    Returns:
      Input and target, float32 [size, size(, C)] in units of [0, 1]: what cutting the patch
      from `degrade_sr(image, scale)[1]` and from the image gives.

    Raises:
      ValueError: the patch leaves the image, or as `degrade_sr`.
    """
    height, width = image.shape[:2]
    if min(top, left) < 0 or size < 1 or top + size > height or left + size > width:
        raise ValueError(f"a patch of {size} at {top, left} leaves the image {list(image.shape)}")
    rows, row = _surroundings(top, size, height, scale)
    columns, column = _surroundings(left, size, width, scale)
    _, enlarged = degrade_sr(image[rows, columns], scale)
    target = to_float(image[top : top + size, left : left + size])
    return enlarged[row : row + size, column : column + size], target


def _surroundings(start: int, size: int, length: int, scale: int) -> tuple[slice, int]:
    """Return the span that decides [start, start + size), and where the latter begins in it.

    Enlarging pixel y looks 2 low-resolution pixels far, around (y + 0.5) / scale - 0.5; each of
    those, i, looks 2 scale far around (i + 0.5) scale - 0.5: no further than 4 scale from y.
    Cut at multiples of `scale` the low-resolution grid stays; where the image itself ends, the
    span ends there too and has the same symmetric border.
    """
    first = max(0, start // scale - 4) * scale
    last = min(length, (-(-(start + size) // scale) + 4) * scale)
    return slice(first, last), start - first
