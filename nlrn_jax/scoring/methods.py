"""What is compared: the baseline, classical denoisers, and the networks of runs."""

import functools
import importlib.util
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from nlrn_jax.config.levels import PROTOCOLS
from nlrn_jax.data.pixels import to_float
from nlrn_jax.errors import UserError
from nlrn_jax.exchanging.stored import load_trained
from nlrn_jax.network.build import Model, build_model, count_parameters
from nlrn_jax.restoring.restore import Advance
from nlrn_jax.restoring.way import Way, require_memory, restorer
from nlrn_jax.scoring.networks import Network
from nlrn_jax.scoring.protocols import Example

Figures = dict[str, float]  # {'psnr': dB, 'ssim': ...}
# (noisy image, float32 [H, W] or [H, W, 3] in [0, 1]; noise in grey levels) -> float of that shape
Denoiser = Callable[[np.ndarray, float], np.ndarray]


class Method(NamedTuple):
    """A way to restore an example, and what is told about it.

    Attributes:
      name: shown in tables, unique among the methods of an evaluation.
      kind: 'baseline', 'classical' or 'network'.
      restore: (example, level of the protocol, progress) -> float, as the example's input.
      parameters, run, checkpoint: of a network: their number, its workdir, the step.
    """

    name: str
    kind: str
    restore: Callable[[Example, float, Advance | None], np.ndarray]
    parameters: int | None = None
    run: str | None = None
    checkpoint: int | None = None


class Output(NamedTuple):
    """What a method made of an image: pixels, figures, and the seconds it took.

    The seconds are None where something was compiled meanwhile.
    """

    pixels: np.ndarray
    figures: Figures
    seconds: float | None


def baseline(protocol: str) -> Method:
    """Return what every restoration is compared with: the degraded image, or bicubic."""
    degraded = "JPEG" if protocol == "jpeg" else "noisy"
    name = "bicubic" if PROTOCOLS[protocol].task == "sr" else degraded
    return Method(name, "baseline", lambda test, level, advance: test.input)


def classical(names: list[str]) -> list[Method]:
    """Return the classical denoisers of these names, from installed libraries."""

    def method(title: str, denoise: Denoiser) -> Method:
        return Method(title, "classical", lambda test, level, advance: denoise(test.input, level))

    return [method(*DENOISERS[name]) for name in names]


def network(found: Network) -> Method:
    """Load a network."""
    model, variables = load_trained(found.run, found.checkpoint)
    restore = functools.partial(restore_example, model, variables, way_of(found.config))
    parameters = count_parameters(variables["params"])
    return Method(found.name, "network", restore, parameters, found.run, found.checkpoint)


def way_of(config: ConfigDict) -> Way:
    """Return how `config.evaluate` wants networks to restore."""
    settings = config.evaluate
    if settings.whole:
        return Way(ensemble=settings.ensemble)
    return Way(
        patch=settings.patch, stride=settings.stride, batch=settings.batch,
        ensemble=settings.ensemble,
    )  # fmt: skip


def require_room(config: ConfigDict, shapes: list[tuple[int, int]]) -> None:
    """Refuse images [H, W] that `config.evaluate` would restore in more memory than there is.

    Raises:
      UserError: says what would fit.
    """
    if not shapes:
        return
    largest = tuple(map(max, zip(*shapes, strict=True)))
    try:
        require_memory(build_model(config), way_of(config), largest)
    except UserError as error:
        raise UserError(f"config.evaluate.patch={config.evaluate.patch}: {error}") from None


def restore_example(
    model: Model,
    variables: dict,
    way: Way,
    test: Example,
    level: float,
    advance: Advance | None = None,
) -> np.ndarray:
    """Restore an example in some way: float32 of its input's shape, not clipped."""
    if test.input.ndim == 3 and model.channels == 1:  # the luma of a colour picture, in sr_rgb
        return restorer(model, variables, way._replace(scale=level))(to_float(test.low), advance)
    return restorer(model, variables, way)(test.input, advance)


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
      UserError: says how to install it.
    """
    if "bm3d" in names and importlib.util.find_spec("bm3d") is None:
        raise UserError(
            "config.evaluate.classical names bm3d, which is not installed: pip install bm3d, or "
            "leave it out"
        )


def _channels(image: np.ndarray) -> int | None:
    return 2 if image.ndim == 3 else None
