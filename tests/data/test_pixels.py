import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.color import rgb2ycbcr

from nlrn_jax.data import pixels as images
from nlrn_jax.data.pixels import ImageError

rng = np.random.default_rng(0)
COLOUR = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)
GREY = COLOUR[..., 0]
EVERY_COLOUR = np.stack(np.meshgrid(*[np.arange(0, 256, 5)] * 3), -1).reshape(52, -1, 3)
EVERY_COLOUR = EVERY_COLOUR.astype(np.uint8)


@pytest.mark.parametrize("extension", [".png", ".bmp", ".tif", ".TIFF", ".PNG"])
@pytest.mark.parametrize("image", [GREY, COLOUR, GREY[:1, :1]], ids=["grey", "rgb", "one pixel"])
def test_what_is_written_is_read(tmp_path, image, extension):
    path = tmp_path / "new" / f"picture{extension}"
    images.write(path, image)
    np.testing.assert_array_equal(images.read(path), image)


def test_jpeg_is_nearly_what_was_written(tmp_path):
    smooth = np.tile(np.arange(64, dtype=np.uint8) * 3, (48, 1))
    images.write(tmp_path / "smooth.jpg", smooth)
    read = images.read(tmp_path / "smooth.jpg")
    assert read.shape == smooth.shape
    assert np.abs(read.astype(int) - smooth).max() <= 3


def test_writing_replaces_and_leaves_nothing_else(tmp_path):
    images.write(tmp_path / "a.png", GREY)
    images.write(tmp_path / "a.png", COLOUR)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    np.testing.assert_array_equal(images.read(tmp_path / "a.png"), COLOUR)


def test_a_failed_write_keeps_the_old_picture(tmp_path, monkeypatch):
    images.write(tmp_path / "a.png", GREY)

    def half_a_file(picture, path, **_):
        Path(path).write_bytes(b"\x89PNG")
        raise OSError("disk full")

    monkeypatch.setattr(Image.Image, "save", half_a_file)
    with pytest.raises(OSError, match="disk full"):
        images.write(tmp_path / "a.png", COLOUR)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    np.testing.assert_array_equal(images.read(tmp_path / "a.png"), GREY)


@pytest.mark.parametrize("bad", [GREY / 255, GREY[None, ..., None], COLOUR[..., :2]])
def test_only_uint8_pictures_are_written(tmp_path, bad):
    with pytest.raises(ValueError, match=r"a\.png.*to_uint8"):
        images.write(tmp_path / "a.png", bad)


def test_an_unknown_extension_is_not_written(tmp_path):
    with pytest.raises(ImageError, match=r"a\.gif.*\.png"):
        images.write(tmp_path / "a.gif", GREY)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("extension", ["jpg", "png", "tif"])
def test_exif_orientation_is_applied(tmp_path, orientation, extension):
    upright = np.zeros((16, 32), np.uint8)
    upright[:8, :8] = 255  # a white top-left corner
    undo = {  # how a camera held so stores the upright picture (EXIF 2.3, tag 0x0112)
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].T,
        8: np.rot90(upright, -1),
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"turned.{extension}"
    Image.fromarray(np.ascontiguousarray(undo[orientation])).save(path, exif=exif, quality=100)
    read = images.read(path)
    assert read.shape == upright.shape
    assert np.abs(read.astype(int) - upright).max() <= 2


def test_palette_becomes_rgb(tmp_path):
    flat = np.repeat(COLOUR[:1, :2], 3, axis=0)
    Image.fromarray(flat).quantize(4, dither=Image.Dither.NONE).save(tmp_path / "p.png")
    assert Image.open(tmp_path / "p.png").mode == "P"
    np.testing.assert_array_equal(images.read(tmp_path / "p.png"), flat)


def test_cmyk_becomes_rgb(tmp_path):
    Image.fromarray(COLOUR).convert("CMYK").save(tmp_path / "c.tif")
    np.testing.assert_array_equal(images.read(tmp_path / "c.tif"), COLOUR)


