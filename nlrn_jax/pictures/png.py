"""PNG in chunks: what a file holds besides its pixels, and its bytes, whatever their shape.

Pillow would refuse profiles and texts of over a megabyte, and broken EXIF, for the pixels' sake.
Specification: https://www.w3.org/TR/png-3/.
"""

import struct
import zlib
from typing import BinaryIO, NamedTuple

import imagecodecs
import numpy as np

from nlrn_jax.errors import UserError
from nlrn_jax.pictures.picture import Picture, carrying, joined, noted

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PIXELS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_COLOURS = {b"cICP": 4, b"gAMA": 4, b"cHRM": 32, b"sRGB": 1, b"mDCV": 24, b"cLLI": 8}  # bytes
_XMP = b"XML:com.adobe.xmp"
_INFLATED = 2**26  # bytes of a profile at most
_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}  # by samples a pixel

Chunk = tuple[bytes, bytes]


class Header(NamedTuple):
    """What a PNG says of its pixels."""

    width: int
    height: int
    depth: int  # bits a sample


def read_chunks(file: BinaryIO) -> list[Chunk]:
    """Read all chunks, their check sums too.

    EXIF and texts whose check sum is wrong come without content: viewers show such pictures.

    Raises:
      UserError: cut short or damaged.
    """
    file.seek(len(SIGNATURE))
    chunks: list[Chunk] = []
    while not chunks or chunks[-1][0] != b"IEND":
        length, kind = struct.unpack(">I4s", _exactly(file, 8))
        content = _exactly(file, length)
        if zlib.crc32(kind + content) != int.from_bytes(_exactly(file, 4), "big"):
            if kind not in (b"eXIf", *_TEXTS):
                raise UserError("damaged (a check sum is wrong); replace the file")
            content = b""
        chunks.append((kind, content))
    return chunks


def _exactly(file: BinaryIO, count: int) -> bytes:
    content = file.read(count)
    if len(content) < count:
        raise UserError("cut short; replace the file")
    return content


def header(chunks: list[Chunk]) -> Header:
    """Return what the first chunk says."""
    return Header(*struct.unpack(">IIB", chunks[0][1][:9]))


def only_pixels(chunks: list[Chunk]) -> bytes:
    """Return the same PNG with nothing but its (first) pixels."""
    return SIGNATURE + b"".join(_written(*chunk) for chunk in chunks if chunk[0] in _PIXELS)


def described(chunks: list[Chunk]) -> tuple[Picture, int]:
    """Return a picture without pixels yet, and its orientation."""
    found = dict(reversed(chunks))  # of several the first
    profile, exif, xmp = _profile(found.get(b"iCCP")), found.get(b"eXIf"), None
    others: list[Chunk] = []
    for kind, content in chunks:
        name, _, value = content.partition(b"\0")
        if kind == b"iTXt" and name == _XMP:
            xmp = _international(value)
        elif kind in (b"tEXt", b"zTXt") and name == b"Raw profile type exif":
            exif = exif or _raw_profile(value if kind == b"tEXt" else _inflated(value[1:]))
        elif kind in _TEXTS or kind in _COLOURS:
            others.append((kind, content))
    sound = tuple(chunk for chunk in others if _is_sound(*chunk))
    lost = tuple(f"damaged {chunk[0].decode()}" for chunk in others if chunk not in sound)
    frames = int.from_bytes(found.get(b"acTL", b"")[:4], "big")
    picture, orientation = carrying(exif, profile, _dpi(found.get(b"pHYs")), max(frames, 1), xmp)
    if b"iCCP" in found and not profile:
        picture = noted(picture, "its ICC profile is damaged, and left out")
    return picture._replace(chunks=sound, lost=lost), orientation


def _is_sound(kind: bytes, content: bytes) -> bool:
    """Tell what other readers of the result will not stumble over."""
    if kind in _COLOURS:
        return len(content) == _COLOURS[kind]
    name, _, value = content.partition(b"\0")
    if not 0 < len(name) < 80 or len(name) == len(content):
        return False
    if kind == b"zTXt":
        return value[:1] == b"\0" and _inflated(value[1:]) is not None
    return kind == b"tEXt" or (value[:1] in (b"\0", b"\1") and _international(value) is not None)


def _profile(content: bytes | None) -> bytes | None:
    return content and _inflated(content.partition(b"\0")[2][1:])


def _international(value: bytes) -> bytes | None:
    """Return the text of iTXt, behind: compressed?, method, language, translated keyword."""
    text = value[2:].split(b"\0", 2)[-1]
    return _inflated(text) if value[:1] == b"\1" else text


def _raw_profile(value: bytes | None) -> bytes | None:
    """Read EXIF as ImageMagick writes it: a newline, a name, a length, then hexadecimal lines."""
    try:
        return bytes.fromhex("".join((value or b"").decode("latin-1").split("\n")[3:]))
    except ValueError:
        return b""  # damaged, and so called


def _inflated(content: bytes) -> bytes | None:
    inflate = zlib.decompressobj()
    try:
        inflated = inflate.decompress(content, _INFLATED)
    except zlib.error:
        return None
    return inflated if inflate.eof else None


def _dpi(content: bytes | None) -> tuple[float, float] | None:
    if content is None or len(content) != 9 or content[8] != 1:  # else of no unit
        return None
    return tuple(dots * 0.0254 for dots in struct.unpack(">II", content[:8]))


def encode(picture: Picture) -> bytes:
    """Encode 8 or 16 bits without loss; all that the picture carries has a chunk."""
    samples = joined(picture)
    content = _encoded(samples)
    chunks = list(picture.chunks)
    if picture.icc_profile:
        chunks.append((b"iCCP", b"ICC profile\0\0" + zlib.compress(picture.icc_profile)))
    if picture.dpi:
        metres = (round(dots / 0.0254) for dots in picture.dpi)
        chunks.append((b"pHYs", struct.pack(">IIB", *metres, 1)))
    if picture.exif:
        chunks.append((b"eXIf", picture.exif))
    if picture.xmp:
        chunks.append((b"iTXt", _XMP + bytes(5) + picture.xmp))
    first = len(SIGNATURE) + 25  # IHDR, which comes first
    return content[:first] + b"".join(_written(*chunk) for chunk in chunks) + content[first:]


def _encoded(samples: np.ndarray) -> bytes:
    """Encode by libpng, or where that fails plainly: a result that took long is not lost."""
    room = 2 * samples.nbytes + 2**16  # the room that imagecodecs gives by itself can be too small
    try:
        return bytes(imagecodecs.png_encode(samples, out=room))
    except Exception:  # whatever it does not like
        return _plainly(samples)


def _plainly(samples: np.ndarray) -> bytes:
    """Encode rows without filter."""
    height, width = samples.shape[:2]
    channels = samples.size // (height * width)
    big = samples.astype(samples.dtype.newbyteorder(">")).reshape(height, -1)
    rows = np.insert(big.view(np.uint8), 0, 0, axis=1)
    depth = 8 * samples.itemsize
    head = struct.pack(">IIBBBBB", width, height, depth, _COLOUR_TYPES[channels], 0, 0, 0)
    body = _written(b"IHDR", head) + _written(b"IDAT", zlib.compress(rows.tobytes()))
    return SIGNATURE + body + _written(b"IEND", b"")


def _written(kind: bytes, content: bytes) -> bytes:
    check_sum = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I4s", len(content), kind) + content + check_sum
