"""EXIF and XMP: kept from format to format, upright, without thumbnail; damage is no reason."""

import io
import random

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image
from random_pictures import COLOUR, DEEP, EVERY_KIND, assert_same, opened, random_picture
from reference_files import encoded, png, png_chunk, tiff

from nlrn_jax.pictures import exif
from nlrn_jax.pictures.files import open_picture, save_picture
from nlrn_jax.pictures.picture import Picture

NAME = "(c) Jürgen Müller 2020"  # more than ASCII, as UTF-8, which cameras do not know
DATE = b"2020:01:02 03:04:05"
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><d tiff:Orientation="6" r="5"/></x:xmpmeta>'
FORMATS = ["png", "jpg", "webp", "tif"]


def block(order="<", orientation=6, thumbnail=b"") -> bytes:
    """A block of camera, copyright, size, exposure and position, and perhaps a thumbnail."""
    tags = {
        256: (4, number(order, 4000, 4)),
        271: (2, b"Camera\0"),
        282: (5, number(order, 300, 4) + number(order, 1, 4)),
        0x0112: (3, number(order, orientation, 2)),
        33432: (2, NAME.encode() + b"\0"),
    }
    exposure = {
        36867: (2, DATE + b"\0"),
        0xA002: (3, number(order, 4000, 2)),
        37500: (7, b"maker" * 9),
    }
    position = {1: (2, b"N\0"), 2: (5, number(order, 48, 4) + number(order, 1, 4))}
    ours = [
        {code: exif.Tag(*tag, 0) for code, tag in t.items()} for t in (tags, exposure, position)
    ]
    head = {"<": b"II*\0", ">": b"MM\0*"}[order] + number(order, 8, 4)
    inside = {34665: ours[1], 34853: ours[2]}
    content = bytearray(head + exif._written(order, ours[0], inside, 8))
    if thumbnail:
        after = 8 + 2 + 12 * (len(tags) + 2)
        content[after : after + 4] = number(order, len(content), 4)
        places = [(513, len(content) + 30), (514, len(thumbnail))]
        sizes = (2, 2, 4, 4)  # of the parts of an entry; type 4 is one long number
        entries = b"".join(
            number(order, value, size)
            for code, place in places
            for value, size in zip((code, 4, 1, place), sizes, strict=True)
        )
        content += number(order, 2, 2) + entries + bytes(4) + thumbnail
    return bytes(content)


def number(order, value, size) -> bytes:
    return value.to_bytes(size, {"<": "little", ">": "big"}[order])


def held(kind, exif_block=None, xmp=None) -> bytes:
    """A picture of a format that holds EXIF and XMP."""
    if kind == "png":
        chunks = png_chunk(b"eXIf", exif_block) if exif_block is not None else b""
        text = b"XML:com.adobe.xmp\0\0\0\0\0"
        return png(COLOUR, 2, 8, chunks + (png_chunk(b"iTXt", text + xmp) if xmp else b""))
    if kind == "tif":
        buffer = io.BytesIO()
        order = exif.byte_order(exif_block)
        tifffile.imwrite(buffer, COLOUR, photometric="rgb", byteorder=order, metadata=None)
        return exif.into_tiff(buffer.getvalue(), exif_block, xmp)
    options = {"jpg": {"quality": 100}, "webp": {"lossless": True}}[kind]
    options |= {"xmp": xmp} if xmp else {}
    options |= {"exif": b"Exif\0\0" + exif_block} if exif_block is not None else {}
    return encoded(Image.fromarray(COLOUR), {"jpg": "JPEG", "webp": "WEBP"}[kind], **options)


def tags_of(path) -> dict:
    """What Pillow reads of a file, and the exposure and position in it."""
    with Image.open(path) as read:
        own = read.getexif()
        return {**own, **own.get_ifd(34665), "position": own.get_ifd(34853)}


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("there", FORMATS)
@pytest.mark.parametrize("here", FORMATS)
def test_exif_is_kept_from_format_to_format(tmp_path, here, there, order):
    picture = opened(tmp_path, held(here, block(order), XMP), f"a.{here}")
    notes = save_picture(tmp_path / f"b.{there}", picture)
    assert not any("EXIF" in note or "XMP" in note for note in notes)
    found = tags_of(tmp_path / f"b.{there}")
    assert found[271] == "Camera" and found[36867] == DATE.decode()
    assert found[37500] == b"maker" * 9
    assert found["position"] == {1: "N", 2: 48}
    assert NAME.encode() in (tmp_path / f"b.{there}").read_bytes()
    again = open_picture(tmp_path / f"b.{there}")
    assert again.xmp == XMP.replace(b'"6"', b'"1"')
    assert again.pixels.shape == picture.pixels.shape
    assert again.notes == ()


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("dtype, shape, has_alpha", EVERY_KIND)
def test_samples_beside_exif_of_either_order_are_exact(tmp_path, dtype, shape, has_alpha, order):
    saved = random_picture(dtype, shape, has_alpha)._replace(exif=block(order, 1), xmp=XMP)
    assert save_picture(tmp_path / "a.tif", saved) == ()
    assert_same(open_picture(tmp_path / "a.tif"), saved.pixels, saved.alpha)
    expected = np.dstack([saved.pixels, saved.alpha]) if has_alpha else saved.pixels
    decoded = imagecodecs.tiff_decode((tmp_path / "a.tif").read_bytes())  # by libtiff
    np.testing.assert_array_equal(decoded.reshape(expected.shape), expected)


