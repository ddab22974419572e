"""A picture: upright pixels and what travels with them, however a file holds it."""

import io
import math
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageCms

from nlrn_jax.errors import UserError

MAX_PIXELS = 2**27  # 134 megapixels; a header that says more is taken for damage
ORIENTATION = 0x0112  # in EXIF, and a tag of TIFF


class Picture(NamedTuple):
    """Upright pixels and what travels with them."""

    pixels: np.ndarray  # [H, W] or [H, W, 3]; uint8, uint16, or float32 with white at 1
    alpha: np.ndarray | None = None  # [H, W], same dtype; the pixels are not multiplied by it
    icc_profile: bytes | None = None
    dpi: tuple[float, float] | None = None  # across, down
    notes: tuple[str, ...] = ()  # what was converted on decoding, a line each


def check_size(width: int, height: int) -> None:
    """Raise UserError for a header of no pixels or of more than `MAX_PIXELS`."""
    if not 0 < width * height <= MAX_PIXELS:
        raise UserError(
            f"its header says {width} x {height} pixels, not 1 to {MAX_PIXELS // 10**6} million; "
            "replace the file, or split the picture"
        )


def described(
    orientation: int,
    icc_profile: bytes | None,
    dpi: tuple[float, float] | None,
    pages: int,
) -> Picture:
    """Return what is known of a picture before its pixels; absurd values are left out."""
    picture = Picture(np.empty((0, 0)), None, icc_profile or None)
    if dpi is not None and all(0 < d < math.inf for d in dpi):
        across, down = map(float, dpi)
        turned = orientation in (5, 6, 7, 8)
        picture = picture._replace(dpi=(down, across) if turned else (across, down))
    if pages > 1:
        picture = noted(picture, f"the first of {pages} pages taken")
    if orientation in range(2, 9):
        picture = noted(picture, f"EXIF orientation {orientation} applied")
    return picture


def noted(picture: Picture, note: str) -> Picture:
    """Return the picture with one more note."""
    return picture._replace(notes=(*picture.notes, note))


def upright(
    picture: Picture, pixels: np.ndarray, alpha: np.ndarray | None, orientation: int
) -> Picture:
    """Put pixels and alpha in as they should be seen."""
    pixels = _turned(pixels, orientation)
    return picture._replace(
        pixels=pixels, alpha=None if alpha is None else _turned(alpha, orientation)
    )


def _turned(samples: np.ndarray, orientation: int) -> np.ndarray:
    """Undo EXIF orientation 1..8 of samples [H, W, ...]; other numbers mean nothing."""
    if orientation in (5, 6, 7, 8):
        samples = samples.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        samples = samples[:, ::-1]
    if orientation in (3, 4, 7, 8):
        samples = samples[::-1]
    return np.ascontiguousarray(samples)


def to_srgb(image: Image.Image, profile: bytes | None) -> tuple[Image.Image, str]:
    """Convert CMYK, by its profile where it has one, or Lab to sRGB; say how."""
    if image.mode == "CMYK" and not profile:
        return image.convert("RGB"), "CMYK without a profile converted to RGB, by rule of thumb"
    try:
        lab = image.mode == "LAB"
        source = ImageCms.createProfile("LAB") if lab else io.BytesIO(profile)
        target = ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(image, source, target, outputMode="RGB")
    except ImageCms.PyCMSError:
        return image.convert("RGB"), "CMYK with a bad profile converted to RGB, by rule of thumb"
    return converted, f"{'Lab' if lab else 'CMYK'} converted to sRGB"


def joined(picture: Picture) -> np.ndarray:
    """Return the samples as files interleave them: [H, W], or [H, W, 2..4] with alpha last."""
    if picture.alpha is None:
        return np.ascontiguousarray(picture.pixels)
    return np.dstack([picture.pixels, picture.alpha])
