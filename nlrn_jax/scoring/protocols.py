"""How figures are measured: seven protocols by name, each stated here and nowhere else.

denoise
    Grey or RGB. White Gaussian noise, neither clipped nor rounded, fixed by the file's name and
    the seed. The restored image is clipped and rounded to 8 bits; nothing is shaved off. The
    baseline is the noise itself, as the network is given it: 24.61, 20.17, 14.15 dB for sigma 15,
    25, 50.

denoise_clipped
    The same noise, but the noisy image is clipped and rounded to 8 bits before it is restored, as
    a picture file would be. The baseline gains 0.2 to 0.8 dB by that.

jpeg
    Grey or RGB. The level is a quality: the picture is what libjpeg makes of it with its standard
    tables, the chroma of RGB halved both ways (4:2:0). The restored image is clipped and rounded to
    8 bits; nothing is shaved off. The baseline is the JPEG itself.

photo
    What cameras and phones give. Grey or RGB. Of level L: Poisson noise whose standard deviation at
    white is L grey levels, then white Gaussian noise of L / 2, both fixed by the file's name and
    the seed; clipped and rounded to 8 bits; then JPEG of quality 70, as in jpeg. Scored as jpeg.

sr_y
    The original, cropped to a multiple of the scale, is reduced in 8 bits as MATLAB's imresize
    does, and enlarged again. The BT.601 luma in 16..235 (`pixels.luma`; a grey original as it is)
    of both images, clipped and rounded to 8 bits; `scale` pixels shaved off each side.

sr_y_float
    The authors' own: the luma of the original is rounded, cropped, reduced and enlarged without
    rounding its low resolution to 8 bits. Scored as sr_y.

sr_rgb
    Degraded as sr_y. Red, green and blue, clipped and rounded to 8 bits, are scored together;
    `scale` pixels shaved off each side. A network of one channel restores the luma, the chroma is
    bicubic.

PSNR and SSIM are over 0..255, in float64 (`metrics.py`).
"""

import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from nlrn_jax.config.levels import PROTOCOLS, measuring_protocol
from nlrn_jax.data import degrade
from nlrn_jax.data.camera import add_poisson_noise, as_jpeg
from nlrn_jax.data.pixels import crop_to_multiple, grey, luma, network_channels, to_float, to_uint8
from nlrn_jax.data.sources import Image
from nlrn_jax.scoring.metrics import SSIM_WINDOW, psnr, ssim

PHOTO_QUALITY = 70  # of JPEG, in the protocol photo


class Setting(NamedTuple):
    """What makes figures comparable: protocol, channels of the networks, seed of the noise."""

    protocol: str
    channels: int
    seed: int

    @property
    def task(self) -> str:
        """'denoise' or 'sr'."""
        return PROTOCOLS[self.protocol].task


def setting_of(config: ConfigDict) -> Setting:
    """Return how figures are measured: by `evaluate.protocol`, or the network's own."""
    return Setting(measuring_protocol(config), config.model.channels, config.seed)


class Example(NamedTuple):
    """A test pair, float32 [H, W] or [H, W, 3] in [0, 1].

    Attributes:
      name: of the image.
      input: what the network restores; for super-resolution already enlarged. Not clipped.
      original: what it should be.
      low: the low resolution, [H / scale, W / scale(, 3)]; uint8, or float32 in sr_y_float.
    """

    name: str
    input: np.ndarray
    original: np.ndarray
    low: np.ndarray | None


def example(image: Image, setting: Setting, level: float, low: np.ndarray | None = None) -> Example:
    """Degrade a whole image: by noise of `level` grey levels, JPEG quality or scale `level`.

    Args:
      image: the original.
      setting: how.
      level: noise in grey levels of 255, quality, or the scale.
      low: uint8, the degraded picture where there is one already: noisy, or of low resolution.
    """
    if setting.task == "denoise":
        return _noisy(image, setting, level, low)
    if setting.protocol == "sr_y_float":
        return _reduced_luma(image, level)
    pixels = crop_to_multiple(image.pixels, level)
    low = degrade.bicubic_resize(pixels, 1 / level) if low is None else low
    enlarged, original = degrade.bicubic_resize(to_float(low), level), to_float(pixels)
    if setting.channels == 3:
        # A grey original stays grey: as RGB its luma would have 219 levels, and gain 1.3 dB.
        return Example(image.name, network_channels(enlarged, "sr", 3), original, low)
    if setting.protocol == "sr_y":
        enlarged, original = luma(enlarged), luma(original)
    return Example(image.name, enlarged, original, low)


def score(
    output: np.ndarray, original: np.ndarray, protocol: str, level: float
) -> dict[str, float]:
    """Return psnr (dB, infinite for equal images) and ssim of a restoration.

    Both images float [H, W] or [H, W, 3] in [0, 1]. What leaves less than 11x11 pixels to compare
    raises a ValueError; `least_side` says what is enough.
    """
    if output.ndim > original.ndim:  # three channels of a grey original
        output = grey(output)
    if protocol in ("sr_y", "sr_y_float"):
        output, original = luma(output), luma(original)
    output, original = to_uint8(output), to_uint8(original)
    if PROTOCOLS[protocol].task == "sr":
        inside = slice(level, -level), slice(level, -level)
        output, original = output[inside], original[inside]
    return _figures(output, original)


def score_baseline(test: Example, protocol: str, level: float) -> dict[str, float]:
    """Return psnr and ssim of what a network is given: the degraded or the enlarged image."""
    if protocol == "denoise":
        return _figures(255 * test.input.astype(np.float64), 255 * test.original)
    return score(test.input, test.original, protocol, level)


def least_side(protocol: str, level: float) -> int:
    """Return the side an image needs, pixels: SSIM's window, for super-resolution after the shave.

    In whole low-resolution pixels.
    """
    if PROTOCOLS[protocol].task == "denoise":
        return SSIM_WINDOW
    return (-(-SSIM_WINDOW // level) + 2) * level


def _noisy(image: Image, setting: Setting, level: float, low: np.ndarray | None) -> Example:
    original = to_float(network_channels(image.pixels, "denoise", setting.channels))
    if low is not None:
        noisy = to_float(network_channels(low, "denoise", setting.channels))
        return Example(image.name, noisy, original, None)
    name = Path(image.name).name.encode("utf-8", "surrogateescape")  # a file's need not be a text
    rng = np.random.default_rng([setting.seed, zlib.crc32(name)])
    return Example(image.name, _degraded(original, setting.protocol, level, rng), original, None)


def _degraded(
    original: np.ndarray, protocol: str, level: float, rng: np.random.Generator
) -> np.ndarray:
    match protocol:
        case "jpeg":
            return as_jpeg(original, level)
        case "photo":
            lit = add_poisson_noise(original, level, rng)
            return as_jpeg(degrade.add_noise(lit, level / 2, rng), PHOTO_QUALITY)
        case "denoise_clipped":
            return to_float(to_uint8(degrade.add_noise(original, level, rng)))
    return degrade.add_noise(original, level, rng)


def _reduced_luma(image: Image, scale: int) -> Example:
    original = to_float(crop_to_multiple(luma(image.pixels), scale))
    low = degrade.bicubic_resize(original, 1 / scale)
    return Example(image.name, degrade.bicubic_resize(low, scale), original, low)


def _figures(output: np.ndarray, original: np.ndarray) -> dict[str, float]:
    return {"psnr": psnr(output, original, 255), "ssim": ssim(output, original, 255)}
