"""Runs side by side: what the table says is what the workdirs hold, and only like meets like."""

import json

import pytest

from configs import base
from nlrn_jax.config.record import get
from nlrn_jax.errors import UserError
from nlrn_jax.looking.compare import compare, training_seconds
from nlrn_jax.training.run import claim_workdir

LINES = [
    {"step": 10, "psnr": 22.0, "steps_per_second": 2.0, "patches_per_second": 32.0},
    {"step": 15, "validation_psnr": 25.0, "validation_baseline": 20.25},
    {"step": 20, "psnr": 24.0, "steps_per_second": 5.0, "patches_per_second": 80.0},
    {"step": 30, "steps_per_second": 5.0, "patches_per_second": 80.0,
     "validation_psnr": 24.5, "validation_baseline": 20.25},
]  # fmt: skip


@pytest.fixture
def make_run(tmp_path):
    """Return a function that writes a workdir: fields of the configuration, and lines."""

    def make(name, fields=(), lines=LINES):
        config = base.quick(base.get_config())
        config.train.steps = 30
        for field, value in dict(fields).items():
            *section, leaf = field.split(".")
            (get(config, section[0]) if section else config)[leaf] = value
        claim_workdir(tmp_path / name, config)
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (tmp_path / name / "metrics.jsonl").write_text(text)
        return tmp_path / name

    return make


def shifted(psnr, baseline):
    """Return LINES with other figures of validation."""
    other = {"validation_psnr": psnr, "validation_baseline": baseline}
    return [{k: other.get(k, v) for k, v in line.items()} for line in LINES]


def test_the_table_shows_what_differs_and_what_was_reached(make_run, tmp_path, capsys):
    runs = [make_run("a"), make_run("b", {"model.steps": 8, "train.steps": 40})]
    compare(runs, tmp_path / "out")
    title, columns, a, b, *places = capsys.readouterr().out.splitlines()
    assert title == "2 runs"
    assert columns.split() == [
        "run", "model.steps", "train.steps", "parameters", "steps", "input", "dB", "best", "dB",
        "last", "dB", "patches/s",
    ]  # fmt: skip
    assert a.split() == ["a", "4", "30", "22,051", "30", "20.25", "25.00", "24.50", "80.0"]
    # four states more, each with three norms' scales and offsets of 32 channels
    more = 22_051 + 4 * 3 * 2 * 32
    assert b.split()[:6] == ["b", "8", "40", f"{more:,}", "30", "of"]
    assert [line.split()[-1] for line in places] == [
        f"{tmp_path}/out/compare.png", f"{tmp_path}/out/compare.json",
    ]  # fmt: skip


def test_the_json_holds_the_table_and_the_curves(make_run, tmp_path):
    compare([make_run("a"), make_run("b", {"seed": 1})], tmp_path)
    a, b = json.loads((tmp_path / "compare.json").read_text())["runs"]
    assert (a["config"], b["config"]) == ({"seed": 0}, {"seed": 1})
    assert a["validation"] == {
        "baseline": 20.25, "best": {"step": 15, "psnr": 25.0}, "last": {"step": 30, "psnr": 24.5},
    }  # fmt: skip
    assert a["curve"] == {
        "name": "a", "steps": [15, 30], "seconds": [6.0, 9.0], "psnr": [25.0, 24.5],
    }  # fmt: skip
    assert (tmp_path / "compare.png").stat().st_size < 100_000


def test_time_adds_up_the_steps_at_their_speed():
    assert training_seconds(LINES) == ([0, 10, 20, 30], [0.0, 5.0, 7.0, 9.0])
    assert training_seconds(LINES[1:2]) == ([], [])


def test_runs_without_speeds_are_compared_by_step(make_run, tmp_path, capsys):
    lines = [{"step": 15, "validation_psnr": 25.0, "validation_baseline": 20.25}]
    compare([make_run("a", lines=lines), make_run("b")], tmp_path)
    assert capsys.readouterr().out.splitlines()[2].split()[-1] == "-"


