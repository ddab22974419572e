"""Classical denoisers as baselines, where an installed library has them.

Each takes a noisy image, float32 [H, W] or [H, W, 3] in [0, 1], and the noise level in grey levels
of 255, and returns float of that shape.
"""

import importlib.util
from collections.abc import Callable

import numpy as np

from nlrn_jax.config import ConfigError

Denoiser = Callable[[np.ndarray, float], np.ndarray]


def nl_means(noisy: np.ndarray, sigma: float) -> np.ndarray:
    """Average over alike patches (Buades, Coll, Morel, CVPR 2005): scikit-image's form.

    Patches of 5x5 within 13x13 positions. On scikit-image's sample photographs h = 0.6, 0.8, 1
    times sigma gave 30.7, 30.9, 30.6 dB in the mean over sigma 15, 25, 50.
    """
    from skimage.restoration import denoise_nl_means  # slow to import, and seldom wanted

    level = sigma / 255
    return denoise_nl_means(
        noisy, patch_size=5, patch_distance=6, h=0.8 * level, sigma=level, fast_mode=True,
        channel_axis=_channels(noisy),
    )  # fmt: skip


def tv(noisy: np.ndarray, sigma: float) -> np.ndarray:
    """Minimise total variation (Rudin, Osher, Fatemi 1992; Chambolle 2004): scikit-image's form.

    The weight is that of the noise. On scikit-image's sample photographs 0.6, 0.8, 1, 1.2 times
    that gave 28.9, 30.5, 30.8, 30.4 dB in the mean over sigma 15, 25, 50; the looser tolerance
    that is scikit-image's own stops early by chance.
    """
    from skimage.restoration import denoise_tv_chambolle

    return denoise_tv_chambolle(
        noisy, weight=sigma / 255, eps=1e-5, max_num_iter=200, channel_axis=_channels(noisy)
    )


def bm3d(noisy: np.ndarray, sigma: float) -> np.ndarray:
    """Filter groups of alike blocks (Dabov et al., IEEE TIP 2007): the package `bm3d`."""
    import bm3d as library  # optional: its licence is not a free one

    way = library.bm3d if noisy.ndim == 2 else library.bm3d_rgb
    return way(noisy, sigma / 255)


DENOISERS: dict[str, tuple[str, Denoiser]] = {
    "nl_means": ("non-local means", nl_means),
    "tv": ("total variation", tv),
    "bm3d": ("BM3D", bm3d),
}


def require_installed(names: list[str]) -> None:
    """Refuse a baseline whose library is missing.

    Raises:
      ConfigError: says how to install it.
    """
    if "bm3d" in names and importlib.util.find_spec("bm3d") is None:
        raise ConfigError(
            "config.evaluate.classical names bm3d, which is not installed: pip install bm3d, or "
            "leave it out"
        )


def _channels(image: np.ndarray) -> int | None:
    return 2 if image.ndim == 3 else None
