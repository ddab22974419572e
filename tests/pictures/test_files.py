"""Picture files: out and in again, and refused by name where they cannot be."""

import errno
import os
import resource
import struct
import sys
import zlib

import numpy as np
import pytest
from PIL import Image
from random_pictures import (
    ALPHA,
    COLOUR,
    DEEP,
    EVERY_KIND,
    GREY,
    SRGB,
    assert_one_line,
    assert_same,
    opened,
    random_picture,
)
from reference_files import as_held, encoded, png, png_chunk, png_of_rows, tiff

from nlrn_jax.errors import UserError
from nlrn_jax.pictures import codec
from nlrn_jax.pictures.files import check_output, open_picture, read_all, same_file, save_picture
from nlrn_jax.pictures.formats import BMP, EXTENSIONS, JPEG, WEBP, by_ending
from nlrn_jax.pictures.picture import Picture

# ---- out and in again


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_what_is_saved_is_opened(tmp_path, extension):
    for i, (dtype, shape, has_alpha) in enumerate(EVERY_KIND):
        path = tmp_path / f"{i}{extension}"
        saved = random_picture(dtype, shape, has_alpha)
        try:
            check_output(path, dtype, has_alpha, shape)
        except UserError:
            with pytest.raises(UserError, match=r"end the name in .*\.tif"):
                save_picture(path, saved)
            continue
        kind = by_ending(extension)
        assert bool(save_picture(path, saved)) == (kind in (BMP, WEBP)), "the profile, the inches"
        result = open_picture(path)
        assert result.notes == ()
        pixels = saved.pixels
        if kind is WEBP and pixels.ndim == 2:
            pixels = np.dstack([pixels] * 3)  # WebP has no grey
        if kind is JPEG:
            assert result.pixels.shape == pixels.shape
        else:
            assert_same(result, pixels, saved.alpha)
        assert kind is BMP or result.icc_profile == SRGB
        assert kind is WEBP or result.dpi == pytest.approx((300, 150), abs=0.02)


def test_each_format_holds_what_it_can(tmp_path):
    held = {
        extension: {
            (np.dtype(dtype).name, has_alpha)
            for dtype, _, has_alpha in EVERY_KIND
            if not refusal(tmp_path / f"a{extension}", dtype, has_alpha)
        }
        for extension in (".png", ".tif", ".jpg", ".bmp", ".webp")
    }
    bytes_only, both = {("uint8", False)}, {("uint8", False), ("uint8", True)}
    deep = both | {("uint16", False), ("uint16", True)}
    assert held[".png"] == deep
    assert held[".tif"] == deep | {("float32", False), ("float32", True)}
    assert held[".jpg"] == held[".bmp"] == bytes_only
    assert held[".webp"] == both


def refusal(path, *arguments) -> str:
    try:
        check_output(path, *arguments)
    except UserError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["jpg", "png", "webp", "tif", "deep png", "deep tif"])
def test_exif_orientation_is_applied(tmp_path, orientation, kind):
    upright = np.zeros((16, 32, 3), np.uint8 if "deep" not in kind else np.uint16)
    upright[:8, :8] = 255  # a light top-left corner
    stored = as_held(upright, orientation)
    exif = Image.Exif()
    exif[0x0112] = orientation
    if kind == "deep png":
        held = png_chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))
        content = png(stored, 2, chunks=held)
    elif kind == "deep tif":
        content = tiff(stored, 2, tags={274: [orientation]})
    else:
        format = {"jpg": "JPEG", "tif": "TIFF"}.get(kind, kind.upper())
        options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 100}}.get(format, {})
        content = encoded(Image.fromarray(stored), format, exif=exif, **options)
    result = opened(tmp_path, content)
    assert result.pixels.shape == upright.shape and result.pixels.dtype == upright.dtype
    assert np.abs(result.pixels.astype(int) - upright).max() <= (2 if kind == "jpg" else 0)
    note = (f"EXIF orientation {orientation} applied",)
    assert result.notes == (note if orientation > 1 else ())


