"""The picture that is looked at: as the network sees it, and its original if that is known."""

import functools
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from nlrn_jax.config.levels import own_protocol, scored_levels
from nlrn_jax.data.degrade import bicubic_resize
from nlrn_jax.data.pixels import network_channels, to_float
from nlrn_jax.data.sources import Image, require_size
from nlrn_jax.errors import UserError
from nlrn_jax.pictures.files import open_picture, read_pixels
from nlrn_jax.pictures.picture import MAX_PIXELS
from nlrn_jax.scoring.protocols import Setting, example

SIDE = 256  # pixels that are looked at: all states are kept, 1.7 GiB in full size


class Subject(NamedTuple):
    """A picture as the network sees it, and its original, if known; float32 [H, W(, 3)]."""

    name: str
    input: np.ndarray
    original: np.ndarray | None


def read_subject(
    config: ConfigDict,
    source: Path | None,
    original: Path | None,
    scale: int,
    max_pixels: int = MAX_PIXELS,
) -> Subject:
    """Read the picture to look at.

    Args:
      config: of the run.
      source: degraded, or of low resolution; None: the original is degraded as in the run's
        validation, by its highest level or by `scale`.
      original: the clean picture, or None where it is unknown.
      scale: of super-resolution; 1 for a denoiser.
      max_pixels: of a file; a header that says more is taken for damage.

    Raises:
      UserError: neither is given, a file cannot be read, or the two do not belong together.
    """
    if source is None and original is None:
        raise UserError("--input (noisy, or of low resolution) or --original (clean) is missing")
    channels = functools.partial(network_channels, task=config.task, channels=config.model.channels)
    if source is None:
        level = scale if config.task == "sr" else scored_levels(config)[-1]
        setting = Setting(own_protocol(config), config.model.channels, config.seed)
        image = Image(original.name, read_pixels(original, max_pixels))
        require_size([image], scale, f"a network of x{scale}")
        test = example(image, setting, level)
        return Subject(original.stem, test.input, test.original)
    pixels = to_float(open_picture(source, max_pixels).pixels)
    pixels = channels(bicubic_resize(pixels, scale) if scale > 1 else pixels)
    if original is None:
        return Subject(source.stem, pixels, None)
    clean = channels(to_float(open_picture(original, max_pixels).pixels))
    return Subject(source.stem, pixels, _fitted(clean, pixels, scale, original))


def _fitted(clean: np.ndarray, pixels: np.ndarray, scale: int, path: Path) -> np.ndarray:
    """Cut an original to the whole low-resolution pixels that are left of it."""
    (height, width), there = pixels.shape[:2], clean.shape[:2]
    if not (0 <= there[0] - height < scale and 0 <= there[1] - width < scale):
        raise UserError(
            f"{path}: {there[0]} x {there[1]} pixels, but the restored picture has "
            f"{height} x {width}; name its own original"
        )
    return clean[:height, :width]


def around(subject: Subject, at: tuple[int, int]) -> tuple[Subject, tuple[int, int]]:
    """Cut out what is looked at, and say where it begins."""
    shape = subject.input.shape[:2]
    top, left = (
        max(0, min(place - SIDE // 2, length - SIDE))
        for place, length in zip(at, shape, strict=True)
    )
    part = slice(top, top + SIDE), slice(left, left + SIDE)
    original = None if subject.original is None else subject.original[part]
    return subject._replace(input=subject.input[part], original=original), (top, left)