@pytest.mark.parametrize("mode, image", [("LA", GREY), ("RGBA", COLOUR)])
def test_alpha_is_dropped_not_blended(tmp_path, mode, image):
    picture = Image.fromarray(image).convert(mode)
    picture.putalpha(7)
    picture.save(tmp_path / "a.png")
    np.testing.assert_array_equal(images.read(tmp_path / "a.png"), image)


def test_black_and_white_becomes_grey(tmp_path):
    Image.fromarray(GREY > 127).save(tmp_path / "bw.png")
    np.testing.assert_array_equal(images.read(tmp_path / "bw.png"), (GREY > 127) * np.uint8(255))


@pytest.mark.parametrize("extension", ["png", "tif"])
def test_sixteen_bits_are_rounded(tmp_path, extension):
    levels = np.array([[0, 128, 129, 257, 32767, 65406, 65407, 65535]], np.uint16)
    Image.fromarray(levels).save(tmp_path / f"deep.{extension}")
    read = images.read(tmp_path / f"deep.{extension}")
    np.testing.assert_array_equal(read, [[0, 0, 1, 1, 127, 254, 255, 255]])


def test_float_pixels_are_refused(tmp_path):
    Image.fromarray(np.ones((4, 4), np.float32)).save(tmp_path / "f.tif")
    with pytest.raises(ImageError, match=r"f\.tif: .*32-bit.*16 bits"):
        images.read(tmp_path / "f.tif")