def test_a_turned_picture_is_saved_upright_with_its_resolution(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    content = encoded(Image.fromarray(COLOUR), "PNG", exif=exif, dpi=(300, 150))
    result = opened(tmp_path, content)
    save_picture(tmp_path / "b.png", result)
    again = open_picture(tmp_path / "b.png")
    assert again.dpi == pytest.approx((150, 300), abs=0.02)
    assert again.notes == ()
    np.testing.assert_array_equal(again.pixels, np.rot90(COLOUR, -1))


# ---- what is no picture


def test_a_hundred_megapixels_are_opened(tmp_path):
    rows = zlib.compress(bytes(1251 * 10_000), 1)
    content = png_of_rows(10_000, 10_000, rows, 0, depth=1)
    assert opened(tmp_path, content).pixels.shape == (10_000, 10_000)


def absurd_headers() -> dict[str, bytes]:
    """Pictures of a few bytes whose headers announce gigabytes."""
    jpeg, bmp = (bytearray(encoded(Image.fromarray(COLOUR), kind)) for kind in ("JPEG", "BMP"))
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = struct.pack(">HH", 60_000, 60_000)
    bmp[18:26] = struct.pack("<ii", 60_000, 60_000)
    sides = {256: [60_000], 257: [60_000], 278: [60_000]}
    return {
        "png": png_of_rows(60_000, 60_000, b"", 2),
        "jpeg": bytes(jpeg),
        "bmp": bytes(bmp),
        "tiff": tiff(DEEP[..., :3], 2, tags=sides),
        "webp": b"RIFF\x1a\0\0\0WEBPVP8L\x0d\0\0\0\x2f" + b"\xff\xff\xff\x0f" + bytes(8),
    }


@pytest.mark.parametrize("format, content", absurd_headers().items())
def test_absurd_headers_are_refused_before_memory_is_taken(tmp_path, format, content):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UserError, match=r"million|cannot be decoded"):
        opened(tmp_path, content)
    taken = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert taken * (1 if sys.platform == "darwin" else 1024) < 100e6


def test_what_is_no_picture_is_named(tmp_path):
    (tmp_path / "x.png").mkdir()
    for name, reason in {"x.png": "is a folder", "none.png": "no such file"}.items():
        with pytest.raises(UserError, match=rf"{name}: {reason}"):
            open_picture(tmp_path / name)
    no_pixels = png_of_rows(4, 4, b"", 2)
    for content in (b"", b"\0" * 500, b"words\n" * 20, b"\xff\xd8\xff", b"II*\0", b"BM", no_pixels):
        with pytest.raises(UserError) as caught:
            opened(tmp_path, content, "a.png")
        assert_one_line(caught.value, "a.png")


