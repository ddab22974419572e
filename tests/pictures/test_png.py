"""PNG: any shape is written exactly, and chunks say in the result what they said."""

import struct
import zlib

import imagecodecs
import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from random_pictures import COLOUR, DEEP, GREY, SRGB, assert_same, noise, opened
from reference_files import encoded, png, png_chunk, png_samples

from nlrn_jax.pictures.files import open_picture, save_picture
from nlrn_jax.pictures.formats import FORMATS, misfit
from nlrn_jax.pictures.picture import Picture

NARROW = [(400, 4), (95, 1), (87, 2), (1, 1), (1, 95), (2, 87), (3, 5), (4, 400), (17, 3)]
COLOURS = [
    (b"cICP", bytes([9, 16, 0, 1])),
    (b"gAMA", struct.pack(">I", 100_000)),
    (b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000)),
]
HELD = b"".join(png_chunk(*chunk) for chunk in COLOURS)


@pytest.mark.parametrize("format", FORMATS, ids=lambda format: format.name)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_noise_of_any_small_shape_is_written(tmp_path, format, dtype):
    for sides in NARROW:
        for channels in ((), (3,)):
            for alpha in (None, noise(dtype, *sides)):
                picture = Picture(noise(dtype, *sides, *channels), alpha)
                if misfit(format, np.dtype(dtype), alpha is not None, sides):
                    continue
                path = tmp_path / f"a{format.endings[0]}"
                assert save_picture(path, picture, overwrite=True) == ()
                result = open_picture(path)
                if format.name == "JPEG":
                    assert result.pixels.shape == picture.pixels.shape
                elif format.name == "WEBP" and not channels:
                    assert_same(result, np.dstack([picture.pixels] * 3), alpha)
                else:
                    assert_same(result, picture.pixels, alpha)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(9, 14), (9, 14, 3), (1, 1), (400, 4)])
@pytest.mark.parametrize("has_alpha", [False, True])
def test_without_libpng_a_png_is_written_exactly(tmp_path, monkeypatch, dtype, shape, has_alpha):
    def fails(*_, **__):
        raise imagecodecs.PngError("output stream too small")

    monkeypatch.setattr(imagecodecs, "png_encode", fails)
    alpha = noise(dtype, *shape[:2]) if has_alpha else None
    saved = Picture(noise(dtype, *shape), alpha, SRGB)
    save_picture(tmp_path / "a.png", saved)
    expected = np.dstack([saved.pixels, alpha]) if has_alpha else saved.pixels
    np.testing.assert_array_equal(png_samples((tmp_path / "a.png").read_bytes()), expected)
    assert_same(open_picture(tmp_path / "a.png"), saved.pixels, alpha)


@pytest.mark.parametrize("samples, kind, depth", [(DEEP, 6, 16), (COLOUR, 2, 8)])
def test_what_colours_mean_is_kept(tmp_path, samples, kind, depth):
    picture = opened(tmp_path, png(samples, kind, depth, HELD))
    assert save_picture(tmp_path / "b.png", picture) == ()
    content = (tmp_path / "b.png").read_bytes()
    for chunk in COLOURS:
        assert content.index(png_chunk(*chunk)) < content.index(b"IDAT")
    assert dict(open_picture(tmp_path / "b.png").chunks) == dict(COLOURS)


def test_what_another_format_cannot_say_is_named(tmp_path):
    text = png_chunk(b"tEXt", b"Author\0me")
    picture = opened(tmp_path, png(COLOUR, 2, 8, HELD + text))
    for end in ("tif", "jpg", "bmp", "webp"):
        (note,) = save_picture(tmp_path / f"b.{end}", picture)
        assert all(name in note for name in ("cICP", "gAMA", "cHRM", "text (Author)"))


