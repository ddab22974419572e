"""PNG, JPEG, BMP and WebP, decoded and encoded without loss.

Pillow decodes 8 bits a sample; a PNG of 16 goes through imagecodecs. Chunks of PNG are in `png`,
TIFF is in `tiff`.
"""

import io
from typing import BinaryIO

import imagecodecs
import numpy as np
from PIL import Image

from nlrn_jax.errors import UserError
from nlrn_jax.pictures import png
from nlrn_jax.pictures.picture import (
    Picture,
    carrying,
    check_size,
    joined,
    noted,
    to_srgb,
    upright,
)

FORMATS = ("PNG", "JPEG", "BMP", "WEBP")
_CONVERTED = {
    "1": "1-bit converted to 8-bit grey",
    "P": "palette converted to RGB",
    "PA": "palette converted to RGB",
    "L": "transparent level converted to alpha",
    "RGB": "transparent colour converted to alpha",
}


def decode(file: BinaryIO, max_pixels: int) -> Picture:
    """Decode an open file that is no TIFF.

    Raises:
      UserError: reason and mend, without the file's name; decoders raise almost anything else.
    """
    head = file.read(len(png.SIGNATURE))
    file.seek(0)
    if head == png.SIGNATURE:
        return _decode_png(file, max_pixels)
    if head[:2] == b"\xff\xd8":
        _check_jpeg_end(file)
    with Image.open(file, formats=FORMATS) as opened:
        check_size(*opened.size, max_pixels)
        return _decode_opened(opened, *_described(opened))


def sides(file: BinaryIO) -> tuple[int, int]:
    """Return width and height of a file that is no TIFF, as they are stored."""
    head = file.read(len(png.SIGNATURE) + 16)  # Pillow reads texts too, and may refuse them
    if head.startswith(png.SIGNATURE):
        return int.from_bytes(head[-8:-4], "big"), int.from_bytes(head[-4:], "big")
    file.seek(0)
    with Image.open(file, formats=FORMATS) as opened:
        return opened.size


def _decode_png(file: BinaryIO, max_pixels: int) -> Picture:
    chunks = png.read_chunks(file)
    width, height, depth = png.header(chunks)
    check_size(width, height, max_pixels)
    picture, orientation = png.described(chunks)
    plain = png.only_pixels(chunks)
    if depth == 16:
        return _upright(picture, imagecodecs.png_decode(plain), orientation)
    with Image.open(io.BytesIO(plain), formats=("PNG",)) as opened:
        return _decode_opened(opened, picture, orientation)


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


def _decode_opened(opened: Image.Image, picture: Picture, orientation: int) -> Picture:
    if opened.mode == "CMYK":
        plain, note = to_srgb(opened, picture.icc_profile)
        picture = picture._replace(icc_profile=None)
    else:
        plain, note = opened.convert(_plain_mode(opened)), _CONVERTED.get(opened.mode, "")
    if plain.mode != opened.mode:
        picture = noted(picture, note)
    return _upright(picture, np.array(plain), orientation)


def _upright(picture: Picture, samples: np.ndarray, orientation: int) -> Picture:
    """Put samples [H, W] or [H, W, 2..4] in, the second or fourth of which are alpha."""
    if samples.ndim == 2 or samples.shape[2] == 3:
        return upright(picture, samples, None, orientation)
    colour = samples[..., 0] if samples.shape[2] == 2 else samples[..., :3]
    return upright(picture, colour, samples[..., -1], orientation)


def _described(opened: Image.Image) -> tuple[Picture, int]:
    info, pages = opened.info, getattr(opened, "n_frames", 1)
    carried = (info.get(name) for name in ("exif", "icc_profile", "dpi"))
    picture, orientation = carrying(*carried, pages, info.get("xmp"))
    besides = {"Photoshop's data": "photoshop", "comment": "comment"}
    lost = tuple(name for name, key in besides.items() if info.get(key))
    return picture._replace(lost=lost), orientation


def _plain_mode(opened: Image.Image) -> str:
    if opened.mode not in ("LA", "RGBA", *_CONVERTED):
        raise UserError(f"its pixels are of kind {opened.mode}; save it as 8- or 16-bit RGB")
    mode = "L" if opened.mode in ("1", "L", "LA") else "RGB"
    return mode + "A" if opened.has_transparency_data else mode


def encode(picture: Picture, format: str, quality: int | None = None) -> bytes:
    """Encode in a format that can hold the picture: PNG, BMP or WEBP without loss, or JPEG.

    A quality, 1..100, is of JPEG (None: 95), and of WebP with loss.
    """
    if format == "PNG":
        return png.encode(picture)
    options = {
        "JPEG": {"quality": quality or 95, "subsampling": "4:4:4"},
        "BMP": {},
        "WEBP": {"exact": True} | ({"quality": quality} if quality else {"lossless": True}),
    }[format]
    carried = {"icc_profile": picture.icc_profile, "dpi": picture.dpi, "xmp": picture.xmp}
    carried["exif"] = picture.exif and b"Exif\0\0" + picture.exif
    options |= {name: value for name, value in carried.items() if value is not None}
    buffer = io.BytesIO()
    Image.fromarray(joined(picture)).save(buffer, format, **options)
    return buffer.getvalue()
