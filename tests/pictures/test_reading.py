"""Pixels of 8 bits, as the network sees them: found, read and written."""

import numpy as np
import pytest
from PIL import Image
from random_pictures import COLOUR, DEEP, GREY
from reference_files import as_held, encoded, png, png_of_rows, tiff

from nlrn_jax.errors import UserError
from nlrn_jax.pictures.files import (
    open_picture,
    read_all,
    read_pixels,
    save_picture,
    write_pixels,
)
from nlrn_jax.pictures.finding import find_pictures
from nlrn_jax.pictures.picture import Picture


def read(folder, content: bytes, name="picture") -> np.ndarray:
    (folder / name).write_bytes(content)
    return read_pixels(folder / name)


def every_content() -> list[bytes]:
    """Files of 8 bits in every format, and of 16 in PNG and TIFF, grey and RGB."""
    eight = [
        encoded(Image.fromarray(pixels), format)
        for format in ("PNG", "JPEG", "BMP", "TIFF", "WEBP")
        for pixels in (GREY, COLOUR)
    ]
    grey, colour = DEEP[..., :1], DEEP[..., :3]
    return [*eight, png(grey, 0), png(colour, 2), tiff(grey, 1), tiff(colour, 2)]


def test_pixels_are_those_of_the_opened_picture_rounded_to_8_bits(tmp_path):
    for content in every_content():
        pixels = read(tmp_path, content)
        opened = open_picture(tmp_path / "picture")
        deep = opened.pixels.dtype == np.uint16
        expected = np.rint(opened.pixels / 257) if deep else opened.pixels
        assert pixels.dtype == np.uint8 and opened.notes == () and opened.alpha is None
        np.testing.assert_array_equal(pixels, expected)


def test_many_are_read_as_one_by_one(tmp_path):
    paths = [tmp_path / str(i) for i in range(50)]
    contents = every_content()
    for i, path in enumerate(paths):
        path.write_bytes(contents[i % len(contents)])
    for read, path in zip(read_all(paths), paths, strict=True):
        np.testing.assert_array_equal(read.pixels, read_pixels(path))
    paths[30].write_bytes(contents[0][:60])
    with pytest.raises(UserError, match=r"30: cut short"):
        read_all(paths)


@pytest.mark.parametrize("extension", [".png", ".bmp", ".tif", ".TIFF", ".PNG"])
@pytest.mark.parametrize("pixels", [GREY, COLOUR, GREY[:1, :1]], ids=["grey", "rgb", "one pixel"])
def test_what_is_written_is_read(tmp_path, pixels, extension):
    path = tmp_path / "new" / f"picture{extension}"
    write_pixels(path, pixels)
    np.testing.assert_array_equal(read_pixels(path), pixels)


def test_jpeg_is_nearly_what_was_written(tmp_path):
    smooth = np.tile(np.arange(64, dtype=np.uint8) * 3, (48, 1))
    write_pixels(tmp_path / "smooth.jpg", smooth)
    result = read_pixels(tmp_path / "smooth.jpg")
    assert result.shape == smooth.shape
    assert np.abs(result.astype(int) - smooth).max() <= 3


def test_writing_replaces_and_leaves_nothing_else(tmp_path):
    write_pixels(tmp_path / "a.png", GREY)
    write_pixels(tmp_path / "a.png", COLOUR)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    np.testing.assert_array_equal(read_pixels(tmp_path / "a.png"), COLOUR)


def test_a_failed_write_keeps_the_old_picture(tmp_path, monkeypatch):
    write_pixels(tmp_path / "a.png", GREY)
    write = type(tmp_path).write_bytes

    def half_a_file(path, content):
        write(path, content[:4])
        raise OSError(28, "disk full")

    monkeypatch.setattr(type(tmp_path), "write_bytes", half_a_file)
    with pytest.raises(UserError, match=r"a\.png: .*disk full.*; make room"):
        write_pixels(tmp_path / "a.png", COLOUR)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    np.testing.assert_array_equal(read_pixels(tmp_path / "a.png"), GREY)


@pytest.mark.parametrize("bad", [GREY / 255, GREY[None, ..., None], COLOUR[..., :2]])
def test_what_is_no_picture_of_the_format_is_not_written(tmp_path, bad):
    with pytest.raises(ValueError, match=r"a\.png: "):
        write_pixels(tmp_path / "a.png", bad)
    assert not list(tmp_path.iterdir())


def test_an_unknown_extension_is_not_written(tmp_path):
    with pytest.raises(UserError, match=r"a\.gif.*\.png"):
        write_pixels(tmp_path / "a.gif", GREY)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF"])