def test_srgb_is_what_pixels_mean_anyway(tmp_path):
    srgb = png_chunk(b"sRGB", b"\0") + png_chunk(b"gAMA", struct.pack(">I", 45455))
    picture = opened(tmp_path, png(COLOUR, 2, 8, srgb))
    assert save_picture(tmp_path / "b.tif", picture) == ()
    assert save_picture(tmp_path / "b.png", picture) == ()
    assert png_chunk(b"sRGB", b"\0") in (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize("depth", [8, 16])
def test_a_profile_of_megabytes_is_kept(tmp_path, depth):
    profile = SRGB + np.random.default_rng(0).bytes(1_600_000)
    chunk = png_chunk(b"iCCP", b"its name\0\0" + zlib.compress(profile))
    samples = COLOUR if depth == 8 else DEEP[..., :3]
    picture = opened(tmp_path, png(samples, 2, depth, chunk))
    assert_same(picture, samples)
    save_picture(tmp_path / "b.png", picture)
    assert open_picture(tmp_path / "b.png").icc_profile == profile


@pytest.mark.parametrize("compressed", [False, True])
def test_a_text_of_megabytes_is_kept(tmp_path, compressed):
    info = PngImagePlugin.PngInfo()
    info.add_itxt("workflow", "b" * 1_200_000, zip=compressed)
    info.add_text("Comment", "c" * 3_000_000, zip=compressed)
    picture = opened(tmp_path, encoded(Image.fromarray(COLOUR), "PNG", pnginfo=info))
    assert_same(picture, COLOUR)
    save_picture(tmp_path / "b.png", picture)
    assert open_picture(tmp_path / "b.png").chunks == picture.chunks != ()


CUT = b"name\0\0" + zlib.compress(SRGB)[:50]


@pytest.mark.parametrize(
    "damaged",
    [b"", b"no zero", b"name\0\0no deflate", CUT],
    ids=["empty", "without a zero", "no deflate", "cut"],  # the bytes hold the time of day
)
def test_a_damaged_profile_is_left_out_and_said(tmp_path, damaged):
    picture = opened(tmp_path, png(GREY[..., None], 0, 8, png_chunk(b"iCCP", damaged)))
    assert_same(picture, GREY)
    assert picture.icc_profile is None
    assert picture.notes == ("its ICC profile is damaged, and left out",)


@pytest.mark.parametrize("kind", [b"gAMA", b"cHRM", b"sRGB", b"cICP", b"tEXt", b"zTXt", b"iTXt"])
@pytest.mark.parametrize("damaged", [b"", b"\0", b"xy\0\7\7\7", b"no zero in these words"])
def test_damaged_chunks_are_not_handed_on(tmp_path, kind, damaged):
    picture = opened(tmp_path, png(COLOUR, 2, 8, png_chunk(kind, damaged)))
    notes = save_picture(tmp_path / "b.png", picture)
    if (kind == b"tEXt" and damaged.startswith(b"xy")) or (kind == b"sRGB" and damaged == b"\0"):
        assert notes == ()  # these are sound
    else:
        assert notes == (f"left out: damaged {kind.decode()}",)
    with Image.open(tmp_path / "b.png") as read:
        np.testing.assert_array_equal(np.array(read), COLOUR)


@pytest.mark.parametrize("kind", [b"eXIf", b"tEXt"])
def test_a_wrong_check_sum_of_what_is_no_pixel_is_said(tmp_path, kind):
    wrong = bytearray(png_chunk(kind, b"Author\0me"))
    wrong[-1] ^= 1
    picture = opened(tmp_path, png(COLOUR, 2, 8, bytes(wrong)))
    assert_same(picture, COLOUR)
    assert (*picture.notes, *picture.lost) == (
        ("its EXIF is damaged, and left out",) if kind == b"eXIf" else ("damaged tEXt",)
    )


def test_exif_in_a_text_is_obeyed_and_kept(tmp_path):
    exif = Image.Exif()
    exif[0x0112], exif[0x8298] = 6, "me"
    block = exif.tobytes()
    lines = f"\nexif\n{len(block):8}\n{block.hex()}\n".encode()
    chunk = png_chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(lines))
    picture = opened(tmp_path, png(COLOUR, 2, 8, chunk))
    assert_same(picture, np.rot90(COLOUR, -1))
    save_picture(tmp_path / "b.png", picture)
    with Image.open(tmp_path / "b.png") as read:
        assert dict(read.getexif()) == {0x0112: 1, 0x8298: "me"}


def test_a_transparent_level_survives_beside_other_chunks(tmp_path):
    held = HELD + png_chunk(b"tRNS", struct.pack(">H", int(GREY[0, 0])))
    picture = opened(tmp_path, png(GREY[..., None], 0, 8, held))
    assert_same(picture, GREY, (GREY[0, 0] != GREY) * np.uint8(255))
