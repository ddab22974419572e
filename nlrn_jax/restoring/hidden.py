"""Colours that full transparency hides: they must not show at the rim of what one sees."""

import numpy as np
from scipy import ndimage

VISIBLE = 1 / 32  # of opacity; below it colours are mostly what rounding or a program left there


def filled(pixels: np.ndarray, alpha: np.ndarray | None) -> np.ndarray:
    """Give each hidden pixel of [H, W, ...] the colour of the nearest that one sees.

    Interpolation and the network then mix nothing else into the rim.
    """
    hidden = _hidden(alpha)
    if hidden is None:
        return pixels
    nearest = ndimage.distance_transform_edt(hidden, return_distances=False, return_indices=True)
    return pixels[tuple(nearest)]


def put_back(pixels: np.ndarray, before: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Give hidden pixels [H, W, ...] the colour that they had before."""
    hidden = _hidden(alpha)
    if hidden is None:
        return pixels
    return np.where(hidden if pixels.ndim == 2 else hidden[..., None], before, pixels)


def _hidden(alpha: np.ndarray | None) -> np.ndarray | None:
    """Mark what one does not see; None where that is nothing or all."""
    if alpha is None:
        return None
    white = 1 if alpha.dtype == np.float32 else np.iinfo(alpha.dtype).max
    hidden = alpha < white * VISIBLE
    return hidden if hidden.any() and not hidden.all() else None
