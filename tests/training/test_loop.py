"""The training loop: repeatable, resumable, and honest when it fails."""

import functools
import json

import jax
import numpy as np
import pytest

from nlrn_jax.data import pixels as im
from nlrn_jax.scoring.evaluate import validate
from nlrn_jax.training import loop as training
from nlrn_jax.training.checkpoints import Checkpoints, load
from nlrn_jax.training.state import create_state

TIMES = ("steps_per_second", "patches_per_second", "loader_wait")


def figures(workdir):
    """The lines of metrics.jsonl without what a clock decides."""
    lines = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
    return [{name: v for name, v in line.items() if name not in TIMES} for line in lines]


def assert_equal(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.fixture
def run(tiny_config, photographs, tmp_path):
    """Train in tmp_path/NAME, the last photograph held out."""

    def run(name, **train):
        tiny_config.train.update(train)
        return training.train(tiny_config, tmp_path / name, photographs[:3], photographs[3:])

    return run


def fail_at(monkeypatch, call, failure):
    """Let the loader do something else at its n-th batch of a run."""
    original = training._Meter.draw
    calls = iter(range(1, 1000))

    def draw(self, iterator):
        batch = original(self, iterator)
        return failure(batch) if next(calls) == call else batch

    monkeypatch.setattr(training._Meter, "draw", draw)


def stop(_):
    raise KeyboardInterrupt


def poison(batch):
    return batch | {"input": batch["input"] * np.nan}


def test_the_same_seed_gives_the_same_run_and_another_does_not(run, tmp_path, tiny_config):
    assert_equal(run("a"), run("b"))
    assert figures(tmp_path / "a") == figures(tmp_path / "b")
    tiny_config.seed = 1
    run("c")
    assert figures(tmp_path / "a") != figures(tmp_path / "c")


@pytest.mark.parametrize("stop_at", [3, 6, 8, 12])
def test_a_run_cut_short_and_resumed_equals_one_that_was_not(run, tmp_path, monkeypatch, stop_at):
    """Bit for bit, though checkpoints (4, 8, 12) and lines of figures (3, 6, ...) do not align."""
    whole = run("whole", ema=0.5)
    with monkeypatch.context() as patch:
        fail_at(patch, stop_at, stop)
        with pytest.raises(KeyboardInterrupt):
            run("cut")
    assert_equal(run("cut"), whole)
    assert figures(tmp_path / "cut") == figures(tmp_path / "whole")


def test_a_small_share_of_validation_is_kept_by_a_resumed_run_too(
    run, tmp_path, monkeypatch, tiny_config
):
    """Two checkpoints apart: 12 patches forward every 4 steps of 2 patches, which count twice."""
    tiny_config.checkpoint.validation_share = 0.3
    run("whole")
    lines = figures(tmp_path / "whole")
    assert [line["step"] for line in lines if "validation_psnr" in line] == [8, 12]
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        fail_at(patch, 6, stop)
        run("cut")
    run("cut")
    assert figures(tmp_path / "cut") == lines


def test_a_run_shows_its_curve_and_its_newest_comparison(run, tmp_path, tiny_config, photographs):
    run("a")
    for name in ("curve.png", "comparison.png"):
        assert im.read(tmp_path / "a" / name).shape[2] == 3
    _, pictures = validate(*load(tmp_path / "a"), tiny_config, photographs[3:])
    np.testing.assert_array_equal(im.read(tmp_path / "a" / "comparison.png"), pictures[0])
    assert not [path for path in (tmp_path / "a").iterdir() if path.name.startswith(".")]


def test_every_figure_is_written_and_finite(run, tmp_path):
    run("a")
    lines = figures(tmp_path / "a")
    assert [line["step"] for line in lines] == [3, 4, 6, 8, 9, 12]
    assert set(lines[-1]) == {
        "step", "loss", "psnr", "grad_norm", "learning_rate", "validation_psnr",
        "validation_baseline",
    }  # fmt: skip
    assert all(np.isfinite(list(line.values())).all() for line in lines)
    np.testing.assert_allclose(lines[0]["psnr"], 10 * np.log10(255**2 / lines[0]["loss"]))


def test_training_stops_at_once_when_the_loss_is_not_finite(
    run, tmp_path, monkeypatch, tiny_config
):
    fail_at(monkeypatch, 7, poison)
    with pytest.raises(training.NotFiniteError, match=r"step 8.*checkpoint of step 4 is the last"):
        run("a")
    with Checkpoints(tmp_path / "a", keep=2) as checkpoints:
        state = checkpoints.restore_state(checkpoints.newest, create_state(tiny_config))
    assert int(state.step) == 4
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state))


def test_a_finished_run_says_so_and_stays_as_it_is(run, tmp_path, capsys):
    final = run("a")
    capsys.readouterr()
    assert_equal(run("a"), final)
    assert "is finished at step 12" in capsys.readouterr().out
    assert [line["step"] for line in figures(tmp_path / "a")] == [3, 4, 6, 8, 9, 12]


def test_a_finished_run_goes_on_for_more_steps(run, tmp_path):
    run("a")
    assert int(run("a", steps=14).step) == 14
    assert [line["step"] for line in figures(tmp_path / "a")][-2:] == [12, 14]


def test_nothing_held_out_is_nothing_validated(tiny_config, photographs, tmp_path):
    training.train(tiny_config, tmp_path / "a", photographs, [])
    assert all("validation_psnr" not in line for line in figures(tmp_path / "a"))


def test_the_learning_rate_written_is_the_one_used(run, tmp_path, tiny_config):
    run("a")
    used = functools.partial(training.learning_rate(tiny_config.train))
    for line in figures(tmp_path / "a"):
        if "learning_rate" in line:
            np.testing.assert_allclose(line["learning_rate"], used(line["step"] - 1))