def absurd_png(width=60_000, height=60_000) -> bytes:
    """A PNG of a few bytes whose header announces gigabytes."""

    def chunk(kind, content):
        crc = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + crc

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "content",
    [b"", b"these are words", absurd_png(), absurd_png(4, 4)],
    ids=["empty", "text", "absurd header", "no pixels"],
)  # fmt: skip
def test_what_is_no_picture_is_named(tmp_path, content):
    path = tmp_path / "bad.png"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=r"bad\.png: .+; ") as caught:
        images.read(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("extension", ["png", "jpg", "bmp", "tif"])
@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_any_truncation_is_named(tmp_path, extension):
    path = tmp_path / f"cut.{extension}"
    images.write(path, np.tile(COLOUR, (8, 8, 1)))
    whole = path.read_bytes()
    for length in (3, 20, len(whole) // 3, len(whole) // 2):
        path.write_bytes(whole[:length])
        with pytest.raises(ImageError, match=rf"cut\.{extension}: .+; "):
            images.read(path)


def test_folders_and_missing_files_are_named(tmp_path):
    with pytest.raises(ImageError, match="is a folder"):
        images.read(tmp_path)
    with pytest.raises(ImageError, match=r"gone\.png: no such file"):
        images.read(tmp_path / "gone.png")


def test_find_is_recursive_sorted_and_skips_what_is_hidden(tmp_path):
    names = ["b.PNG", "a.jpg", "sub/deep/c.TiFf", ".hidden.png", ".thumbs/d.png", "notes.txt"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    found = [path.relative_to(tmp_path).as_posix() for path in images.find(tmp_path)]
    assert found == ["a.jpg", "b.PNG", "sub/deep/c.TiFf"]


def test_find_explains_why_it_finds_nothing(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ImageError, match=r"gone: no such folder"):
        images.find(tmp_path / "gone")
    with pytest.raises(ImageError, match=r"notes\.txt: is not a folder"):
        images.find(tmp_path / "notes.txt")
    with pytest.raises(ImageError, match=r"no picture in it.*\.png"):
        images.find(tmp_path)


def test_every_grey_level_survives_float():
    levels = np.arange(256, dtype=np.uint8)[None]
    assert images.to_float(levels).dtype == np.float32
    np.testing.assert_array_equal(images.to_uint8(images.to_float(levels)), levels)


def test_to_float_maps_white_to_one_and_passes_floats():
    assert images.to_float(np.array([[65535, 0]], np.uint16)).tolist() == [[1, 0]]
    passed = images.to_float(np.array([[-0.5, 7.0]]))
    assert passed.dtype == np.float32 and passed.tolist() == [[-0.5, 7]]
    with pytest.raises(ValueError, match="int64"):
        images.to_float(np.array([[1]]))


def test_to_uint8_clips_and_rounds():
    x = np.array([-0.1, 0.49 / 255, 0.51 / 255, 254.6 / 255, 1.7])
    assert images.to_uint8(x).tolist() == [0, 0, 1, 255, 255]
    with pytest.raises(ValueError, match="to_float"):
        images.to_uint8(GREY)


def test_grey_is_the_rounded_weighted_sum():
    exact = EVERY_COLOUR.astype(float) @ [0.299, 0.587, 0.114]
    ours = images.grey(EVERY_COLOUR)
    assert ours.dtype == np.uint8
    assert np.abs(ours - exact).max() <= 0.5 + 1e-9
    as_float = images.grey(images.to_float(EVERY_COLOUR))
    assert as_float.dtype == np.float32
    np.testing.assert_allclose(as_float, exact / 255, atol=1e-6)
    np.testing.assert_array_equal(images.grey(np.stack([GREY] * 3, -1)), GREY)


def test_luma_is_that_of_scikit_image():
    expected = rgb2ycbcr(EVERY_COLOUR)[..., 0]
    as_float = images.luma(images.to_float(EVERY_COLOUR))
    assert as_float.dtype == np.float32
    np.testing.assert_allclose(as_float * 255, expected, atol=1e-4)
    as_uint8 = images.luma(EVERY_COLOUR)
    assert as_uint8.dtype == np.uint8
    assert np.abs(as_uint8 - expected).max() <= 0.5 + 1e-4
    assert (as_uint8.min(), as_uint8.max()) == (16, 235)


@pytest.mark.parametrize("convert", [images.grey, images.luma])
def test_grey_pictures_pass_unchanged(convert):
    assert convert(GREY) is GREY


@pytest.mark.parametrize("image", [GREY, COLOUR], ids=["grey", "rgb"])
def test_there_are_eight_views_and_each_is_undone(image):
    views = [images.dihedral(image, k) for k in range(8)]
    assert len({(view.shape, view.tobytes()) for view in views}) == 8
    for k, view in enumerate(views):
        np.testing.assert_array_equal(images.undo_dihedral(view, k), image)
    with pytest.raises(ValueError, match="8"):
        images.dihedral(image, 8)


def test_crops_are_the_largest_multiples():
    assert images.crop_to_multiple(COLOUR, 3).shape == (3, 6, 3)
    np.testing.assert_array_equal(images.crop_to_multiple(GREY, 2), GREY[:4, :6])
    assert images.crop_to_multiple(GREY, 1).shape == GREY.shape
    with pytest.raises(ValueError, match=r"\[5, 7\]"):
        images.crop_to_multiple(GREY, 6)


def test_a_row_shows_every_picture_under_its_caption():
    low = np.array([[11, 22], [33, 44]], np.uint8)
    high = np.full((40, 60, 3), (200, 100, 50), np.uint8)
    row = images.label_row([low, high], ["a caption wider than its picture", "high"])
    assert row.dtype == np.uint8 and row.shape[2] == 3
    first = np.argmax(np.all(row == (200, 100, 50), axis=-1).any(axis=1))
    strip, pictures = row[:first], row[first:]
    for level in low.flat:  # 2x2 became 40x40: every pixel a block of 20x20
        assert np.all(pictures == level, axis=-1).sum() == 20 * 20
    assert np.all(pictures == (200, 100, 50), axis=-1).sum() == 40 * 60
    low_columns, high_columns = np.s_[:, : -60 - 20], np.s_[:, -60 - 20 :]
    assert strip[low_columns].min() < 50 and strip[high_columns].min() < 50, "no black letters"
    assert np.all(row[:, [0, -1]] == 255) and np.all(row[-1] == 255), "no white ground"


def test_every_picture_needs_a_caption():
    with pytest.raises(ValueError):
        images.label_row([GREY, GREY], ["one"])