def test_an_unreadable_file_is_named(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(png(DEEP, 6))

    def denied(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(type(tmp_path), "open", denied)  # as root, no permission is missing
    with pytest.raises(UserError, match=r"a\.png: .*Permission denied.*; check its permissions"):
        open_picture(tmp_path / "a.png")


# ---- saving, or not


def test_an_existing_file_is_kept_unless_told(tmp_path):
    path = tmp_path / "new" / "folder" / "a.png"
    save_picture(path, Picture(GREY))
    with pytest.raises(UserError, match=r"a\.png: exists already; .*overwrite"):
        save_picture(path, Picture(COLOUR))
    assert_same(open_picture(path), GREY)
    save_picture(path, Picture(COLOUR), overwrite=True)
    assert_same(open_picture(path), COLOUR)
    assert [p.name for p in path.parent.iterdir()] == ["a.png"]


def test_a_file_that_appears_meanwhile_is_kept(tmp_path, monkeypatch):
    path, encode = tmp_path / "a.png", codec.encode

    def slowly(*arguments):
        path.write_bytes(b"another's")
        return encode(*arguments)

    monkeypatch.setattr(codec, "encode", slowly)
    with pytest.raises(UserError, match="exists already"):
        save_picture(path, Picture(GREY))
    assert path.read_bytes() == b"another's"
    assert os.listdir(tmp_path) == ["a.png"]


def test_a_write_that_stops_midway_leaves_nothing(tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(UserError) as caught:
            save_picture(tmp_path / "a.png", Picture(COLOUR))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert_one_line(caught.value, "a.png")
    assert "cannot be written (File too large)" in str(caught.value)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    "code, mend", [(errno.ENOSPC, "make room"), (errno.EACCES, "check the folder")]
)
def test_a_failed_write_says_why_and_leaves_nothing(tmp_path, monkeypatch, code, mend, overwrite):
    if overwrite:
        save_picture(tmp_path / "a.tif", Picture(GREY))
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}

    def fails(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "replace", fails)
    with pytest.raises(UserError, match=rf"a\.tif: .*\({os.strerror(code)}\); {mend}"):
        save_picture(tmp_path / "a.tif", Picture(COLOUR), overwrite)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_named(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match=r"a\.png: nothing may be written in .*; name"):
        save_picture(tmp_path / "a.png", Picture(GREY))


def test_a_place_that_cannot_be_is_named(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(UserError, match=r"a\.png: .*file is no folder; name another place"):
        save_picture(tmp_path / "file" / "a.png", Picture(GREY))
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(UserError, match=r"folder\.png: cannot be written .*directory"):
        save_picture(tmp_path / "folder.png", Picture(GREY), overwrite=True)
    assert sorted(os.listdir(tmp_path)) == ["file", "folder.png"]


@pytest.mark.parametrize("ending", [".png", ".tif", ".jpg", ".bmp"])
def test_pixels_are_written_also_where_what_travels_with_them_cannot_be(tmp_path, ending):
    path = tmp_path / f"a{ending}"
    (note,) = save_picture(path, Picture(GREY, dpi=(1e12, 1e12)))
    assert note.startswith("all but the pixels left out") or note.endswith(": resolution")
    assert open_picture(path).pixels.shape == GREY.shape


def test_an_encoder_that_fails_is_named(tmp_path, monkeypatch):
    def fails(*_):
        raise TypeError("not today")

    monkeypatch.setattr(codec, "encode", fails)
    with pytest.raises(UserError, match=r"a\.png: cannot be encoded as PNG \(not today\); name"):
        save_picture(tmp_path / "a.png", Picture(GREY))
    assert os.listdir(tmp_path) == []


def test_larger_pictures_are_opened_when_asked_for(tmp_path):
    rows = zlib.compress(bytes(1501 * 12_000), 1)
    (tmp_path / "a.png").write_bytes(png_of_rows(12_000, 12_000, rows, 0, depth=1))
    before = Image.MAX_IMAGE_PIXELS
    with pytest.raises(UserError, match=r"144 million, and 135 are allowed.*--max_megapixels"):
        open_picture(tmp_path / "a.png")
    assert open_picture(tmp_path / "a.png", 144 * 10**6).pixels.shape == (12_000, 12_000)
    assert before == Image.MAX_IMAGE_PIXELS


def test_all_that_cannot_be_read_is_named_at_once(tmp_path):
    for i in range(9):
        (tmp_path / f"{i}.png").write_bytes(png(DEEP, 6)[: 60 if i > 1 else None])
    with pytest.raises(UserError) as caught:
        read_all(sorted(tmp_path.iterdir()))
    message = str(caught.value)
    assert message.startswith("7 of 9 pictures cannot be read: ") and "\n" not in message
    assert [f"{i}.png: cut short" in message for i in range(9)] == [1 < i < 7 for i in range(9)]
    assert message.endswith("and 2 more")


@pytest.mark.parametrize(
    "name, arguments, reason",
    [
        ("a.gif", (np.uint8, False), r"unknown extension; .*\.png"),
        ("a", (np.uint8, False), r"unknown extension; .*\.png"),
        ("a.jpg", (np.uint16, False), r"JPEG cannot hold uint16; end the name in \.png or \.tif"),
        ("a.JPG", (np.uint8, True), r"JPEG cannot hold transparency; .*\.png"),
        ("a.png", (np.float32, True), r"PNG cannot hold float32; end the name in \.tif or \.tiff$"),
        ("a.webp", (np.uint8, True, (20_000, 9)), r"WEBP holds up to 16383 pixels .*\.png"),
    ],
)
def test_an_output_that_cannot_be_is_refused_at_once(tmp_path, name, arguments, reason):
    with pytest.raises(UserError, match=rf"{name}: {reason}"):
        check_output(tmp_path / name, *arguments)


def test_an_existing_output_is_refused_at_once(tmp_path):
    (tmp_path / "a.png").symlink_to("nowhere")
    assert "exists already" in refusal(tmp_path / "a.png", np.uint8, False)
    assert not refusal(tmp_path / "a.png", np.uint8, False, (1, 1), True)


@pytest.mark.parametrize(
    "bad",
    [
        Picture(GREY[..., None]),
        Picture(GREY[:0]),
        Picture(COLOUR, COLOUR),
        Picture(COLOUR, ALPHA.astype(np.uint16)),
    ],
)
def test_arrays_that_are_no_picture_are_an_error(tmp_path, bad):
    with pytest.raises(ValueError, match=r"a\.png: "):
        save_picture(tmp_path / "a.png", bad)


def test_the_same_file_is_known_by_other_names(tmp_path):
    (tmp_path / "a").write_text("")
    (tmp_path / "b").write_text("")
    (tmp_path / "link").symlink_to("a")
    os.link(tmp_path / "a", tmp_path / "hard")
    assert same_file(tmp_path / "a", tmp_path / "link")
    assert same_file(tmp_path / "." / "a", tmp_path / "hard")
    assert not same_file(tmp_path / "a", tmp_path / "b")
    assert not same_file(tmp_path / "a", tmp_path / "none")
