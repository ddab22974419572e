"""Restoring picture files: nothing overwritten, nothing lost, nothing passed over in silence."""

import errno
import io
import os
import shutil
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from nlrn_jax import writing
from nlrn_jax.errors import UserError
from nlrn_jax.pictures import codec
from nlrn_jax.pictures.files import open_picture, save_picture
from nlrn_jax.pictures.formats import FORMATS, JPEG, PNG, WEBP
from nlrn_jax.pictures.picture import Picture
from nlrn_jax.restoring.jobs import _finished, restore_file, restore_files, summary
from nlrn_jax.restoring.targets import Job, find_jobs


def invert(pixels, advance):
    """Stand in for the network: fast, and seen in the result."""
    advance(1.0)
    return np.iinfo(pixels.dtype).max - pixels


def double(pixels, advance):
    return pixels.repeat(2, 0).repeat(2, 1)


def pixels(dtype=np.uint8, shape=(6, 5, 3)):
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype)


@pytest.fixture
def folder(tmp_path):
    """Two pictures, one in a subfolder, and a text."""
    photos = tmp_path / "photos"
    (photos / "sub").mkdir(parents=True)
    Image.fromarray(pixels()).save(photos / "a.png")
    Image.fromarray(pixels()[..., 0]).save(photos / "sub" / "b.bmp")
    (photos / "notes.txt").write_text("x")
    return photos


def run(source, output=None, overwrite=False):
    jobs, _ = find_jobs(source, output, "_restored")
    return restore_files(jobs, invert, 1, overwrite).failed


def test_a_picture_is_restored_beside_itself(folder):
    assert run(folder / "a.png") == 0
    np.testing.assert_array_equal(open_picture(folder / "a_restored.png").pixels, 255 - pixels())
    np.testing.assert_array_equal(open_picture(folder / "a.png").pixels, pixels())


def test_a_folder_keeps_its_structure(folder):
    assert run(folder) == 0
    results = folder.with_name("photos_restored")
    assert sorted(p.relative_to(results).as_posix() for p in results.rglob("*.*")) == [
        "a.png", "sub/b.bmp"
    ]  # fmt: skip


def test_a_folder_named_like_a_picture_is_a_folder(folder):
    (folder / "x.png").mkdir()
    (folder / "a.png").rename(folder / "x.png" / "c.png")
    assert run(folder) == 0
    assert open_picture(folder.with_name("photos_restored") / "x.png" / "c.png").notes == ()


def test_results_of_an_earlier_run_are_no_input(folder):
    run(folder, folder / "out")
    assert {job.source.name for job in find_jobs(folder, folder / "out", "_x")[0]} == {
        "a.png",
        "b.bmp",
    }


def test_an_output_is_replaced_only_when_asked(folder, tmp_path, capsys):
    target = tmp_path / "out.png"
    target.write_bytes(b"mine")
    assert run(folder / "a.png", target) == 1
    assert target.read_bytes() == b"mine"
    assert str(target) in capsys.readouterr().out
    assert run(folder / "a.png", target, overwrite=True) == 0
    assert open_picture(target).pixels.shape == (6, 5, 3)


@pytest.mark.parametrize("alias", ["a.png", "sub/../a.png", "link.png"])
def test_the_input_is_never_overwritten(folder, alias):
    (folder / "link.png").symlink_to(folder / "a.png")
    before = (folder / "a.png").read_bytes()
    assert run(folder / "a.png", folder / alias, overwrite=True) == 1
    assert (folder / "a.png").read_bytes() == before


def test_alpha_depth_profile_and_inches_survive_enlarging(tmp_path):
    alpha = np.full((6, 5), 40_000, np.uint16)
    before = Picture(pixels(np.uint16), alpha, b"profile", (72.0, 72.0))
    save_picture(tmp_path / "a.tif", before)
    restore_file(Job(tmp_path / "a.tif", tmp_path / "b.tif"), double, 2, False, lambda _: None)
    after = open_picture(tmp_path / "b.tif")
    assert after.pixels.dtype == np.uint16
    np.testing.assert_array_equal(after.pixels, double(before.pixels, None))
    np.testing.assert_array_equal(after.alpha, np.full((12, 10), 40_000))
    assert after.icc_profile == b"profile"
    assert after.dpi == pytest.approx((144, 144))


