"""How long a large picture takes: said once, after its first part, without what was compiled."""

import io

import jax
import numpy as np
import pytest
from clock import Clock
from PIL import Image

from nlrn_jax.network.model import NLRN
from nlrn_jax.restoring import jobs
from nlrn_jax.restoring.forecast import forecasting
from nlrn_jax.restoring.patches import restore_patches
from nlrn_jax.restoring.restore import restore_tiling
from nlrn_jax.restoring.targets import find_jobs
from nlrn_jax.restoring.tiles import Tiling, cut

PICTURE = np.zeros((3000, 4000, 3), np.uint8)


def in_parts(clock, parts, seconds, before=lambda: None):
    """Return a restorer of so many parts, of so many seconds each."""

    def restore(pixels, advance):
        before()
        advance(0.0)
        for _ in range(parts):
            clock.now += seconds
            advance(1 / parts)
        return pixels

    return restore


def said(clock, restore, picture=PICTURE):
    lines, done = [], []
    forecasting(restore, "photo.jpg", lines.append, clock)(picture, done.append)
    assert sum(done) == pytest.approx(1)
    return lines


def test_after_the_first_part_the_whole_is_known(clock):
    assert said(clock, in_parts(clock, 70, 8)) == [
        "photo.jpg: 4000 x 3000 pixels in 70 parts, about 9 min"
    ]


def test_the_line_comes_before_the_second_part(clock):
    times = []
    restore = forecasting(in_parts(clock, 70, 8), "a", lambda _: times.append(clock.now), clock)
    restore(PICTURE)
    assert times == [1008]


@pytest.mark.parametrize("parts, seconds", [(70, 0.2), (1, 500), (2, 9)])
def test_what_is_waited_for_or_over_is_not_foretold(clock, parts, seconds):
    assert not said(clock, in_parts(clock, parts, seconds))


def test_reading_and_enlarging_beforehand_are_not_counted_for_every_part(clock):
    def enlarge():
        clock.now += 60

    assert said(clock, in_parts(clock, 10, 4, enlarge)) == [
        "photo.jpg: 4000 x 3000 pixels in 10 parts, about 40 s"
    ]


def test_compiling_is_not_counted_for_every_part(clock):
    def restore(pixels, advance):
        advance(0.0)
        clock.now += 45
        jax.jit(lambda x: x + len(str(clock.now)))(np.zeros(3))  # compiled here, after 45 s
        for _ in range(10):
            clock.now += 4
            advance(1 / 10)
        return pixels

    assert said(clock, restore) == ["photo.jpg: 4000 x 3000 pixels in 10 parts, about 40 s"]


NETWORK = NLRN(filters=4, embedding=2, steps=1)


@pytest.mark.parametrize("way", ["tiles", "patches"])
def test_tiles_and_patches_say_where_their_parts_begin(way, monkeypatch):
    pixels, done = np.zeros((40, 40), np.float32), []
    for module in ("restore", "patches"):
        monkeypatch.setattr(
            f"nlrn_jax.restoring.{module}.apply", lambda model, variables, x, size=None: x
        )
    if way == "tiles":
        tiling = Tiling(NETWORK, (32, 32), cut((40, 40), (32, 32), 8))
        restore_tiling(tiling, {}, pixels, done.append)
    else:
        restore_patches(NETWORK, {}, pixels, 20, 20, 1, done.append)
    assert done == [0.0, *[1 / 4] * 4]


def test_pictures_are_restored_with_their_forecast_first(tmp_path, monkeypatch, capsys):
    clock = Clock()
    monkeypatch.setattr("nlrn_jax.restoring.forecast.forecasting.__defaults__", (clock,))
    Image.fromarray(np.zeros((30, 40), np.uint8)).save(tmp_path / "a.png")
    found, _ = find_jobs(tmp_path / "a.png", None, "_r")
    assert not jobs.restore_files(found, in_parts(clock, 5, 60), 1).failed
    assert capsys.readouterr().out.splitlines() == [
        "a.png: 40 x 30 pixels in 5 parts, about 5 min",
        f"{tmp_path / 'a_r.png'}: restored from a.png",
    ]


def test_a_terminal_shows_how_far_each_picture_is(tmp_path, monkeypatch, terminal):
    monkeypatch.setattr("sys.stdout", terminal)
    for name in ("a [b].png", "c.png"):
        Image.fromarray(np.zeros((3, 4), np.uint8)).save(tmp_path / name)
    found, _ = find_jobs(tmp_path, tmp_path / "out", "_r")
    assert not jobs.restore_files(found, in_parts(Clock(), 4, 0), 1).failed
    assert "restoring a [b].png (1 of 2)" in terminal.getvalue()
    assert "restoring c.png (2 of 2)" in terminal.getvalue()


def test_a_pipe_gets_a_line_for_each_picture_and_no_bar(tmp_path, monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr("sys.stdout", stream)
    Image.fromarray(np.zeros((3, 4), np.uint8)).save(tmp_path / "a.png")
    found, _ = find_jobs(tmp_path, tmp_path / "out", "_r")
    jobs.restore_files(found, in_parts(Clock(), 4, 0), 1)
    assert stream.getvalue() == f"{tmp_path / 'out' / 'a.png'}: restored from a.png\n"