def test_folders_of_one_name_are_told_apart(make_run, tmp_path):
    runs = [make_run("x/run"), make_run("y/run")]
    compare(runs, tmp_path)
    names = [run["name"] for run in json.loads((tmp_path / "compare.json").read_text())["runs"]]
    assert names == [str(run) for run in runs]


def test_a_run_that_is_still_writing_can_be_compared(make_run, tmp_path):
    run = make_run("a")
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"step": 35, "validation_psnr": 2')
    compare([run, make_run("b")], tmp_path)
    a, b = json.loads((tmp_path / "compare.json").read_text())["runs"]
    assert a["curve"]["psnr"] == b["curve"]["psnr"]


def refused(runs, folder):
    """Return the one line with which a comparison is refused before it writes anything."""
    with pytest.raises(UserError) as error:
        compare(runs, folder / "out")
    assert "\n" not in str(error.value)
    assert not (folder / "out").exists()
    return str(error.value)


def test_a_folder_that_is_no_run_is_named(make_run, tmp_path):
    (tmp_path / "photos").mkdir()
    message = refused([make_run("a"), tmp_path / "photos"], tmp_path)
    assert f"{tmp_path}/photos is not the folder of a run" in message


@pytest.mark.parametrize("lines", [[], LINES[:1]])
def test_a_run_without_validation_is_named(lines, make_run, tmp_path):
    message = refused([make_run("a"), make_run("b", lines=lines)], tmp_path)
    assert message.startswith(f"{tmp_path}/b/metrics.jsonl: no validation_psnr")


def test_a_run_without_metrics_is_named(make_run, tmp_path):
    run = make_run("b")
    (run / "metrics.jsonl").unlink()
    assert refused([make_run("a"), run], tmp_path).startswith(f"{run}/metrics.jsonl: no ")


def test_a_damaged_line_is_named(make_run, tmp_path):
    run = make_run("a")
    (run / "metrics.jsonl").write_text("no figures\n")
    assert f"{run}/metrics.jsonl, line 1" in refused([run], tmp_path)


def test_a_run_named_twice_is_refused(make_run, tmp_path):
    assert "named twice" in refused([make_run("a")] * 2, tmp_path)


@pytest.mark.parametrize(
    "field, value",
    [("task", "sr"), ("model.channels", 3), ("data.train", "folder:x"), ("data.holdout", 4),
     ("checkpoint.crop", 64), ("degrade.sigma", (50.0,)), ("degrade.poisson", (25.0,))],
)  # fmt: skip
@pytest.mark.parametrize("recorded", [True, False])
def test_runs_that_were_validated_differently_are_refused(
    field, value, recorded, make_run, tmp_path
):
    lines = shifted(26.0, 20.26 if recorded else None)
    message = refused([make_run("a"), make_run("b", {field: value}, lines)], tmp_path)
    assert f"{tmp_path}/a and {tmp_path}/b were validated differently: {field} is" in message


def test_ranges_of_noise_that_are_validated_at_the_same_levels_may_be_compared(make_run, tmp_path):
    ranges = {"a": (0.0, 55.0), "b": (10.0, 60.0)}
    seeds = {"a": 0, "b": 1}
    compare([make_run(name, {"degrade.sigma": sigma, "seed": seeds[name]},
                      shifted(26.0, 20.0 + seeds[name]))
             for name, sigma in ranges.items()], tmp_path)  # fmt: skip


def test_images_that_changed_between_two_runs_are_noticed(make_run, tmp_path):
    message = refused([make_run("a"), make_run("b", lines=shifted(26.0, 20.5))], tmp_path)
    assert "20.25 and 20.50 dB" in message


def test_another_seed_and_the_same_images_elsewhere_may_be_compared(make_run, tmp_path):
    other_noise = make_run("b", {"seed": 1}, shifted(26.0, 20.26))
    moved = make_run("c", {"data.train": "folder:elsewhere"})
    scales = make_run("d", {"degrade.scales": (2,)})  # of no use to a denoiser
    compare([make_run("a"), other_noise, moved, scales], tmp_path)
