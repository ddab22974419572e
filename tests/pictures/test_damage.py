"""Damaged picture files: refused in one line, or what they were; decoders' remarks are muted."""

import io
import logging
import random
import struct
import warnings

import numpy as np
import pytest
import tifffile
from PIL import Image
from random_pictures import COLOUR, DEEP, SRGB, assert_one_line, assert_same, opened
from reference_files import encoded, tiff

from nlrn_jax.errors import UserError
from nlrn_jax.pictures import codec
from nlrn_jax.pictures.picture import Picture


def small_pictures() -> dict[str, bytes]:
    colour, deep = Image.fromarray(COLOUR), Picture(DEEP[..., :3], DEEP[..., 3])
    layers = io.BytesIO()
    tifffile.imwrite(layers, DEEP[..., :3], photometric="rgb", compression="lzw", rowsperstrip=2)
    return {
        "png": encoded(colour, "PNG", icc_profile=SRGB),
        "palette.png": encoded(colour.quantize(9), "PNG"),
        "deep.png": codec.encode(deep, "PNG"),
        "jpg": encoded(colour, "JPEG"),
        "progressive.jpg": encoded(colour, "JPEG", progressive=True),
        "bmp": encoded(colour, "BMP"),
        "tif": tiff(DEEP, 2),
        "lzw.tif": layers.getvalue(),
        "fax.tif": encoded(colour.convert("1"), "TIFF", compression="group4"),
        "jpeg.tif": encoded(colour, "TIFF", compression="jpeg"),
        "palette.tif": encoded(colour.quantize(9), "TIFF", compression="tiff_adobe_deflate"),
        "webp": encoded(colour, "WEBP", lossless=True),
    }


SMALL = small_pictures()


def open_damaged(tmp_path, content: bytes) -> Picture | None:
    try:
        return opened(tmp_path, content, "damaged")
    except UserError as error:
        assert_one_line(error, "damaged")
        return None


@pytest.fixture
def silence(capfd, caplog, recwarn):
    """Fail if decoders print, log or warn."""
    yield
    assert capfd.readouterr() == ("", "")
    assert not caplog.get_records("call")
    assert not recwarn.list


def test_decoders_remarks_are_muted(tmp_path, caplog):
    exif = b"Exif\0\0II*\0\x08\0\0\0\x09\0"  # a directory of nine tags, cut off
    jpeg = encoded(Image.fromarray(COLOUR), "JPEG", exif=exif)
    odd_tag = tiff(DEEP[..., :3], 2, tags={305: [1, 2, 3]})
    odd_tag = odd_tag.replace(struct.pack("<HH", 305, 3), struct.pack("<HH", 305, 999))
    with pytest.warns(UserWarning, match="EXIF"), Image.open(io.BytesIO(jpeg)) as remarkable:
        remarkable.getexif()
    with tifffile.TiffFile(io.BytesIO(odd_tag)):
        assert caplog.records
    caplog.clear()
    with warnings.catch_warnings(record=True) as remarks:
        warnings.simplefilter("always")
        opened(tmp_path, jpeg)
        assert_same(opened(tmp_path, odd_tag), DEEP[..., :3])
    assert not remarks and not caplog.records


@pytest.mark.parametrize("kind", SMALL)
def test_a_file_cut_anywhere_is_refused_or_whole(tmp_path, kind, silence):
    content = SMALL[kind]
    whole = opened(tmp_path, content)
    lengths = {
        *range(0, len(content), 1 + len(content) // 60),
        *range(len(content) - 9, len(content)),
    }
    for length in lengths:
        result = open_damaged(tmp_path, content[:length])
        if result is not None:  # padding at the end may miss without harm
            assert_same(result, whole.pixels, whole.alpha)


@pytest.mark.parametrize("kind", SMALL)
def test_damage_is_refused_or_has_its_shape(tmp_path, kind, silence):
    content, dice = SMALL[kind], random.Random(kind)
    whole = opened(tmp_path, content)
    for _ in range(60):
        damaged = damage(content, dice)
        result = open_damaged(tmp_path, damaged)
        if result is not None and damaged != content:
            assert not kind.endswith("png"), "a check sum was passed over"
            assert result.pixels.dtype in (np.uint8, np.uint16)
            assert result.pixels.ndim == 2 or result.pixels.shape[2] == 3
            assert result.alpha is None or result.alpha.shape == result.pixels.shape[:2]
    data = pixel_data(kind, content)
    for _ in range(30):
        flipped = bytearray(content)
        flipped[dice.choice(data)] ^= 1 << dice.randrange(8)
        result = open_damaged(tmp_path, bytes(flipped))
        assert result is None or result.pixels.shape == whole.pixels.shape


def damage(content: bytes, dice: random.Random) -> bytes:
    at, size = dice.randrange(len(content)), dice.choice((1, 4, 50))
    flipped = bytes([content[at] ^ 1 << dice.randrange(8)])
    return dice.choice(
        [
            content[:at] + flipped + content[at + 1 :],
            content[:at] + bytes(min(size, len(content) - at)) + content[at + size :],
            content[:at] + b"\xff" * size + content[at + size :],
            content[:at] + dice.randbytes(len(content) - at),
            content[:at] + content[at + size :],
            content[:at] + dice.randbytes(size) + content[at:],
            dice.choice([*SMALL.values()])[:30] + content[30:],
        ]
    )


def pixel_data(kind: str, content: bytes) -> range:
    """Bytes that hold pixels and nothing else."""
    if kind.endswith("tif"):
        with tifffile.TiffFile(io.BytesIO(content)) as file:
            start, size = file.pages[0].dataoffsets[0], file.pages[0].databytecounts[0]
        return range(start, start + size)
    mark = {"png": b"IDAT", "jpg": b"\xff\xda", "bmp": b"BM", "webp": b"VP8L"}[kind.split(".")[-1]]
    start = content.index(mark)
    if kind.endswith("jpg"):
        start += 2 + int.from_bytes(content[start + 2 : start + 4], "big")
    return range(
        start + {"bmp": 54, "png": 4, "webp": 13}.get(kind.split(".")[-1], 0), len(content) - 2
    )


def test_opening_leaves_logging_as_it_was(tmp_path):
    levels = {name: logging.getLogger(name).level for name in ("PIL", "tifffile", "imagecodecs")}
    open_damaged(tmp_path, b"II*\0")
    assert levels == {name: logging.getLogger(name).level for name in levels}
