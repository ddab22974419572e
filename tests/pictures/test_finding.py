"""Pictures in folders: through links, once each, no loops; what is passed over is counted."""

import os

import pytest

from nlrn_jax.errors import UserError
from nlrn_jax.pictures.finding import find_pictures, said, search


@pytest.fixture
def photos(tmp_path):
    """A folder of one picture; a helper puts more beside and into it."""
    touch(tmp_path / "photos" / "a.png")
    return tmp_path / "photos"


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def names(folder, **how) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in search(folder, **how).paths]


def test_linked_folders_are_followed(photos, tmp_path):
    touch(tmp_path / "far" / "deep" / "b.jpg")
    (photos / "link").symlink_to(tmp_path / "far")
    (photos / "c.png").symlink_to(tmp_path / "far" / "deep" / "b.jpg")
    assert names(photos) == ["a.png", "c.png", "link/deep/b.jpg"]
    (tmp_path / "whole").symlink_to(photos)
    assert names(tmp_path / "whole") == ["a.png", "c.png", "link/deep/b.jpg"]


@pytest.mark.parametrize("loop", [".", "..", "../..", "sub", "/"])
def test_a_link_back_is_no_endless_loop_and_leads_nowhere(photos, loop):
    touch(photos / "sub" / "b.png")
    touch(photos.parent / "outside.png")
    (photos / "sub" / "loop").symlink_to((photos / loop).resolve())
    assert names(photos) == ["a.png", "sub/b.png"]


def test_two_links_to_each_other_end(photos, tmp_path):
    for one, other in ("xy", "yx"):
        touch(tmp_path / one / f"{one}.png")
        (tmp_path / one / "link").symlink_to(tmp_path / other)
    (photos / "x").symlink_to(tmp_path / "x")
    assert names(photos) == ["a.png", "x/link/y.png", "x/x.png"]


def test_a_folder_of_two_names_is_taken_once_by_its_own(photos):
    touch(photos / "z" / "b.png")
    (photos / "a_link").symlink_to(photos / "z")
    assert names(photos) == ["a.png", "z/b.png"]


def test_folders_named_like_pictures_are_entered(photos):
    touch(photos / "forest.png" / "b.png")
    assert names(photos) == ["a.png", "forest.png/b.png"]
    assert names(photos / "forest.png") == ["b.png"]


def test_other_endings_of_known_formats_are_known(photos):
    for name in ("b.jfif", "c.JPE", "d.JPG", "e.dib", "f.apng", "g.Tiff", "h.webp", "i.mpo"):
        touch(photos / name)
    assert len(names(photos)) == 9


def test_what_is_passed_over_is_counted_by_ending(photos):
    for name in ("1.heic", "2.heic", "3.HEIC", "4.txt", "README", ".hidden.png", "sub/5.heic"):
        touch(photos / name)
    (photos / "gone.png").symlink_to("nowhere")
    found = search(photos)
    assert said(found.passed) == ("passed over: 4 .heic, 1 (broken link), 1 (no ending), 1 .txt")
    (photos / "a.png").unlink()
    with pytest.raises(UserError, match=r"no picture in it \(passed over: 4 \.heic"):
        find_pictures(photos)


def test_pictures_of_training_runs_are_passed_over(photos):
    run = photos / "runs" / "x3"
    for name in ("config.json", "checkpoints/1/data", "evaluation/sub/1.png", "sample.png"):
        touch(run / name)
    found = search(photos)
    assert found.paths == [photos / "a.png"]
    assert said(found.passed) == "passed over: 2 (of runs)"
    assert names(run) == ["evaluation/sub/1.png", "sample.png"], "unless the run itself is named"


@pytest.mark.parametrize("absolute", [False, True])
def test_a_folder_of_results_is_left_out_by_any_name(photos, monkeypatch, absolute):
    touch(photos / "out" / "b.png")
    monkeypatch.chdir(photos.parent)
    out = photos / "out" if absolute else photos / "sub" / ".." / "out"
    (photos / "sub").mkdir()
    found = search("photos", out)
    assert [path.name for path in found.paths] == ["a.png"]
    assert said(found.passed) == "passed over: 1 (in the output folder)"
    assert len(search("photos", photos.parent).paths) == 2, "around it, it says nothing"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read anywhere")
def test_a_folder_that_cannot_be_read_is_counted(photos):
    touch(photos / "closed" / "b.png").parent.chmod(0)
    assert said(search(photos).passed) == "passed over: 1 (unreadable folder)"
