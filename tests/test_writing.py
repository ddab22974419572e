"""Files are written whole or not at all."""

import concurrent.futures
import contextlib
import json
import math
import os

import pytest

from nlrn_jax.writing import created, discard, replaced, write_json, write_text


def names(folder):
    return sorted(os.listdir(folder))


@pytest.mark.parametrize("write", [created, replaced])
def test_what_is_written_is_there_and_its_parents_are_made(tmp_path, write):
    path = tmp_path / "new" / "folder" / "a.txt"
    with write(str(path)) as temporary:
        temporary.write_text("new")
        assert temporary.parent == path.parent and temporary.suffix == ".txt"
        assert temporary.name.startswith(".") and not path.exists()
    assert path.read_text() == "new" and names(path.parent) == ["a.txt"]


def test_replacing_leaves_no_trace_of_the_old(tmp_path):
    write_text(tmp_path / "a", "old and longer")
    write_text(tmp_path / "a", "µ")
    assert (tmp_path / "a").read_bytes() == "µ".encode()
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_failing_write_leaves_the_old_file_and_no_other(tmp_path, error):
    write_text(tmp_path / "a", "old")
    for write, name in ((replaced, "a"), (replaced, "b"), (created, "b")):
        with pytest.raises(error), write(tmp_path / name) as temporary:
            temporary.write_text("half of")
            raise error
    assert (tmp_path / "a").read_text() == "old" and names(tmp_path) == ["a"]


@pytest.mark.parametrize("write", [created, replaced])
def test_a_rename_that_fails_leaves_nothing(tmp_path, monkeypatch, write):
    def fails(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fails)
    with pytest.raises(OSError, match="disk full"), write(tmp_path / "b") as temporary:
        temporary.write_text("new")
    assert names(tmp_path) == []


def test_creating_refuses_what_exists_by_then_and_leaves_it(tmp_path):
    with pytest.raises(FileExistsError), created(tmp_path / "a") as temporary:
        temporary.write_text("mine")
        (tmp_path / "a").write_text("another's")
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(FileExistsError), created(tmp_path / "link") as temporary:
        temporary.write_text("mine")
    assert (tmp_path / "a").read_text() == "another's" and names(tmp_path) == ["a", "link"]


def test_of_many_who_create_one_file_one_wins(tmp_path):
    def create(number):
        try:
            with created(tmp_path / "a") as temporary:
                temporary.write_text(str(number))
            return number
        except FileExistsError:
            return None

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        (winner,) = (number for number in pool.map(create, range(40)) if number is not None)
    assert (tmp_path / "a").read_text() == str(winner) and names(tmp_path) == ["a"]


def test_concurrent_writers_do_not_clash(tmp_path):
    texts = [str(number) * 10_000 for number in range(40)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda text: write_text(tmp_path / "a", text), texts))
    assert (tmp_path / "a").read_text() in texts and names(tmp_path) == ["a"]


def test_json_is_readable_and_has_no_nan(tmp_path):
    tree = {"b": [1, 2.5, None], "a": "µ"}
    write_json(tmp_path / "a.json", tree)
    text = (tmp_path / "a.json").read_text()
    assert json.loads(text) == tree and text.startswith('{\n  "b"') and text.endswith("}\n")
    for bad in (math.nan, math.inf, -math.inf):
        with pytest.raises(ValueError, match="not JSON compliant"):
            write_json(tmp_path / "a.json", {"x": bad})
    assert (tmp_path / "a.json").read_text() == text and names(tmp_path) == ["a.json"]


def test_a_name_that_is_no_text_is_written_escaped(tmp_path):
    write_text(tmp_path / "a.md", "1_\udc83.png, 写真")
    assert (tmp_path / "a.md").read_text(encoding="utf-8") == "1_\\udc83.png, 写真"


def test_a_process_that_ends_without_unwinding_can_discard_what_is_half_written(tmp_path):
    (tmp_path / "old.txt").write_text("old")
    with contextlib.ExitStack() as stack:
        for name, way in (("old.txt", replaced), ("new.txt", created)):
            stack.enter_context(way(tmp_path / name)).write_text("half")
        assert len(names(tmp_path)) == 3
        discard()
        assert names(tmp_path) == ["old.txt"]
        stack.pop_all()  # and never gets to the end
    discard()
    assert (tmp_path / "old.txt").read_text() == "old"
