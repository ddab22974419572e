"""The training loop: repeatable, resumable, and honest when it fails."""

import json
import shutil

import jax
import numpy as np
import pytest
import tiny

from nlrn_jax.errors import NotFiniteError
from nlrn_jax.pictures.files import read_pixels
from nlrn_jax.scoring.validation import Validator
from nlrn_jax.training import loop, meter
from nlrn_jax.training.checkpoints import Checkpoints
from nlrn_jax.training.run import find_step, load
from nlrn_jax.training.state import create_state

TIMES = ("steps_per_second", "patches_per_second", "loader_wait")


def figures(workdir):
    """The lines of metrics.jsonl without what a clock decides."""
    lines = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
    return [{name: v for name, v in line.items() if name not in TIMES} for line in lines]


def assert_equal(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.fixture
def run(tiny_config, tmp_path):
    """Train in tmp_path/NAME, the last photograph held out."""

    def run(name, **train):
        tiny_config.train.update(train)
        return tiny.train(tiny_config, tmp_path / name)

    return run


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run that came to its end: its workdir, which is to be left as it is, and its last state."""
    folder = tmp_path_factory.mktemp("finished") / "a"
    return folder, tiny.train(tiny.config(), folder)


@pytest.fixture(scope="module")
def averaged(tmp_path_factory):
    """The same with averaged weights."""
    config, folder = tiny.config(), tmp_path_factory.mktemp("averaged") / "a"
    config.train.ema = 0.5
    return folder, tiny.train(config, folder)


@pytest.fixture
def again(finished, tmp_path):
    """A copy of the finished run, tmp_path/a, and its last state."""
    folder, state = finished
    return shutil.copytree(folder, tmp_path / "a"), state


def fail_at(monkeypatch, call, failure):
    """Let the loader do something else at its n-th batch of a run."""
    original = meter.Meter.draw
    calls = iter(range(1, 1000))

    def draw(self, iterator):
        batch = original(self, iterator)
        return failure(batch) if next(calls) == call else batch

    monkeypatch.setattr(meter.Meter, "draw", draw)


def stop(_):
    raise KeyboardInterrupt


def poison(batch):
    return batch | {"input": batch["input"] * np.nan}


def test_the_same_seed_gives_the_same_run_and_another_does_not(
    finished, run, tmp_path, tiny_config
):
    first, state = finished
    assert_equal(run("b"), state)
    assert figures(tmp_path / "b") == figures(first)
    tiny_config.seed = 1
    run("c")
    assert figures(tmp_path / "c") != figures(first)


@pytest.mark.parametrize("stop_at", [3, 6, 8, 12])
def test_a_run_cut_short_and_resumed_equals_one_that_was_not(
    averaged, run, tmp_path, monkeypatch, stop_at
):
    """Bit for bit, though checkpoints (4, 8, 12) and lines of figures (3, 6, ...) do not align."""
    whole, state = averaged
    with monkeypatch.context() as patch:
        fail_at(patch, stop_at, stop)
        with pytest.raises(KeyboardInterrupt):
            run("cut", ema=0.5)
    assert_equal(run("cut"), state)
    assert figures(tmp_path / "cut") == figures(whole)


@pytest.mark.parametrize("stop_at", [3, 7])
def test_a_run_whose_norms_freeze_resumes_before_and_after_that(
    run, tmp_path, monkeypatch, tiny_config, stop_at
):
    """From step 6 of 12 on; the checkpoints are of steps 4 and 8."""
    tiny_config.train.freeze_at = 0.5
    state = run("whole")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        fail_at(patch, stop_at, stop)
        run("cut")
    assert_equal(run("cut"), state)
    assert figures(tmp_path / "cut") == figures(tmp_path / "whole")


def test_norms_that_are_frozen_from_the_start_keep_their_first_statistics(run, tiny_config):
    tiny_config.train.freeze_at = 0.0
    state = run("frozen")
    assert_equal(state.variables["batch_stats"], create_state(tiny_config).variables["batch_stats"])


def test_norms_move_until_they_are_frozen(run, tmp_path, tiny_config):
    tiny_config.train.freeze_at = 0.5
    tiny_config.checkpoint.update(every=3, keep=9)
    run("frozen")
    third, sixth, last = (
        load(tmp_path / "frozen", step)[1]["batch_stats"]["output_norm"]["mean"]
        for step in (3, 6, 12)
    )
    assert np.abs(third - sixth).min() > 0
    np.testing.assert_array_equal(sixth, last)


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


def test_a_run_shows_its_curve_and_its_newest_comparison(finished, tiny_config, photographs):
    folder, _ = finished
    for name in ("curve.png", "comparison.png"):
        assert read_pixels(folder / name).shape[2] == 3
    _, pictures = Validator(tiny_config, photographs[3:]).score(load(folder)[1])
    shown = read_pixels(folder / "comparison.png")
    np.testing.assert_array_equal(shown, pictures[photographs[3].name])
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


def test_every_figure_is_written_and_finite(finished):
    lines = figures(finished[0])
    assert [line["step"] for line in lines] == [3, 4, 6, 8, 9, 12]
    assert set(lines[-1]) == {
        "step", "loss", "psnr", "baseline", "grad_norm", "learning_rate", "validation_psnr",
        "validation_baseline",
    }  # fmt: skip
    assert all(np.isfinite(list(line.values())).all() for line in lines)
    np.testing.assert_allclose(lines[0]["psnr"], 10 * np.log10(255**2 / lines[0]["loss"]))
    assert abs(lines[0]["baseline"] - 10 * np.log10(255**2 / 25**2)) < 1  # of noise of 25


def test_the_first_figures_after_a_checkpoint_of_an_earlier_version_lack_the_baseline_alone(
    again, run, tmp_path, tiny_config
):
    """Lines are 3 steps apart, and the checkpoint of step 4 lies between two."""
    folder, state = again
    shutil.rmtree(folder / "checkpoints" / "12")
    with Checkpoints(folder, keep=2) as checkpoints:
        state = checkpoints.read_state(8, create_state(tiny_config))
        earlier = {name: sum_ for name, sum_ in state.sums.items() if name != "baseline"}
        shutil.rmtree(folder / "checkpoints" / "8")
    with Checkpoints(folder, keep=2) as checkpoints:
        checkpoints.save(state.replace(sums=earlier), tiny_config, None)
    before = figures(folder)
    run("a")
    first, last = figures(folder)[-2:]
    assert first["step"] == 9 and first["baseline"] is None
    assert first | {"baseline": 0} == before[-2] | {"baseline": 0}
    assert last == before[-1]


def test_training_stops_at_once_when_the_loss_is_not_finite(
    run, tmp_path, monkeypatch, tiny_config
):
    fail_at(monkeypatch, 7, poison)
    with pytest.raises(NotFiniteError, match=r"step 8.*checkpoint of step 4 is the last"):
        run("a")
    with Checkpoints(tmp_path / "a", keep=2) as checkpoints:
        state = checkpoints.read_state(checkpoints.newest, create_state(tiny_config))
    assert int(state.step) == 4
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state))


def test_a_finished_run_says_so_and_stays_as_it_is(again, run, capsys):
    folder, state = again
    assert_equal(run("a"), state)
    assert "is finished at step 12" in capsys.readouterr().out
    assert [line["step"] for line in figures(folder)] == [3, 4, 6, 8, 9, 12]


def test_a_finished_run_goes_on_for_more_steps(again, run):
    folder, _ = again
    assert int(run("a", steps=14).step) == 14
    assert [line["step"] for line in figures(folder)][-2:] == [12, 14]


def test_nothing_held_out_is_nothing_validated(tiny_config, photographs, tmp_path):
    loop.train(tiny_config, tmp_path / "a", photographs, Validator(tiny_config, []))
    assert all("validation_psnr" not in line for line in figures(tmp_path / "a"))


class StandIn:
    """A validator that is due once."""

    def __init__(self, images, baseline=20.0):
        self.images, self.scored, self.baseline = images, [], baseline

    def due(self, step):
        return step == 8

    def score(self, variables, advance):
        advance(1.0)
        self.scored.append(variables)
        pictures = {f"folder/{i}.png": np.full((2, 3, 3), i, np.uint8) for i in range(9)}
        return {"validation_psnr": 30.0, "validation_baseline": self.baseline}, pictures


def test_no_gain_is_told_over_an_input_that_is_perfect(tiny_config, photographs, tmp_path, capsys):
    validator = StandIn(photographs[3:], baseline=np.inf)
    loop.train(tiny_config, tmp_path, photographs[:3], validator)
    assert "step 8: validation 30.00 dB on centres of 16 pixels\n" in capsys.readouterr().out
    (line,) = [line for line in figures(tmp_path) if "validation_psnr" in line]
    assert line == {"step": 8, "validation_psnr": 30.0, "validation_baseline": None}


def test_a_validator_is_asked_when_it_is_due_for_what_is_evaluated(
    tiny_config, photographs, tmp_path, capsys
):
    """The averaged weights of step 8; of nine pictures eight are shown."""
    tiny_config.train.ema, validator = 0.5, StandIn(photographs[3:])
    loop.train(tiny_config, tmp_path, photographs[:3], validator)
    scored = [line for line in figures(tmp_path) if "validation_psnr" in line]
    assert scored == [{"step": 8, "validation_psnr": 30.0, "validation_baseline": 20.0}]
    assert (
        "validation 30.00 dB on centres of 16 pixels, +10.00 over its input"
        in capsys.readouterr().out
    )
    shown = np.repeat(np.arange(8, dtype=np.uint8), 2)[:, None, None]
    comparison = read_pixels(tmp_path / "comparison.png")
    np.testing.assert_array_equal(comparison, np.broadcast_to(shown, (16, 3, 3)))
    assert_equal(validator.scored, [load(tmp_path, "best")[1]])
    assert find_step(tmp_path, "best") == 8


def test_the_learning_rate_written_is_the_one_used(finished, tiny_config):
    used = meter.learning_rate(tiny_config.train)
    for line in figures(finished[0]):
        if "learning_rate" in line:
            np.testing.assert_allclose(line["learning_rate"], used(line["step"] - 1))


def test_a_run_goes_on_from_the_newest_whole_checkpoint_and_keeps_the_damaged_one(
    again, run, capsys
):
    """And comes to the same end, where it writes the damaged step anew."""
    folder, state = again
    for path in (folder / "checkpoints" / "12").glob("state/**/d/*"):
        path.write_bytes(b"")
    assert_equal(run("a"), state)
    assert (
        f"checkpoint 12 is damaged (data are missing or cut short: OUT_OF_RANGE): set aside in "
        f"{folder}/damaged; goes on from step 8" in capsys.readouterr().out
    )
    assert {path.name for path in (folder / "checkpoints").iterdir()} == {"8", "12"}
    assert (folder / "damaged" / "12" / "state").is_dir()
    assert [line["step"] for line in figures(folder)] == [3, 4, 6, 8, 9, 12]
