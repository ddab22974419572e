"""A picture: upright pixels and what travels with them, however a file holds it."""

import io
import math
import re
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageCms

from nlrn_jax.errors import UserError
from nlrn_jax.pictures import exif

MAX_PIXELS = 135 * 10**6  # a header that says more is taken for damage, unless it is asked for
_XMP_TURN = re.compile(rb"(tiff:Orientation\s*(?:=\s*[\"']|>)\s*)[2-8]")


class Picture(NamedTuple):
    """Upright pixels and what travels with them."""

    pixels: np.ndarray  # [H, W] or [H, W, 3]; uint8, uint16, or float32 with white at 1
    alpha: np.ndarray | None = None  # [H, W], same dtype; the pixels are not multiplied by it
    icc_profile: bytes | None = None
    dpi: tuple[float, float] | None = None  # across, down
    notes: tuple[str, ...] = ()  # what was converted on decoding, a line each
    exif: bytes | None = None  # camera, date, copyright: a block as `exif` says, no thumbnail
    xmp: bytes | None = None  # the same and more as XML; upright
    chunks: tuple[tuple[bytes, bytes], ...] = ()  # PNG's own: what the colours mean, texts
    per_unit: tuple[float, float] | None = None  # ImageJ's pixels a unit, which `exif` names
    lost: tuple[str, ...] = ()  # what the file holds besides, and nothing here keeps


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Raise UserError for a header of no pixels or of more than `max_pixels`."""
    if width * height <= 0:
        raise UserError(f"its header says {width} x {height} pixels; replace the file")
    if width * height > max_pixels:
        raise UserError(
            f"its header says {width} x {height} pixels, {width * height / 1e6:.0f} million, and "
            f"{max_pixels / 1e6:g} are allowed: if it is so large, raise --max_megapixels (in "
            "training --config.data.max_megapixels); else replace the file"
        )


def carrying(
    block: bytes | None,
    icc_profile: bytes | None,
    dpi: tuple[float, float] | None,
    pages: int,
    xmp: bytes | None,
) -> tuple[Picture, int]:
    """Return a picture without pixels yet, and the orientation that its EXIF or its XMP tells."""
    kept, told = exif.taken(block) if block is not None else (None, None)
    orientation = _xmp_orientation(xmp) if told is None else told
    picture = described(orientation, icc_profile, dpi, pages)
    if block is not None and kept is None:
        picture = noted(picture, "its EXIF is damaged, and left out")
    return picture._replace(exif=kept, xmp=upright_xmp(xmp)), orientation


def described(
    orientation: int,
    icc_profile: bytes | None,
    dpi: tuple[float, float] | None,
    pages: int,
) -> Picture:
    """Return what is known of a picture before its pixels; absurd values are left out."""
    picture = Picture(np.empty((0, 0)), None, icc_profile or None)
    if dpi is not None and all(0 < d < math.inf for d in dpi):
        picture = picture._replace(dpi=turned_pair(dpi, orientation))
    if pages > 1:
        picture = noted(picture, f"the first of {pages} pages taken")
    if orientation in range(2, 9):
        picture = noted(picture, f"EXIF orientation {orientation} applied")
    return picture


def turned_pair(pair: tuple[float, float], orientation: int) -> tuple[float, float]:
    """Return (across, down) as it is once the picture is upright."""
    across, down = map(float, pair)
    return (down, across) if orientation in (5, 6, 7, 8) else (across, down)


def _xmp_orientation(xmp: bytes | None) -> int:
    turn = _XMP_TURN.search(xmp or b"")
    return int(turn[0][-1:]) if turn else 1


def upright_xmp(xmp: bytes | None) -> bytes | None:
    """Say in XMP that the picture stands upright."""
    return _XMP_TURN.sub(rb"\g<1>1", xmp) if xmp else None


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
