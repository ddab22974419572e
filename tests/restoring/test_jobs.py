"""Restoring picture files: nothing overwritten, nothing lost, nothing passed over in silence."""

import io

import numpy as np
import pytest
from PIL import Image

from nlrn_jax.errors import UserError
from nlrn_jax.pictures.files import open_picture, save_picture
from nlrn_jax.pictures.picture import Picture
from nlrn_jax.restoring.jobs import Job, find_jobs, restore_file, restore_files


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


def test_nothing_to_restore_says_so(tmp_path):
    with pytest.raises(UserError, match="no such file or folder"):
        find_jobs(tmp_path / "nowhere", None, "_x")
    with pytest.raises(UserError, match="no picture in it"):
        find_jobs(tmp_path, None, "_x")
