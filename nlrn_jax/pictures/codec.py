"""Pictures and the bytes of PNG, JPEG, BMP and WebP: decode and encode, losing nothing.

Pillow decodes 8 bits a sample; a PNG of 16 goes through imagecodecs. TIFF is in `tiff`.
"""

import io
import math
import struct
import zlib
from typing import BinaryIO, NamedTuple

import imagecodecs
import numpy as np
from PIL import Image, ImageCms

from nlrn_jax.data.pixels import ImageError

FORMATS = ("PNG", "JPEG", "BMP", "WEBP")
MAX_PIXELS = 2**27  # 134 megapixels; a header that says more is taken for damage
_PNG = b"\x89PNG\r\n\x1a\n"
ORIENTATION = 0x0112  # in EXIF, and a tag of TIFF
_CONVERTED = {
    "1": "1-bit converted to 8-bit grey",
    "P": "palette converted to RGB",
    "PA": "palette converted to RGB",
    "L": "transparent level converted to alpha",
    "RGB": "transparent colour converted to alpha",
}


class Picture(NamedTuple):
    """Upright pixels and what travels with them."""

    pixels: np.ndarray  # [H, W] or [H, W, 3]; uint8, uint16, or float32 with white at 1
    alpha: np.ndarray | None = None  # [H, W], same dtype; the pixels are not multiplied by it
    icc_profile: bytes | None = None
    dpi: tuple[float, float] | None = None  # across, down
    notes: tuple[str, ...] = ()  # what was converted on decoding, a line each


def decode(file: BinaryIO) -> Picture:
    """Decode an open file that is no TIFF.

    Raises:
      ImageError: reason and mend, without the file's name; decoders raise almost anything else.
    """
    head = file.read(len(_PNG))
    file.seek(0)
    if head == _PNG:
        return _decode_deep_png(file) if _sound_png_depth(file) == 16 else _decode_by_pillow(file)
    if head[:2] == b"\xff\xd8":
        _check_jpeg_end(file)
    return _decode_by_pillow(file)


def _sound_png_depth(file: BinaryIO) -> int:
    """Return the bits a sample of a PNG whose check sums hold; Pillow skips those of pixels."""
    file.seek(len(_PNG))
    depth, kind = 0, b""
    while kind != b"IEND":
        length, kind = struct.unpack(">I4s", _exactly(file, 8))
        content = _exactly(file, length)
        if zlib.crc32(kind + content) != int.from_bytes(_exactly(file, 4), "big"):
            raise ImageError("damaged (a check sum is wrong); replace the file")
        depth = content[8] if kind == b"IHDR" else depth
    file.seek(0)
    return depth


def _exactly(file: BinaryIO, count: int) -> bytes:
    content = file.read(count)
    if len(content) < count:
        raise ImageError("cut short; replace the file")
    return content


def _check_jpeg_end(file: BinaryIO) -> None:
    """Demand the end marker: what is cut short may be filled up with zeros, and these decode."""
    content = file.read()
    file.seek(0)
    at = 2
    while content[at : at + 2] != b"\xff\xda":  # start of scan; a thumbnail may end before it
        if at >= len(content):
            raise ImageError("cut short; replace the file")
        is_segment = content[at] == 0xFF and content[at + 1 : at + 2] not in (b"\xff", b"\0")
        at += 2 + int.from_bytes(content[at + 2 : at + 4], "big") if is_segment else 1
    if content.find(b"\xff\xd9", at) < 0:
        raise ImageError("cut short (it has no end marker); replace the file")


def check_size(width: int, height: int) -> None:
    """Raise ImageError for a header of no pixels or of more than `MAX_PIXELS`."""
    if not 0 < width * height <= MAX_PIXELS:
        raise ImageError(
            f"its header says {width} x {height} pixels, not 1 to {MAX_PIXELS // 10**6} million; "
            "replace the file, or split the picture"
        )


def _decode_by_pillow(file: BinaryIO) -> Picture:
    with Image.open(file, formats=FORMATS) as opened:
        check_size(*opened.size)
        picture, orientation = _described(opened)
        if opened.mode == "CMYK":
            plain, note = to_srgb(opened, picture.icc_profile)
            picture = picture._replace(icc_profile=None)
        else:
            plain, note = opened.convert(_plain_mode(opened)), _CONVERTED.get(opened.mode, "")
        if plain.mode != opened.mode:
            picture = noted(picture, note)
        return _upright(picture, np.array(plain), orientation)


def _decode_deep_png(file: BinaryIO) -> Picture:
    with Image.open(file, formats=("PNG",)) as opened:
        check_size(*opened.size)
        picture, orientation = _described(opened)
    file.seek(0)
    return _upright(picture, imagecodecs.png_decode(file.read()), orientation)


def _upright(picture: Picture, samples: np.ndarray, orientation: int) -> Picture:
    """Put samples [H, W] or [H, W, 2..4] in, the second or fourth of which are alpha."""
    if samples.ndim == 2 or samples.shape[2] == 3:
        return upright(picture, samples, None, orientation)
    colour = samples[..., 0] if samples.shape[2] == 2 else samples[..., :3]
    return upright(picture, colour, samples[..., -1], orientation)


def _described(opened: Image.Image) -> tuple[Picture, int]:
    orientation = opened.getexif().get(ORIENTATION, 1)
    icc_profile, dpi = opened.info.get("icc_profile"), opened.info.get("dpi")
    pages = getattr(opened, "n_frames", 1)
    return described(orientation, icc_profile, dpi, pages), orientation


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


def _plain_mode(opened: Image.Image) -> str:
    if opened.mode not in ("LA", "RGBA", *_CONVERTED):
        raise ImageError(f"its pixels are of kind {opened.mode}; save it as 8- or 16-bit RGB")
    mode = "L" if opened.mode in ("1", "L", "LA") else "RGB"
    return mode + "A" if opened.has_transparency_data else mode


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


def encode(picture: Picture, format: str) -> bytes:
    """Encode in a format that can hold the picture: PNG, BMP or WEBP without loss, or JPEG."""
    samples = joined(picture)
    if format == "PNG":
        return _encode_png(samples, picture)
    options = {
        "JPEG": {"quality": 95, "subsampling": "4:4:4"},
        "BMP": {},
        "WEBP": {"lossless": True, "exact": True},
    }[format]
    carried = {"icc_profile": picture.icc_profile, "dpi": picture.dpi}
    options |= {name: value for name, value in carried.items() if value is not None}
    buffer = io.BytesIO()
    Image.fromarray(samples).save(buffer, format, **options)
    return buffer.getvalue()


def joined(picture: Picture) -> np.ndarray:
    """Return the samples as files interleave them: [H, W], or [H, W, 2..4] with alpha last."""
    if picture.alpha is None:
        return np.ascontiguousarray(picture.pixels)
    return np.dstack([picture.pixels, picture.alpha])


def _encode_png(samples: np.ndarray, picture: Picture) -> bytes:
    content = imagecodecs.png_encode(samples)
    chunks = b""
    if picture.icc_profile:
        chunks += _png_chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(picture.icc_profile))
    if picture.dpi:
        metres = (round(dots / 0.0254) for dots in picture.dpi)
        chunks += _png_chunk(b"pHYs", struct.pack(">IIB", *metres, 1))
    header = len(_PNG) + 25  # IHDR, which comes first
    return content[:header] + chunks + content[header:]


def _png_chunk(kind: bytes, content: bytes) -> bytes:
    return (
        struct.pack(">I4s", len(content), kind)
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )
