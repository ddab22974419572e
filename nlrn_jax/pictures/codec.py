"""The bytes of PNG, JPEG, BMP and WebP, decoded and encoded without loss.

Pillow decodes 8 bits a sample; a PNG of 16 goes through imagecodecs. TIFF is in `tiff`.
"""

import io
import struct
import zlib
from typing import BinaryIO

import imagecodecs
import numpy as np
from PIL import Image

from nlrn_jax.errors import UserError
from nlrn_jax.pictures.picture import (
    ORIENTATION,
    Picture,
    check_size,
    described,
    joined,
    noted,
    to_srgb,
    upright,
)

FORMATS = ("PNG", "JPEG", "BMP", "WEBP")
_PNG = b"\x89PNG\r\n\x1a\n"
_CONVERTED = {
    "1": "1-bit converted to 8-bit grey",
    "P": "palette converted to RGB",
    "PA": "palette converted to RGB",
    "L": "transparent level converted to alpha",
    "RGB": "transparent colour converted to alpha",
}


def decode(file: BinaryIO) -> Picture:
    """Decode an open file that is no TIFF.

    Raises:
      UserError: reason and mend, without the file's name; decoders raise almost anything else.
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
            raise UserError("damaged (a check sum is wrong); replace the file")
        depth = content[8] if kind == b"IHDR" else depth
    file.seek(0)
    return depth


def _exactly(file: BinaryIO, count: int) -> bytes:
    content = file.read(count)
    if len(content) < count:
        raise UserError("cut short; replace the file")
    return content


def _check_jpeg_end(file: BinaryIO) -> None:
    """Demand the end marker: what is cut short may be filled up with zeros, and these decode."""
    content = file.read()
    file.seek(0)
    at = 2
    while content[at : at + 2] != b"\xff\xda":  # start of scan; a thumbnail may end before it
        if at >= len(content):
            raise UserError("cut short; replace the file")
        is_segment = content[at] == 0xFF and content[at + 1 : at + 2] not in (b"\xff", b"\0")
        at += 2 + int.from_bytes(content[at + 2 : at + 4], "big") if is_segment else 1
    if content.find(b"\xff\xd9", at) < 0:
        raise UserError("cut short (it has no end marker); replace the file")


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


def _plain_mode(opened: Image.Image) -> str:
    if opened.mode not in ("LA", "RGBA", *_CONVERTED):
        raise UserError(f"its pixels are of kind {opened.mode}; save it as 8- or 16-bit RGB")
    mode = "L" if opened.mode in ("1", "L", "LA") else "RGB"
    return mode + "A" if opened.has_transparency_data else mode


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