def test_exif_orientation_is_applied_to_grey_too(tmp_path, orientation, format):
    upright = np.zeros((16, 32), np.uint8)
    upright[:8, :8] = 255  # a white top-left corner
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(as_held(upright, orientation))
    pixels = read(tmp_path, encoded(stored, format, exif=exif, quality=100))
    assert pixels.shape == upright.shape
    assert np.abs(pixels.astype(int) - upright).max() <= 2


def test_palette_becomes_rgb_and_one_bit_grey(tmp_path):
    flat = np.repeat(COLOUR[:1, :2], 3, axis=0)
    indexed = Image.fromarray(flat).quantize(4, dither=Image.Dither.NONE)
    np.testing.assert_array_equal(read(tmp_path, encoded(indexed, "PNG")), flat)
    two = read(tmp_path, encoded(Image.fromarray(GREY > 127), "PNG"))
    np.testing.assert_array_equal(two, (GREY > 127) * np.uint8(255))


def test_cmyk_becomes_rgb(tmp_path):
    content = encoded(Image.fromarray(COLOUR).convert("CMYK"), "TIFF")
    np.testing.assert_array_equal(read(tmp_path, content), COLOUR)


@pytest.mark.parametrize("mode, pixels", [("LA", GREY), ("RGBA", COLOUR)])
def test_alpha_is_dropped_not_blended(tmp_path, mode, pixels):
    picture = Image.fromarray(pixels).convert(mode)
    picture.putalpha(7)
    np.testing.assert_array_equal(read(tmp_path, encoded(picture, "PNG")), pixels)


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_sixteen_bits_are_rounded(tmp_path, format):
    levels = np.array([[0, 128, 129, 257, 32767, 65406, 65407, 65535]], np.uint16)
    pixels = read(tmp_path, encoded(Image.fromarray(levels), format))
    np.testing.assert_array_equal(pixels, [[0, 0, 1, 1, 127, 254, 255, 255]])


def test_every_sixteen_bit_level_is_the_nearest_of_eight(tmp_path):
    levels = np.arange(2**16, dtype=np.uint16).reshape(256, 256)
    save_picture(tmp_path / "a.png", Picture(levels))
    np.testing.assert_array_equal(read_pixels(tmp_path / "a.png"), np.rint(levels / 257))


def test_floats_are_clipped_and_rounded(tmp_path):
    values = np.array([[-0.5, 0, 0.49 / 255, 0.51 / 255, 254.6 / 255, 1, 1.5]], np.float32)
    assert read(tmp_path, tiff(values[..., None], 1)).tolist() == [[0, 0, 0, 1, 255, 255, 255]]


@pytest.mark.parametrize(
    "content",
    [b"", b"these are words", png_of_rows(60_000, 60_000, b"", 2), png_of_rows(4, 4, b"", 2)],
    ids=["empty", "text", "absurd header", "no pixels"],
)
def test_what_is_no_picture_is_named(tmp_path, content):
    with pytest.raises(UserError, match=r"bad\.png: .+; ") as caught:
        read(tmp_path, content, "bad.png")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("extension", ["png", "jpg", "bmp", "tif"])
def test_any_truncation_is_named(tmp_path, extension):
    path = tmp_path / f"cut.{extension}"
    write_pixels(path, np.tile(COLOUR, (8, 8, 1)))
    whole = path.read_bytes()
    for length in (3, 20, len(whole) // 3, len(whole) // 2):
        with pytest.raises(UserError, match=rf"cut\.{extension}: .+; "):
            read(tmp_path, whole[:length], path.name)


def test_folders_and_missing_files_are_named(tmp_path):
    with pytest.raises(UserError, match="is a folder"):
        read_pixels(tmp_path)
    with pytest.raises(UserError, match=r"gone\.png: no such file"):
        read_pixels(tmp_path / "gone.png")


def test_find_is_recursive_sorted_and_skips_what_is_hidden(tmp_path):
    names = [
        "b.PNG", "a.jpg", "c.webp", "sub/deep/c.TiFf", ".hidden.png", ".thumbs/d.png", "notes.txt",
    ]  # fmt: skip
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    found = [path.relative_to(tmp_path).as_posix() for path in find_pictures(tmp_path)]
    assert found == ["a.jpg", "b.PNG", "c.webp", "sub/deep/c.TiFf"]


def test_find_explains_why_it_finds_nothing(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UserError, match=r"gone: no such folder"):
        find_pictures(tmp_path / "gone")
    with pytest.raises(UserError, match=r"notes\.txt: is not a folder"):
        find_pictures(tmp_path / "notes.txt")
    with pytest.raises(UserError, match=r"no picture in it.*\.png"):
        find_pictures(tmp_path)
