"""PSNR and SSIM, in float64; `protocols.py` says of which pixels they are published."""

import numpy as np

_RADIUS, _SIGMA = 5, 1.5  # of the window of Wang et al.
SSIM_WINDOW = 2 * _RADIUS + 1  # pixels; the least side that can be compared


def psnr(a: np.ndarray, b: np.ndarray, max_value: float = 1.0) -> float:
    """Return the peak signal-to-noise ratio in dB, infinite for equal arrays.

    Arrays of any one shape, in units where white is `max_value`. Unequal shapes, or integers with
    a `max_value` of 1, raise a ValueError.
    """
    a, b = _as_float64(a, b, max_value)
    error = np.mean(np.square(a - b))
    return float(10 * np.log10(max_value**2 / error)) if error else float("inf")


def ssim(a: np.ndarray, b: np.ndarray, max_value: float = 1.0) -> float:
    """Return the mean structural similarity of two images, 1 for equal ones.

    Wang, Bovik, Sheikh and Simoncelli, "Image quality assessment: from error visibility to
    structural similarity", IEEE TIP 2004: Gaussian window of 11x11 pixels, sigma 1.5, K1 = 0.01,
    K2 = 0.03, only where the window lies inside the image. Channels are averaged.

    Args:
      a, b: [H, W] or [H, W, C], at least 11x11 pixels, white at `max_value`.
      max_value: the dynamic range.

    Raises:
      ValueError: unequal shapes, another rank, sides under 11, or integers with `max_value` 1.
    """
    a, b = _as_float64(a, b, max_value)
    if a.ndim not in (2, 3) or min(a.shape[:2]) < SSIM_WINDOW:
        raise ValueError(f"SSIM needs [H, W] or [H, W, C] from 11x11 pixels on, not {a.shape}")
    mean_a, mean_b, square_a, square_b, product = map(_blur, (a, b, a * a, b * b, a * b))
    c1, c2 = (0.01 * max_value) ** 2, (0.03 * max_value) ** 2
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    variances = square_a - mean_a**2 + square_b - mean_b**2
    structure = (2 * (product - mean_a * mean_b) + c2) / (variances + c2)
    return float(np.mean(luminance * structure))


def _as_float64(a: np.ndarray, b: np.ndarray, max_value: float) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape:
        raise ValueError(f"images of one shape can be compared, not {a.shape} and {b.shape}")
    if max_value == 1 and (a.dtype.kind in "iu" or b.dtype.kind in "iu"):
        raise ValueError(f"{a.dtype} and {b.dtype}: integers need their max_value, say 255")
    return a.astype(np.float64), b.astype(np.float64)


def _blur(image: np.ndarray) -> np.ndarray:
    """Return the Gaussian mean at every place where the window fits, [H - 10, W - 10, ...]."""
    window = np.exp(-0.5 * (np.arange(-_RADIUS, _RADIUS + 1) / _SIGMA) ** 2)
    window /= window.sum()
    for _ in range(2):  # rows, then columns
        inside = len(image) - 2 * _RADIUS
        image = sum(w * image[i : i + inside] for i, w in enumerate(window)).swapaxes(0, 1)
    return image