@pytest.mark.parametrize("kind", ["png", "jpg", "webp"])
def test_exif_says_what_is_true_of_the_result(tmp_path, kind):
    picture = opened(tmp_path, held(kind, block()))
    assert picture.pixels.shape == (14, 9, 3)  # stood on its side
    save_picture(tmp_path / f"b.{kind}", picture._replace(dpi=(600.0, 600.0)))
    found = tags_of(tmp_path / f"b.{kind}")
    assert (found[0x0112], found[256], found[0xA002], found[282]) == (1, 9, 9, 600)


@pytest.mark.parametrize("kind", ["png", "jpg", "webp"])
@pytest.mark.parametrize("order", "<>")
def test_a_thumbnail_of_the_picture_before_is_dropped(tmp_path, kind, order):
    thumbnail = b"\xff\xd8the picture before\xff\xd9"
    picture = opened(tmp_path, held(kind, block(order, 1, thumbnail)))
    save_picture(tmp_path / f"b.{kind}", picture)
    assert thumbnail not in (tmp_path / f"b.{kind}").read_bytes()
    assert tags_of(tmp_path / f"b.{kind}")[36867] == DATE.decode()


@pytest.mark.parametrize("kind", FORMATS)
def test_what_has_no_place_is_said(tmp_path, kind):
    picture = opened(tmp_path, held(kind, block(), XMP))
    (note,) = save_picture(tmp_path / "b.bmp", picture)
    assert "BMP has no place for it: EXIF, XMP" in note


def test_what_is_too_long_for_jpeg_is_said(tmp_path):
    picture = Picture(COLOUR, exif=block() + bytes(70_000), xmp=XMP + b" " * 70_000)
    assert "EXIF, XMP" in save_picture(tmp_path / "b.jpg", picture)[0]
    assert save_picture(tmp_path / "b.webp", picture) == ()


@pytest.mark.parametrize("kind", ["png", "jpg", "webp"])
@pytest.mark.parametrize(
    "broken",
    [b"", b"garbage", b"\0\x08\0\2\1\x12\0\3", b"II*\0", b"II*\0\xff\xff\xff\xff", block()[:40]],
    ids=["empty", "words", "no head", "a head", "nowhere", "cut"],
)
def test_broken_exif_is_left_out_and_said(tmp_path, kind, broken):
    if kind == "webp" and not broken:
        pytest.skip("Pillow writes no empty block")
    picture = opened(tmp_path, held(kind, broken))
    assert "its EXIF is damaged, and left out" in picture.notes and picture.exif is None
    assert sorted(picture.pixels.shape) == [3, 9, 14]


@pytest.mark.parametrize("kind", FORMATS)
def test_no_damage_of_exif_or_xmp_refuses_a_picture(tmp_path, kind):
    dice, whole = random.Random(kind), block(thumbnail=b"\xff\xd8thumb\xff\xd9")
    for _ in range(60):
        damaged = bytearray(whole)
        for _ in range(dice.choice((1, 3, 20))):
            damaged[dice.randrange(4, len(damaged))] = dice.choice((0, 1, 255, dice.randrange(256)))
        content = tif_with(damaged) if kind == "tif" else held(kind, bytes(damaged), XMP)
        picture = opened(tmp_path, content)
        for end in FORMATS:
            save_picture(tmp_path / f"b.{end}", picture, overwrite=True)
            assert sorted(open_picture(tmp_path / f"b.{end}").pixels.shape) == [3, 9, 14]


def tif_with(damaged: bytearray) -> bytes:
    """A TIFF whose directory of exposure is random bytes."""
    content = held("tif", block(orientation=1))
    at = content.rindex(DATE)
    return content[: at - 30] + bytes(damaged[:30]) + content[at:]


@pytest.mark.parametrize("pointer", [0, 3, 2**31, 2**32 - 1])
def test_a_tiff_whose_exposure_lies_nowhere_is_read(tmp_path, pointer):
    content = tiff(DEEP[..., :3], 2, tags={34665: [pointer & 0xFFFF, pointer >> 16]})
    content = content.replace(b"\x69\x87\x03\0\x02\0\0\0", b"\x69\x87\x04\0\x01\0\0\0")
    np.testing.assert_array_equal(opened(tmp_path, content).pixels, DEEP[..., :3])


@pytest.mark.parametrize("kind", ["png", "jpg", "webp"])
def test_xmp_says_how_a_picture_is_held_where_exif_does_not(tmp_path, kind):
    assert opened(tmp_path, held(kind, None, XMP)).notes == ("EXIF orientation 6 applied",)
    picture = opened(tmp_path, held(kind, block(orientation=1), XMP))
    assert picture.notes == () and picture.pixels.shape == COLOUR.shape


def test_xmp_and_exif_are_where_pillow_looks(tmp_path):
    picture = Picture(COLOUR, exif=block(), xmp=XMP)
    for kind in FORMATS:
        save_picture(tmp_path / f"b.{kind}", picture)
        with Image.open(tmp_path / f"b.{kind}") as read:
            assert read.info["xmp"] == XMP and read.getexif()[271] == "Camera"


def test_a_block_that_is_no_block_is_damaged():
    assert exif.taken(b"") == exif.taken(b"II*") == (None, None)