def test_what_the_output_cannot_hold_is_refused_before_the_work(tmp_path):
    save_picture(tmp_path / "a.png", Picture(pixels(np.uint16)))

    def never(*_):
        raise AssertionError("the work began")

    with pytest.raises(UserError, match=r"b\.jpg"):
        restore_file(Job(tmp_path / "a.png", tmp_path / "b.jpg"), never, 1, False, print)


def damaged(count=220):
    """Yield names and contents of pictures that were cut short, zeroed, or replaced."""
    rng = np.random.default_rng(0)
    for number in range(count):
        kind = ("PNG", "JPEG", "TIFF", "BMP")[number % 4]
        buffer = io.BytesIO()
        Image.fromarray(pixels(shape=(40, 30, 3))).save(buffer, kind)
        content = bytearray(buffer.getvalue())
        cut = int(rng.integers(0, len(content) * 3 // 4))
        damage = number // 4 % 3
        if damage == 0:
            content = content[:cut]
        elif damage == 1:
            content[:64] = bytes(64)
        else:
            content = bytes(rng.integers(0, 256, cut, np.uint8))
        yield f"{number:03}.{kind.lower()}", bytes(content)


def test_damaged_files_are_one_line_each_and_the_rest_goes_on(folder, capsys):
    bad = dict(damaged())
    for name, content in bad.items():
        (folder / name).write_bytes(content)
    assert run(folder) == len(bad)
    printed = capsys.readouterr()
    errors = [line for line in printed.out.splitlines() if line.startswith("error: ")]
    assert len(errors) == len(bad)
    assert all(sum(name in line for line in errors) == 1 for name in bad)
    assert "Traceback" not in printed.out + printed.err
    results = folder.with_name("photos_restored")
    assert {p.name for p in results.rglob("*.*")} == {"a.png", "b.bmp"}


# ---- where results go


def placed(source, output=None) -> dict[str, str]:
    """Return where the result of each picture goes."""
    jobs, _ = find_jobs(Path(source), output, "_restored")
    return {job.source.as_posix(): Path(os.path.normpath(job.target)).as_posix() for job in jobs}


@pytest.mark.parametrize("name, inside", [(".", "."), ("..", "sub"), ("sub/..", "."), ("./", ".")])
def test_the_current_folder_and_the_one_around_have_results_beside_them(
    folder, monkeypatch, name, inside
):
    monkeypatch.chdir(folder / inside)
    assert set(placed(name).values()) == {
        f"{folder}_restored/a.png",
        f"{folder}_restored/sub/b.bmp",
    }


def test_nothing_lies_beside_the_root_of_all(monkeypatch):
    with pytest.raises(UserError, match="--output"):
        find_jobs(Path("/"), None, "_restored")


@pytest.mark.parametrize("absolute_input", [False, True])
@pytest.mark.parametrize("absolute_output", [False, True])
@pytest.mark.parametrize("output", ["photos/out", "photos/sub/out", ".", "photos", "photos/sub"])
def test_a_second_run_finds_no_results_wherever_they_lie(
    folder, monkeypatch, absolute_input, absolute_output, output
):
    monkeypatch.chdir(folder.parent)
    source = folder if absolute_input else Path("photos")
    out = str(folder.parent / output) if absolute_output else output
    originals = {path: path.read_bytes() for path in folder.rglob("*.*")}
    jobs, _ = find_jobs(source, out, "_restored")
    tally = restore_files(jobs, invert, 1)
    assert (tally.restored, tally.failed) == (len(jobs), 0) and jobs
    again, _ = find_jobs(source, out, "_restored")
    assert again == jobs
    assert restore_files(again, invert, 1)[:3] == (0, len(jobs), 0)
    assert restore_files(again, invert, 1, overwrite=True)[:3] == (len(jobs), 0, 0)
    assert {path: path.read_bytes() for path in originals} == originals


def test_results_around_and_in_the_input_itself(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    assert placed("photos", ".") == {"photos/a.png": "a.png", "photos/sub/b.bmp": "sub/b.bmp"}
    assert placed("photos", "photos/") == {
        "photos/a.png": "photos/a_restored.png",
        "photos/sub/b.bmp": "photos/sub/b_restored.bmp",
    }


def test_results_of_other_runs_are_no_input_and_counted(folder):
    run(folder / "a.png")
    run(folder / "sub")
    jobs, passed = find_jobs(folder, None, "_restored")
    assert {job.source.name for job in jobs} == {"a.png", "b.bmp"}
    assert passed == {"(earlier results)": 2, ".txt": 1}


def test_a_folder_that_ends_in_a_slash_is_made_for_one_picture(folder, tmp_path):
    jobs, _ = find_jobs(folder / "a.png", f"{tmp_path}/new/deep/", "_restored")
    assert restore_files(jobs, invert, 1).restored == 1
    assert (tmp_path / "new" / "deep" / "a.png").is_file()
    assert placed(folder / "a.png", f"{folder}/") == {f"{folder}/a.png": f"{folder}/a_restored.png"}


def test_a_name_that_is_neither_a_picture_nor_a_folder_is_asked_back(folder, tmp_path):
    with pytest.raises(UserError, match=r"new: .*in \.png for a picture, in / for a folder"):
        find_jobs(folder / "a.png", str(tmp_path / "new"), "_restored")


def test_linked_folders_are_restored_once(folder, tmp_path):
    (tmp_path / "far").mkdir()
    (folder / "a.png").rename(tmp_path / "far" / "c.png")
    (folder / "link").symlink_to(tmp_path / "far")
    (folder / "sub" / "loop").symlink_to(folder)
    assert run(folder) == 0
    results = folder.with_name("photos_restored")
    assert (results / "link" / "c.png").is_file() and (results / "sub" / "b.bmp").is_file()


# ---- names and contents


@pytest.mark.parametrize(
    "name, content, result",
    [
        ("a", "PNG", "a_restored.png"),
        ("a.dat", "JPEG", "a_restored.dat.jpg"),
        ("a.tmp", "TIFF", "a_restored.tmp.tif"),
        ("a.jpg", "PNG", "a_restored.jpg.png"),
        ("a.png", "WEBP", "a_restored.png.webp"),
        ("a.JFIF", "JPEG", "a_restored.JFIF"),
        ("a.jpe", "JPEG", "a_restored.jpe"),
        ("a.JPG", "JPEG", "a_restored.JPG"),
        ("a.dib", "BMP", "a_restored.dib"),
    ],
)
def test_the_content_decides_and_the_result_ends_accordingly(tmp_path, name, content, result):
    buffer = io.BytesIO()
    Image.fromarray(pixels()).save(buffer, content)
    (tmp_path / name).write_bytes(buffer.getvalue())
    assert run(tmp_path / name) == 0
    with Image.open(tmp_path / result) as read:
        assert read.format == content and read.size == (5, 6)


def test_what_the_format_of_a_picture_cannot_hold_gets_another_ending(tmp_path):
    (tmp_path / "in").mkdir()
    masks = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)  # the last makes transparency of the fourth byte
    size = struct.pack("<IiiHHIIiiII4I", 108, 5, 6, 1, 32, 3, 120, 0, 0, 0, 0, *masks).ljust(108)
    samples = np.dstack([pixels(), np.full((6, 5), 100, np.uint8)])
    head = struct.pack("<2sIII", b"BM", 14 + 108 + 120, 0, 14 + 108)
    (tmp_path / "in" / "a.bmp").write_bytes(head + size + samples.tobytes())
    jobs, _ = find_jobs(tmp_path / "in", tmp_path / "out", "_restored")
    assert restore_files(jobs, invert, 1)[:3] == (1, 0, 0)
    assert (open_picture(tmp_path / "out" / "a.bmp.png").alpha == 100).all()
    assert restore_files(jobs, invert, 1)[:3] == (0, 1, 0)


@pytest.mark.parametrize(
    "name",
    [
        "[red]a.png",
        "[bold].png",
        os.fsdecode(b"caf\xe9.png"),
        "a\nb.png",
        "写真.png",
        "\x1b[1m.png",
    ],
)
def test_odd_names_are_restored_and_printed(tmp_path, monkeypatch, terminal, name):
    monkeypatch.setattr(sys, "stdout", terminal)
    save_picture(tmp_path / "a.png", Picture(pixels()))
    (tmp_path / "in").mkdir()
    os.rename(tmp_path / "a.png", tmp_path / "in" / name)
    (tmp_path / "in" / f"bad{name}").write_bytes(b"no picture")
    assert run(tmp_path / "in", tmp_path / "out") == 1
    assert (tmp_path / "out" / name).is_file()
    told = [line for line in terminal.getvalue().splitlines() if ": restored from " in line]
    assert len(told) == 1 and told[0].encode("utf-8")


# ---- what goes wrong, what is done


@pytest.mark.parametrize(
    "error",
    [MemoryError(), OSError(28, "disk full"), RuntimeError("RESOURCE_EXHAUSTED"), ValueError()],
)
def test_what_goes_wrong_with_one_picture_does_not_stop_the_rest(folder, capsys, error):
    def breaks(seen, advance):
        if seen.ndim == 3:
            raise error
        return seen

    jobs, _ = find_jobs(folder, None, "_restored")
    assert restore_files(jobs, breaks, 1)[:3] == (1, 0, 1)
    assert "error: " in capsys.readouterr().out


def test_an_encoder_that_fails_on_one_picture_does_not_stop_the_rest(folder, monkeypatch):
    encode = codec.encode

    def fails(picture, format, quality):
        if format == "PNG":
            raise TypeError("what now?")
        return encode(picture, format, quality)

    monkeypatch.setattr(codec, "encode", fails)
    jobs, _ = find_jobs(folder, None, "_restored")
    assert restore_files(jobs, invert, 1)[:3] == (1, 0, 1)


def test_what_is_done_is_neither_done_again_nor_failed(folder):
    jobs, passed = find_jobs(folder, None, "_restored")
    restore_files(jobs[:1], invert, 1)

    def only_the_other(seen, advance):
        assert seen.ndim == 2
        return invert(seen, advance)

    tally = restore_files(jobs, only_the_other, 1)
    assert tally[:3] == (1, 1, 0)
    assert summary(tally, passed) == (
        "restored 1 of 2 pictures, 1 done already (--overwrite restores anew), 0 failed; "
        "passed over: 1 .txt"
    )
    assert [pair.was_there for pair in tally.pairs] == [True, False]


@pytest.mark.parametrize("ending", [".png", ".jpg", ".tif", ".webp"])
def test_a_result_that_was_cut_short_is_not_done_but_said_to_be_there(tmp_path, ending, capsys):
    source, target = tmp_path / "a.png", tmp_path / f"b{ending}"
    save_picture(source, Picture(pixels(shape=(64, 48, 3))))
    assert run(source, target) == 0
    whole = target.read_bytes()
    target.write_bytes(whole[: len(whole) * 3 // 4])
    assert restore_files([Job(source, target)], invert, 1)[:3] == (0, 0, 1)
    assert f"{target}: exists already; " in capsys.readouterr().out
    assert restore_files([Job(source, target)], invert, 1, overwrite=True)[:3] == (1, 0, 0)
    assert target.read_bytes() == whole


def test_results_that_can_lie_nowhere_are_a_line_that_names_the_place(folder, tmp_path, capsys):
    (tmp_path / "blocker").write_text("no folder")
    target = tmp_path / "blocker" / "out" / "a.png"
    assert restore_files([Job(folder / "a.png", target)], invert, 1)[:3] == (0, 0, 1)
    said = f"error: {target}: {tmp_path / 'blocker'} is no folder; name another place"
    assert said in capsys.readouterr().out.splitlines()


def test_what_the_system_refuses_is_said_with_the_place_and_not_the_picture(
    folder, tmp_path, monkeypatch, capsys
):
    def refused(folder):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(folder))

    monkeypatch.setattr(writing, "make_folder", refused)
    restore_files([Job(folder / "a.png", tmp_path / "out" / "a.png")], invert, 1)
    said = f"error: {tmp_path / 'out'}: Read-only file system; check the place and its permissions"
    assert said in capsys.readouterr().out.splitlines()


def test_a_copy_of_the_source_is_no_result(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "out")
    jobs, _ = find_jobs(folder, tmp_path / "out", "_restored")
    assert restore_files(jobs, invert, 1)[:3] == (0, 0, 2)


def test_pictures_whose_results_would_meet_lie_apart(tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.fromarray(pixels()).save(photos / "c.png", "JPEG")  # so its result is c.png.jpg
    Image.fromarray(255 - pixels()).save(photos / "c.png.jpg")
    jobs, _ = find_jobs(photos, tmp_path / "out", "_restored")
    assert {job.target.name for job in jobs} == {"c.png.jpg", "c.png_2.jpg"}
    assert restore_files(jobs, invert, 1)[:3] == (2, 0, 0)
    assert restore_files(jobs, invert, 1)[:3] == (0, 2, 0)


def test_a_name_that_is_too_long_does_not_stop_the_others(folder):
    (folder / "a.png").rename(folder / f"{'x' * 251}.png")
    jobs, _ = find_jobs(folder, folder, "_restored")
    assert restore_files(jobs, invert, 1)[:3] == (1, 0, 1)


def test_a_file_is_no_folder_for_results(folder, tmp_path):
    (tmp_path / "out.png").touch()
    with pytest.raises(UserError, match=r"out\.png: is a file"):
        find_jobs(folder, tmp_path / "out.png", "_restored")


def test_another_picture_in_the_place_of_a_result_is_not_taken_for_it(folder, tmp_path):
    save_picture(tmp_path / "out.png", Picture(pixels(shape=(7, 5, 3))))
    assert run(folder / "a.png", tmp_path / "out.png") == 1
    assert restore_files([Job(folder / "a.png", tmp_path / "out.png")], double, 2)[:3] == (0, 0, 1)


def test_a_picture_with_a_long_text_is_done_too(tmp_path):
    text = PngImagePlugin.PngInfo()
    text.add_itxt("workflow", "b" * 1_200_000, zip=True)
    Image.fromarray(pixels()).save(tmp_path / "a.png", pnginfo=text)
    jobs, _ = find_jobs(tmp_path / "a.png", None, "_restored")
    assert restore_files(jobs, invert, 1)[:3] == (1, 0, 0)
    assert restore_files(jobs, invert, 1)[:3] == (0, 1, 0)


def test_a_turned_picture_is_done_when_its_upright_result_is_there(tmp_path):
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(pixels()).save(tmp_path / "a.jpg", exif=turned)
    jobs, _ = find_jobs(tmp_path / "a.jpg", None, "_x2")
    assert restore_files(jobs, double, 2)[:3] == (1, 0, 0)
    assert restore_files(jobs, double, 2)[:3] == (0, 1, 0)


def test_the_limit_of_pixels_is_the_callers(folder, capsys):
    jobs, _ = find_jobs(folder / "a.png", None, "_restored")
    assert restore_files(jobs, invert, 1, max_pixels=29).failed == 1
    assert "--max_megapixels" in capsys.readouterr().out
    assert restore_files(jobs, invert, 1, max_pixels=30).restored == 1


def test_what_is_lost_is_said_by_name(tmp_path, capsys):
    exif = Image.Exif()
    exif[0x8298] = "me"
    Image.fromarray(pixels()).save(tmp_path / "a.jpg", exif=exif)
    assert run(tmp_path / "a.jpg", tmp_path / "b.bmp") == 0
    assert "a.jpg: left out, BMP has no place for it: EXIF" in capsys.readouterr().out
    assert run(tmp_path / "a.jpg", tmp_path / "b.tif") == 0
    assert "left out" not in capsys.readouterr().out


def test_imagejs_unit_is_of_the_larger_picture(tmp_path):
    before = Picture(pixels(), per_unit=(4.0, 2.0), exif=b"II*\0\x08\0\0\0\0\0\0\0\0\0")
    save_picture(tmp_path / "a.tif", before)
    finished = _finished(before, double(pixels(), None), 2)
    assert finished.per_unit == (8.0, 4.0)


def test_nothing_to_restore_says_so(tmp_path):
    with pytest.raises(UserError, match="no such file or folder"):
        find_jobs(tmp_path / "nowhere", None, "_x")
    with pytest.raises(UserError, match="no picture in it"):
        find_jobs(tmp_path, None, "_x")


# ---- a format that is asked for, a quality, results left alone


def restored(source, format, output=None, **settings):
    """Restore pictures into a format; return the tally, and the results' names and formats."""
    jobs, _ = find_jobs(source, output, "_restored", format)
    tally = restore_files(jobs, invert, 1, **settings)
    return tally, {pair.result.name: format_of(pair.result) for pair in tally.pairs}


def format_of(path):
    with Image.open(path) as read:
        return read.format


@pytest.mark.parametrize("format", FORMATS, ids=lambda format: format.name)
def test_all_results_of_a_folder_are_of_the_format_that_is_asked_for(folder, format):
    tally, results = restored(folder, format)
    assert tally[:3] == (2, 0, 0)
    end = format.endings[0]
    assert results == {f"a{end}": format.name, f"b{end}": format.name}
    again, same = restored(folder, format)
    assert again[:3] == (0, 2, 0) and same == results
    assert [pair[:2] for pair in again.pairs] == [pair[:2] for pair in tally.pairs]


def test_one_picture_in_another_format_lies_beside_itself(folder):
    _, results = restored(folder / "a.png", WEBP)
    assert results == {"a_restored.webp": "WEBP"}
    np.testing.assert_array_equal(
        open_picture(folder / "a_restored.webp").pixels, 255 - pixels()
    )  # WebP is without loss unless a quality is given
    assert {job.source.name for job in find_jobs(folder, None, "_restored")[0]} == {
        "a.png", "b.bmp"
    }  # fmt: skip


def test_a_format_that_cannot_hold_a_picture_is_a_line_and_the_rest_goes_on(folder, capsys):
    save_picture(folder / "deep.png", Picture(pixels(np.uint16)))
    save_picture(folder / "clear.png", Picture(pixels(), np.full((6, 5), 9, np.uint8)))
    tally, results = restored(folder, JPEG)
    assert tally[:3] == (2, 0, 2) and set(results) == {"a.jpg", "b.jpg"}
    errors = [line for line in capsys.readouterr().out.splitlines() if line.startswith("error: ")]
    assert [line.rpartition("/")[2] for line in errors] == [
        "clear.png: JPEG cannot hold transparency; restore it with --format=png or tiff or webp",
        "deep.png: JPEG cannot hold uint16; restore it with --format=png or tiff",
    ]
    assert {path.name for path in folder.with_name("photos_restored").rglob("*.*")} == set(results)


def test_results_that_would_meet_keep_their_old_endings_and_none_is_taken_for_another(folder):
    Image.fromarray(255 - pixels()).save(folder / "a.bmp")
    tally, results = restored(folder, PNG)
    assert tally[:3] == (3, 0, 0) and set(results) == {"a.bmp.png", "a.png.png", "b.png"}
    Image.fromarray(pixels() // 2).save(folder / "b.webp")
    Image.fromarray(pixels() // 2).save(folder / "sub" / "b.webp")
    tally, results = restored(folder, PNG)
    assert tally[:3] == (3, 2, 0)
    assert {path.parent.name + "/" + path.name for _, path, _ in tally.pairs} == {
        "photos_restored/a.bmp.png", "photos_restored/a.png.png", "photos_restored/b.png",
        "sub/b.bmp.png", "sub/b.webp.png",
    }  # fmt: skip


def test_the_quality_is_that_of_jpeg_and_of_webp_and_of_nothing_else(tmp_path):
    rng = np.random.default_rng(0)
    save_picture(tmp_path / "a.png", Picture(rng.integers(0, 256, (64, 64, 3), np.uint8)))
    sizes = {}
    for format in (JPEG, WEBP, PNG):
        for quality in (None, 10, 95):
            folder = tmp_path / f"{format.name}_{quality}"
            restored(tmp_path / "a.png", format, f"{folder}/", quality=quality)
            (path,) = folder.iterdir()
            sizes[format.name, quality] = path.read_bytes()
    assert len(sizes["JPEG", 10]) < len(sizes["JPEG", 95]) / 2
    assert sizes["JPEG", 95] == sizes["JPEG", None]
    assert len(sizes["WEBP", 10]) < len(sizes["WEBP", 95]) < len(sizes["WEBP", None])
    assert sizes["PNG", 10] == sizes["PNG", None]


def test_what_is_there_is_left_alone_whatever_it_holds(folder, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.png").write_bytes(b"mine")
    jobs, _ = find_jobs(folder, tmp_path / "out", "_restored")
    assert restore_files(jobs, invert, 1)[:3] == (1, 0, 1)  # no picture of that size: no result
    tally = restore_files(jobs, invert, 1, skip=True)
    assert tally[:3] == (0, 2, 0)
    assert {pair.result.name for pair in tally.pairs} == {"a.png", "b.bmp"}
    assert (tmp_path / "out" / "a.png").read_bytes() == b"mine"


def test_skipping_takes_neither_the_input_nor_a_folder_for_a_result(folder, tmp_path):
    (tmp_path / "out.png").mkdir()
    for target in (folder / "a.png", tmp_path / "out.png"):
        assert restore_files([Job(folder / "a.png", target)], invert, 1, skip=True)[:3] == (0, 0, 1)


def test_the_pairs_are_in_the_order_of_the_pictures_and_without_what_failed(folder):
    (folder / "0.png").write_bytes(b"no picture")
    jobs, _ = find_jobs(folder, None, "_restored")
    restore_files(jobs[2:], invert, 1)
    pairs = restore_files(jobs, invert, 1).pairs
    assert [pair.source.name for pair in pairs] == ["a.png", "b.bmp"]
    assert all(pair.result.is_file() for pair in pairs)
