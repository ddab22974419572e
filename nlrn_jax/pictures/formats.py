"""The formats: by which endings and first bytes they are known, and what each can hold."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import features

from nlrn_jax.pictures.picture import Picture


class Format(NamedTuple):
    """A format of picture files.

    Attributes:
      name: as Pillow calls it.
      endings: of file names, the usual one first.
      dtypes: of samples.
      alpha: whether it holds transparency.
      side: pixels, at most.
      keeps: which fields of a `Picture` besides its samples.
    """

    name: str
    endings: tuple[str, ...]
    dtypes: tuple[type, ...]
    alpha: bool
    side: int
    keeps: tuple[str, ...]


PNG = Format("PNG", (".png", ".apng"), (np.uint8, np.uint16), True, 10**6,  # a limit of libpng
             ("icc_profile", "dpi", "exif", "xmp", "chunks"))  # fmt: skip
JPEG = Format("JPEG", (".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".pjpeg", ".pjp", ".mpo"),
              (np.uint8,), False, 65_500, ("icc_profile", "dpi", "exif", "xmp"))  # fmt: skip
TIFF = Format("TIFF", (".tif", ".tiff", ".btf", ".tf8"), (np.uint8, np.uint16, np.float32), True,
              2**31 - 1, ("icc_profile", "dpi", "exif", "xmp", "per_unit"))  # fmt: skip
BMP = Format("BMP", (".bmp", ".dib"), (np.uint8,), False, 2**31 - 1, ("dpi",))
WEBP = Format("WEBP", (".webp",), (np.uint8,), True, 16_383, ("icc_profile", "exif", "xmp"))
FORMATS = (PNG, TIFF, JPEG, BMP, WEBP)
EXTENSIONS = tuple(ending for format in FORMATS for ending in format.endings)
USUAL = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp", ".webp")  # what errors propose
TIFF_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # the latter two are BigTIFF

_CALLED = {
    "icc_profile": "ICC profile",
    "dpi": "resolution",
    "exif": "EXIF",
    "xmp": "XMP",
    "per_unit": "ImageJ's pixels a unit",
}
_MARKER = 65_533  # bytes that a segment of JPEG holds
_XMP_NAME = 29  # bytes of the name that XMP has there


def by_ending(ending: str) -> Format | None:
    """Return the format that the ending of a name, such as '.JPG', stands for."""
    return next((f for f in FORMATS if ending.lower() in f.endings), None)


def by_content(path: Path) -> Format | None:
    """Return the format that a file begins like; None where it is of another, or cannot be read."""
    try:
        if not path.is_file():  # a pipe, say, that nobody writes to
            return None
        with path.open("rb") as file:
            head = file.read(12)
    except OSError:
        return None
    if head[:4] in TIFF_SIGNATURES:
        return TIFF
    if head[:4] == b"RIFF" and head[8:] == b"WEBP":
        return WEBP
    signatures = {b"\x89PNG\r\n\x1a\n": PNG, b"\xff\xd8\xff": JPEG, b"BM": BMP}
    return next((f for start, f in signatures.items() if head.startswith(start)), None)


def misfit(format: Format, dtype: np.dtype, has_alpha: bool, shape: tuple[int, ...]) -> str:
    """Say why a format cannot hold such samples; '' where it can."""
    if dtype not in format.dtypes:
        return f"{format.name} cannot hold {dtype}"
    if has_alpha and not format.alpha:
        return f"{format.name} cannot hold transparency"
    if max(shape[:2]) > format.side:
        return f"{format.name} holds up to {format.side} pixels a side, not {max(shape[:2])}"
    if format.name == "WEBP" and not features.check("webp"):
        return "the installed Pillow has no WebP"
    return ""


def holders(dtype: np.dtype, has_alpha: bool, shape: tuple[int, ...]) -> list[Format]:
    """Return the formats that can hold such samples."""
    return [format for format in FORMATS if not misfit(format, dtype, has_alpha, shape)]


def fitted(format: Format, picture: Picture) -> tuple[Picture, tuple[str, ...]]:
    """Leave out what a format has no place for; return notes of it too."""
    homeless = {name for name in _CALLED if getattr(picture, name) and name not in format.keeps}
    if format is JPEG:
        sizes = {"exif": len(picture.exif or b"") + 6, "xmp": len(picture.xmp or b"") + _XMP_NAME}
        homeless |= {name for name, size in sizes.items() if size > _MARKER}
        homeless |= {"dpi"} if picture.dpi and max(picture.dpi) > 2**16 - 1 else set()
    names = [_CALLED[name] for name in _CALLED if name in homeless]
    picture = picture._replace(**dict.fromkeys(homeless))
    if picture.chunks and "chunks" not in format.keeps:
        names += _chunk_names(picture.chunks)
        picture = picture._replace(chunks=())
    notes = [f"left out: {', '.join(picture.lost)}"] if picture.lost else []
    if names:
        notes.append(f"left out, {format.name} has no place for it: {', '.join(names)}")
    return picture, tuple(notes)


def _chunk_names(chunks: tuple[tuple[bytes, bytes], ...]) -> list[str]:
    """Name chunks of PNG, their texts by their keywords; what says sRGB needs no saying."""
    plain = {b"sRGB", b"gAMA", b"cHRM"} if any(kind == b"sRGB" for kind, _ in chunks) else set()
    texts = (b"tEXt", b"zTXt", b"iTXt")
    names = [
        f"text ({content.split(bytes(1))[0].decode('latin-1')[:40]})"
        if kind in texts
        else f"{kind.decode()} (what the colours mean)"
        for kind, content in chunks
        if kind not in plain
    ]
    return list(dict.fromkeys(names))
