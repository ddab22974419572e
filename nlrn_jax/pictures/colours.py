"""Perceptual colours for numbers: dark to bright in even steps, readable in grey as well."""

import numpy as np

# Matplotlib's 'inferno' (Smith and van der Walt, CC0) at ten equal steps.
_INFERNO = np.array(
    [
        (0, 0, 4), (27, 12, 65), (74, 12, 107), (120, 28, 109), (165, 44, 96),
        (207, 68, 70), (237, 105, 37), (251, 155, 6), (247, 209, 61), (252, 255, 164),
    ],
    np.float64,
)  # fmt: skip


def palette(count: int = 256) -> np.ndarray:
    """Return `count` colours from dark to bright, uint8 [count, 3]."""
    places, steps = np.linspace(0, 1, count), np.linspace(0, 1, len(_INFERNO))
    channels = [np.interp(places, steps, _INFERNO[:, channel]) for channel in range(3)]
    return np.rint(np.stack(channels, axis=-1)).astype(np.uint8)


def paint(values: np.ndarray) -> np.ndarray:
    """Colour numbers, [...] in [0, 1] (clipped to it) -> uint8 [..., 3]."""
    return palette()[np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)]
