"""The command line: what a user gets wrong is one line, said before anything long starts."""

import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl import app, flags  # noqa: F401  # app defines its flags before a test saves them
from drawn import randomized
from PIL import Image as Pillow
from program import ROOT, results_in, save, words

from configs import base, sr_x2
from nlrn_jax import load, main, restore
from nlrn_jax.commands import modes
from nlrn_jax.data.batches import Patch
from nlrn_jax.data.camera import Camera
from nlrn_jax.data.sources import Image
from nlrn_jax.network.build import build_model
from nlrn_jax.training import run
from nlrn_jax.training.checkpoints import Checkpoints
from nlrn_jax.training.run import claim_workdir
from nlrn_jax.training.state import create_state

# ml_collections loads configuration files the old way.
pytestmark = pytest.mark.filterwarnings("ignore:the load_module.. method:DeprecationWarning")


def assert_one_line(err, culprit):
    assert re.fullmatch(r"error: [^\n]+\n", err), err
    assert culprit in err
    assert "Traceback" not in err and "\\n" not in err


# Arguments after QUICK, the exit status, and what the line must name; {} is a temporary folder.
CASES = {
    "a config that is no file": (["--config=nowhere.py"], 2, "nowhere.py"),
    "a config that is a folder": (["--config=configs"], 2, "configs"),
    "an empty config": (["--config="], 2, "--config="),
    "an unknown variant": (["--config=configs/sr_x3.py:quik"], 2, "'quik'"),
    "an empty workdir": (["--workdir="], 2, "--workdir"),
    "a misspelt field": (["--config.train.stepz=3"], 2, "'stepz'"),
    "a misspelt section": (["--config.trian.steps=3"], 2, "'trian'"),
    "no number": (["--config.train.steps=many"], 2, "--config.train.steps=many"),
    "no whole number": (["--config.train.batch=1.5"], 2, "--config.train.batch=1.5"),
    "an unknown mode": (["--mode=tarin"], 2, "--mode=tarin"),
    "an unknown flag": (["--wrokdir=x"], 2, "'wrokdir'"),
    "a word too many": (["evaluate"], 2, "'evaluate'"),
    "a wrong value": (["--config.train.batch=0"], 1, "config.train.batch=0"),
    "a wrong scale": (
        ["--config=configs/sr_x3.py:quick", "--config.degrade.scales=(9,)"],
        1, "config.degrade.scales=(9,)",
    ),
    "a wrong fraction": (["--config.train.halve_at=('x',)"], 1, "config.train.halve_at=('x',)"),
    "an unknown source": (["--config.data.train=sample"], 1, "'sample'"),
    "no source": (["--config.data.train="], 1, "names nothing"),
    "a missing folder": (["--config.data.train=folder:{}/nowhere"], 1, "{}/nowhere"),
    "an empty folder": (["--config.data.train=folder:{}/empty"], 1, "{}/empty"),
    "a folder without a picture": (["--config.data.train=folder:{}/text"], 1, "{}/text"),
    "a truncated image": (["--config.data.train=folder:{}/truncated"], 1, "{}/truncated/half.png"),
    "images smaller than the patch": (
        ["--config.data.train=folder:{}/small"], 1, "/small/0.png: 23 x 40 pixels are less than "
        "the 24 x 24 that data.patch needs",
    ),
    "an image smaller than low-resolution pixels need": (
        ["--config=configs/sr_x3.py:quick", "--config.data.patch=31"], 1, "33 x 33",
    ),
    "too many held out": (["--config.data.holdout=3"], 1, "data.holdout=3"),
    "a benchmark that is missing": (["--config.data.eval=folder:{}/nowhere"], 1, "{}/nowhere"),
    "a benchmark that is truncated": (
        ["--config.data.eval=folder:{}/truncated"], 1, "{}/truncated/half.png",
    ),
    "a benchmark too small to score": (["--config.data.eval=folder:{}/tiny"], 1, "{}/tiny/t.png"),
    "a benchmark that names nothing": (["--config.data.eval=,"], 1, "','"),
    "a workdir below a file": (["--workdir={}/file/run"], 1, "{}/file is a file, not a folder"),
    "a workdir that is a file": (["--workdir={}/file"], 1, "{}/file is a file, not a folder"),
    "a workdir that is blank": (["--workdir= "], 2, "is empty: name a file or folder"),
    "a workdir in a folder that is learned from": (["--workdir={}/good/run"], 1, "{}/good/run"),
    "a workdir that is learned from": (["--workdir={}/good"], 1, "--workdir={}/good lies in"),
    "a folder not called one": (["--config.data.train={}/good"], 1, "use samples, folder:{}/good"),
    "evaluating no run": (["--mode=evaluate"], 1, "{}/run"),
    "evaluating a folder of pictures": (["--mode=evaluate", "--workdir={}/good"], 1, "{}/good"),
    "no runs to compare": (["--mode=compare"], 2, "--runs is missing"),
    "a study of a plain recipe": (["--mode=study"], 1, "denoise_25.py has no members()"),
    "setting what is studied": (
        ["--mode=study", "--config=configs/study_steps.py:quick"], 1, "--config.model.steps is what"
    ),
    "a study that validates nothing": (
        ["--mode=study", "--config=configs/study_sharing.py:quick", "--config.data.holdout=0"],
        1, "config.data.holdout",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_an_error_is_one_line_before_anything_is_compiled_or_made(case, command, files):
    extra, status, culprit = CASES[case]
    before = sorted(files.rglob("*"))
    outcome = command(*words(files, extra))
    assert outcome.status == status
    assert_one_line(outcome.err, culprit.format(files))
    assert not outcome.out and not outcome.compilations
    assert sorted(files.rglob("*")) == before


@pytest.mark.parametrize(
    "given, missing",
    [
        (["--mode=train"], "config"),
        (["--mode=explain", "--at=1,2"], "workdir"),
        (["--mode=compare", "--runs=a,b", "--config=configs/sr_x3.py"], "workdir"),
    ],
)
def test_a_missing_flag_is_asked_for_with_an_example(given, missing, command):
    outcome = command(*given)
    assert outcome.status == 2
    assert_one_line(outcome.err, f"--{missing} is missing, as in --{missing}=")


def test_comparing_into_a_file_is_one_line(command, files):
    outcome = command("--mode=compare", f"--runs={files}/good", f"--workdir={files}/file")
    assert outcome.status == 1
    assert_one_line(outcome.err, f"{files}/file is a file, not a folder")


def test_comparing_what_is_no_run_is_one_line(command, files):
    outcome = command("--mode=compare", f"--runs={files}/good", f"--workdir={files}/run")
    assert outcome.status == 1
    assert_one_line(outcome.err, f"{files}/good is not the folder")


def test_what_is_wrong_in_the_members_of_a_study_is_said_with_its_line(command, files):
    (files / "mine.py").write_text(
        "from configs import base\n\ndef get_config():\n    return base.get_config()\n\n"
        "def members():\n    return {'a': {'model.steps': 1 / 0}}\n"
    )
    outcome = command(f"--config={files}/mine.py", "--mode=study", f"--workdir={files}/run")
    assert outcome.status == 1
    assert_one_line(outcome.err, f"{files}/mine.py, line 7: ZeroDivisionError: division by zero")


def test_a_run_and_a_study_do_not_share_a_folder(command, files):
    claim_workdir(files / "run", base.quick(sr_x2.get_config()))
    outcome = command("--mode=study", "--config=configs/study_steps.py", f"--workdir={files}/run")
    assert_one_line(outcome.err, f"{files}/run holds a run (config.json): name another --workdir")
    (files / "study").mkdir()
    (files / "study" / "study.json").write_text("{}")
    outcome = command("--config=configs/study_steps.py", f"--workdir={files}/study")
    assert_one_line(outcome.err, f"{files}/study holds a study (study.json): name another")


def test_a_workdir_of_another_configuration_is_left_as_it_is(command, files):
    claim_workdir(files / "run", base.quick(sr_x2.get_config()))
    before = (files / "run" / "config.json").read_bytes()
    outcome = command(*words(files))
    assert outcome.status == 1 and not outcome.compilations
    assert_one_line(outcome.err, f"{files}/run belongs to a run of another configuration")
    assert "task: 'sr' there, 'denoise' now" in outcome.err
    assert [path.name for path in (files / "run").iterdir()] == ["config.json"]
    assert (files / "run" / "config.json").read_bytes() == before


@pytest.mark.parametrize(
    "case", ["a config that is no file", "a misspelt field", "an empty folder"]
)
def test_the_program_itself_ends_with_that_line(case, files):
    extra, status, culprit = CASES[case]
    program = [sys.executable, "-m", "nlrn_jax.main", *words(files, extra)]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == status
    assert_one_line(done.stderr, culprit.format(files))
    assert not done.stdout and not (files / "run").exists()


def test_a_run_says_where_everything_is_and_can_be_scored_again(command, files):
    arguments = words(files, ["--config.train.halve_at=(0.5,)"])
    trained = command(*arguments)
    assert not trained.status and trained.compilations
    places = re.findall(rf"{files}/run[\w./]*", trained.out)
    kept = "checkpoints", "metrics.jsonl", "evaluation"
    for place in (*kept, "evaluation/results.json", "evaluation/report.html"):
        assert f"{files}/run/{place}" in places
    assert all(Path(place).exists() for place in places)
    assert "own data" not in trained.out  # which these are
    (line,) = (line for line in trained.out.splitlines() if line.startswith("score it"))
    again = [word for word in shlex.split(line) if word.startswith("--")]
    assert again == [*arguments, "--mode=evaluate", "--config.data.eval=folder:PATH"]

    again[-1] = f"--config.data.eval=folder:{files}/small"
    scored = command(*again)
    assert not scored.status
    results = json.loads((files / "run" / "evaluation" / "results.json").read_text())
    (table,) = results["tables"]
    assert table["benchmark"] == f"folder:{files}/small" and len(table["images"]) == 3
    assert shlex.split(results["command"])[3:] == again


@pytest.mark.parametrize(
    "error, mode, mend",
    [
        (jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: 9 GB"), "train", "--config.train.batch"),
        (MemoryError("9 GB"), "train", "--config.train.batch"),
        (jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: 9 GB"), "evaluate", "evaluate.patch"),
        (jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: 9 GB"), "restore", "--memory=500MiB"),
    ],
)
def test_memory_that_does_not_suffice_is_one_line_with_the_mend(
    error, mode, mend, command, files, monkeypatch
):
    def fail():
        raise error

    monkeypatch.setattr(modes, "run", fail)
    given = [f"--workdir={files}/run", f"--input={files}/good"]
    outcome = command(*(given if mode == "restore" else words(files)), f"--mode={mode}")
    assert outcome.status == 1
    assert_one_line(outcome.err, mend)
    assert "out of memory: " in outcome.err and "9 GB" in outcome.err


def test_what_the_terminal_cannot_print_is_escaped(command, files, monkeypatch):
    """A log of Windows; a name in UTF-8, and one that is no text."""
    log = io.TextIOWrapper(io.BytesIO(), "cp1252")
    monkeypatch.setattr(modes, "run", lambda: print("写真 \udc83 ü"))
    monkeypatch.setattr(sys, "stdout", log)
    assert not command(*words(files)).status
    assert log.buffer.getvalue().rstrip() == b"\\u5199\\u771f \\udc83 \xfc"


@pytest.mark.parametrize("arguments", [["--help"], ["--mode=plan"]])
def test_the_end_of_a_pipe_is_quiet(arguments, files):
    """As by `| head -1`, which reads on no more; with flags alone, and with JAX."""
    program = [sys.executable, "-m", "nlrn_jax.main", *words(files, arguments)]
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(program, cwd=ROOT, stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert (done.returncode, done.stderr) == (main.BROKEN_PIPE, "")


def evaluating(folder, *extra):
    """Return a command that scores the run of `trained` though its recipe is another's."""
    given = (
        "--config=configs/denoise_50.py", "--mode=evaluate", f"--workdir={folder}/run",
        f"--config.data.eval=folder:{folder}/good", "--config.evaluate.stride=43",
    )  # fmt: skip
    return list({word.partition("=")[0]: word for word in (*given, *extra)}.values())


def test_a_run_is_evaluated_as_it_was_trained_whatever_the_recipe(trained, command):
    outcome = command(*evaluating(trained, "--config.evaluate.protocol=denoise_clipped"))
    assert not outcome.status
    (note,) = (line for line in outcome.out.splitlines() if "used as it was trained" in line)
    assert "model.filters: 4 there, 128 now" in note and "degrade.sigma" in note
    results = results_in(trained / "run")
    assert results["protocol"] == "denoise_clipped"
    assert [table["label"] for table in results["tables"]] == ["sigma 25"]
    assert [(m["name"], m["run"], m["checkpoint"]) for m in results["methods"]] == [
        ("noisy", None, None), ("NLRN run", f"{trained}/run", 1),
    ]  # fmt: skip
    assert f"{trained}/run/evaluation/results.json" in outcome.out
    moved = "earlier results, of other networks or benchmarks, are now in"
    assert f"{moved} {trained}/run/" in outcome.out


def test_a_run_is_evaluated_without_a_recipe(trained, command):
    fields = [f"--config.data.eval=folder:{trained}/good", "--config.evaluate.stride=12"]
    outcome = command("--mode=evaluate", f"--workdir={trained}/run", *fields)
    assert not outcome.status
    assert "used as it was trained" not in outcome.out
    assert results_in(trained / "run")["settings"]["stride"] == 12


def test_a_field_that_scoring_does_not_obey_is_said(trained, command):
    given = ["--config.train.clip=1", "--config.data.eval=", "--config.evaluate.stride=12"]
    outcome = command("--mode=evaluate", f"--workdir={trained}/run", *given)
    (note,) = (line for line in outcome.out.splitlines() if "used as it was trained" in line)
    assert "train.clip: 2.5 there, 1.0 now" in note and "data.eval" not in note


def test_a_run_that_held_nothing_out_asks_for_pictures(trained, command, tmp_path):
    shutil.copytree(trained / "run", tmp_path / "run")
    path = tmp_path / "run" / "config.json"
    path.write_text(path.read_text().replace('"holdout": 1', '"holdout": 0'))
    (tmp_path / "run" / "data.json").unlink()
    outcome = command("--mode=evaluate", f"--workdir={tmp_path}/run")
    assert outcome.status == 1 and not outcome.compilations
    assert_one_line(outcome.err, "held no images out of training; name some, as in --config.data")


def test_several_runs_stand_in_one_table_in_a_folder_of_its_own(trained, command, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(trained / "run", other)
    outcome = command(*evaluating(
        trained, f"--workdir={tmp_path}/both", f"--runs={trained}/run,{other}",
        "--config.evaluate.levels=(15.,50.)", "--checkpoint=best,1", "--config.evaluate.whole=True",
        "--config.evaluate.classical=tv",
    ))  # fmt: skip
    assert not outcome.status
    assert f"{other} was trained for (25.0,), and meets (15.0, 50.0) first here" in outcome.out
    results = results_in(tmp_path / "both")
    assert [table["level"] for table in results["tables"]] == [15.0, 50.0]
    for table in results["tables"]:
        means = table["means"]
        assert list(means) == ["noisy", "total variation", "NLRN run", "NLRN other"]
        assert means["NLRN run"]["psnr"] == means["NLRN other"]["psnr"] != means["noisy"]["psnr"]


def test_without_a_benchmark_the_images_that_the_run_held_out_are_scored(trained, command):
    assert not command(*evaluating(trained, "--config.data.eval=")).status
    (table,) = results_in(trained / "run")["tables"]
    assert table["benchmark"] == "held-out"
    assert [image["name"] for image in table["images"]] == ["1"]


@pytest.mark.parametrize(
    "extra, culprit",
    [
        (["--config=configs/sr_x3.py"], "was trained for task 'denoise', --config is of task 'sr'"),
        (["--runs={}/run,{}/none"], "{}/none"),
        (["--checkpoint=7"], "no checkpoint 7; there are newest, best and the steps 1"),
        (["--checkpoint=oldest"], "no checkpoint oldest"),
        (["--config.data.eval=set12", "--config.data.root={}/photos"], "{}/photos/Set12"),
        (["--config.data.eval=set21"], "'set21' is unknown"),
        (["--config.data.eval=pairs:{}/good:{}/photos"], "have no partner"),
        (["--config.evaluate.protocol=sr_y"], "config.evaluate.protocol='sr_y'"),
        (["--config.evaluate.levels=(0.,)"], "config.evaluate.levels=(0.0,)"),
        (["--config.evaluate.classical=median"], "config.evaluate.classical='median'"),
    ],
)
def test_what_cannot_be_evaluated_is_said_before_anything_is_compiled(
    trained, extra, culprit, command
):
    before = sorted(trained.rglob("*"))
    outcome = command(*evaluating(trained, *(word.format(*[trained] * 2) for word in extra)))
    assert outcome.status == 1 and not outcome.compilations
    assert_one_line(outcome.err, culprit.format(trained))
    assert sorted(trained.rglob("*")) == before


def test_without_a_workdir_a_run_lies_where_its_config_says_and_is_found_there(files):
    """Tried as a user does, in a folder of their own."""

    def program(*arguments):
        command = [sys.executable, "-m", "nlrn_jax.main", *arguments]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        return subprocess.run(command, cwd=files, env=environment, capture_output=True, text=True)

    given = [word for word in words(files, [f"--config={ROOT}/configs/denoise_25.py:quick"])
             if not word.startswith("--workdir")]  # fmt: skip
    trained = program(*given)
    assert trained.returncode == 0, trained.stderr
    first, *_ = trained.stdout.splitlines()
    assert first == "run          runs/denoise_25_quick: by --config; --workdir names another"
    assert (files / "runs" / "denoise_25_quick" / "checkpoints" / "1").is_dir()

    restored = program("--mode=restore", given[0], "--input=good/0.png", "--output=out.png")
    assert restored.returncode == 0, restored.stderr
    assert restored.stdout.splitlines()[0] == first
    assert (files / "out.png").exists()


def restoring(folder, *extra):
    return ["--mode=restore", f"--workdir={folder}/run", *(word.format(folder) for word in extra)]


@pytest.mark.parametrize("way", [[], ["--patches=9", "--stride=4"], ["--ensemble"], ["--exact"]])
def test_pictures_are_restored_without_a_config(trained, way, command, tmp_path):
    outcome = command(*restoring(trained, "--input={}/photos/a.png", f"--output={tmp_path}", *way))
    assert not outcome.status
    assert f"{tmp_path}/a.png: restored" in outcome.out
    assert outcome.out.splitlines()[-1] == "restored 1 of 1 pictures, 0 failed"
    with Pillow.open(tmp_path / "a.png") as restored:
        assert restored.size == (17, 13)


@pytest.mark.parametrize("task, scale", [("denoise", 1), ("sr", 2)])
def test_what_load_returns_restores_as_the_command_does(
    task, scale, tiny_config, command, tmp_path
):
    """By a window of the patches' side, made odd, whatever checkpoint is loaded."""
    tiny_config.task, tiny_config.degrade.scales = task, (2,)
    states = make_run(tmp_path / "run", tiny_config, 30.0, 20.0)
    save(tmp_path / "a.png", 30, 26)
    outcome = command(*restoring(tmp_path, "--input={}/a.png", f"--output={tmp_path}/out.png"))
    assert not outcome.status
    given, restored = (
        np.asarray(Pillow.open(tmp_path / name)).copy() for name in ("a.png", "out.png")
    )
    model, variables = load(tmp_path / "run")
    np.testing.assert_array_equal(restore(model, variables, given, scale=scale), restored)
    by_45 = restore(model, variables, given, scale=scale, neighborhood=45)
    assert abs(by_45.astype(int) - restored).max() > 1  # so the window shows
    for name, step in (("newest", 2), ("best", 1), (1, 1)):
        expected = restore(build_model(tiny_config), states[step].variables, given, scale=scale,
                           neighborhood=11)  # fmt: skip
        loaded = restore(*load(tmp_path / "run", name), given, scale=scale)
        np.testing.assert_array_equal(loaded, expected)


def make_run(workdir, config, *scores):
    """Save steps 1, 2, ... with these PSNRs, of weights drawn at random; return their states."""
    claim_workdir(workdir, config)
    fresh, states = create_state(config), {}
    with Checkpoints(workdir, keep=2) as checkpoints:
        for step, psnr in enumerate(scores, 1):
            variables = randomized(build_model(config), np.zeros((1, 4, 4, 1), np.float32), step)
            states[step] = fresh.replace(step=jnp.int32(step), variables=variables)
            checkpoints.save(states[step], config, psnr)
    return states


@pytest.mark.parametrize("checkpoint", ["newest", "best", "1"])
def test_pictures_are_restored_with_the_checkpoint_that_is_named(
    trained, checkpoint, command, monkeypatch, tmp_path
):
    loaded = []

    def load(*arguments):
        loaded.append(arguments)
        return run.load(*arguments)

    monkeypatch.setattr("nlrn_jax.commands.restoring.load_trained", load)
    place = [f"--checkpoint={checkpoint}", f"--output={tmp_path}"]
    assert not command(*restoring(trained, "--input={}/photos/a.png", *place)).status
    assert loaded == [(f"{trained}/run", checkpoint)]


def test_a_recipe_beside_a_workdir_is_said_to_be_unread(trained, command, tmp_path):
    given = ["--input={}/photos/a.png", "--config=configs/sr_x3.py", f"--output={tmp_path}"]
    outcome = command(*restoring(trained, *given))
    first = outcome.out.splitlines()[0]
    assert first == f"run          {trained}/run: its own configuration is read, not --config"


def test_a_failed_picture_shows_in_the_last_line_and_the_status(trained, command, tmp_path):
    outcome = command(*restoring(trained, "--input={}/photos", f"--output={tmp_path}/out"))
    assert outcome.status == 1
    assert sum("bad.png" in line for line in outcome.out.splitlines()) == 1
    assert outcome.out.splitlines()[-1] == "restored 1 of 2 pictures, 1 failed"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.png"]


def test_what_is_done_and_passed_over_shows_in_the_last_line(trained, command, tmp_path):
    given = restoring(trained, "--input={}/photos/a.png", f"--output={tmp_path}/new/folder/")
    assert command(*given).status is None
    assert (tmp_path / "new" / "folder" / "a.png").is_file()
    (tmp_path / "new" / "notes.txt").touch()
    again = restoring(trained, f"--input={tmp_path}/new", f"--output={tmp_path}")
    assert command(*again).status is None
    outcome = command(*again)
    assert outcome.status is None and (tmp_path / "folder" / "a.png").is_file()
    assert outcome.out.splitlines()[-1] == (
        "restored 0 of 1 pictures, 1 done already (--overwrite restores anew), 0 failed; "
        "passed over: 1 .txt"
    )


def test_a_page_to_compare_in_lies_among_the_results_and_is_named_last(trained, command, tmp_path):
    given = restoring(trained, "--input={}/photos", f"--output={tmp_path}/out", "--compare")
    outcome = command(*given)
    page = tmp_path / "out" / "compare.html"
    assert outcome.status == 1 and outcome.out.splitlines()[-1] == f"look at it   {page}"
    written = page.read_bytes()
    outcome = command(*given)
    assert outcome.status == 1 and not outcome.compilations
    assert_one_line(outcome.err, f"{page}: exists already")
    assert page.read_bytes() == written
    page.unlink()
    outcome = command(*given)  # of pictures that are done already
    assert "1 done already" in outcome.out and page.is_file() and not outcome.compilations
    assert command(*given, "--overwrite").out.splitlines()[-1] == f"look at it   {page}"


def test_a_page_of_one_picture_lies_beside_its_result(trained, command, tmp_path):
    given = ["--input={}/photos/a.png", f"--output={tmp_path}/b.jpg", "--compare", "--strength=0.5"]
    outcome = command(*restoring(trained, *given, "--quality=80"))
    assert outcome.status is None
    assert outcome.out.splitlines()[-1] == f"look at it   {tmp_path}/b_compare.html"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.jpg", "b_compare.html"]


def test_nothing_restored_is_nothing_to_compare(trained, command, tmp_path):
    given = ["--input={}/photos/bad.png", f"--output={tmp_path}/b.png", "--compare"]
    outcome = command(*restoring(trained, *given))
    assert outcome.status == 1 and outcome.out.splitlines()[-1].endswith("1 failed")
    assert not list(tmp_path.iterdir())


def test_the_limit_of_megapixels_can_be_set(trained, command, tmp_path):
    given = restoring(trained, "--input={}/photos/a.png", f"--output={tmp_path}/a.png")
    outcome = command(*given, "--max_megapixels=0.0002")
    assert outcome.status == 1 and "raise --max_megapixels" in outcome.out
    assert command(*given, "--max_megapixels=0.0003").status is None
    assert command(*given, "--max_megapixels=inf", "--overwrite").status is None
    outcome = command(*given, "--max_megapixels=nan")
    assert outcome.status == 1
    assert_one_line(outcome.err, "--max_megapixels=nan: should be above 0")


def test_training_says_what_it_converts_and_passes_over(command, tmp_path):
    save(tmp_path / "set" / "a.png", 40, 30)
    Pillow.new("CMYK", (40, 30)).save(tmp_path / "set" / "b.jpg")
    (tmp_path / "set" / "c.heic").touch()
    small = ("--config.data.patch=99", f"--config.data.train=folder:{tmp_path}/set")
    outcome = command(*words(tmp_path, small))
    assert outcome.status == 1
    assert "CMYK without a profile converted to RGB, by rule of thumb (b.jpg)" in outcome.out
    assert "passed over: 1 .heic" in outcome.out


@pytest.mark.parametrize(
    "extra, status, culprit",
    [
        ([], 2, "--input is missing"),
        (["--input={}/nowhere.png"], 1, "nowhere.png"),
        (["--input={}/good", "--workdir={}/none"], 1, "is not the folder of a run"),
        (["--input={}/good", "--memory=lots"], 1, "--memory=lots"),
        (["--input={}/good", "--memory=4.5.1GiB"], 1, "--memory=4.5.1GiB"),
        (["--input={}/good", "--scale=3"], 1, "--scale=3: the network denoises; leave it out"),
        (["--input={}/good", "--quality=80"], 2, "--quality=80 is of JPEG and WebP"),
        (["--input={}/good", "--format=bmp", "--quality=80"], 2, "--quality=80 is of JPEG"),
        (["--input={}/good/0.png", "--output={}/b.tif", "--quality=80"], 2, "--quality=80 is of"),
        (["--input={}/good/0.png", "--output={}/b.tif", "--format=png"], 1, "not of --format=png"),
        (["--input={}/good", "--patches=0"], 2, "patches"),
        (["--input={}/good", "--patches=4", "--stride=5"], 1, "--stride=5"),
        (["--input={}/good", "--checkpoint=9"], 1, "no checkpoint 9; there are newest, best"),
        (["--input={}/good", "--checkpoint=bset"], 1, "no checkpoint bset; there are newest"),
    ],
)
def test_what_cannot_be_restored_is_said_before_anything_is_compiled(
    trained, extra, status, culprit, command
):
    outcome = command(*restoring(trained, *extra))
    assert outcome.status == status and not outcome.compilations
    assert_one_line(outcome.err, culprit)


def explaining(folder, *extra):
    return ["--mode=explain", f"--workdir={folder}/run", *(word.format(folder) for word in extra)]


def test_what_a_position_sees_is_drawn_where_the_program_says(trained, command):
    given = explaining(trained, "--original={}/good/0.png", "--at=39,0")
    outcome = command(*given)
    assert not outcome.status
    path, _, _ = outcome.out.splitlines()[-1].partition(",")
    assert path == f"{trained}/run/explain/0_39_0.png"
    assert Path(path).exists() and Path(path).with_suffix(".json").exists()
    again = command(*given)
    assert again.status == 1 and not again.compilations
    assert_one_line(again.err, "0_39_0.png: exists already")


def test_an_explanation_never_takes_the_place_of_its_picture(trained, command, tmp_path):
    save(tmp_path / "a.png", 20, 20)
    before = (tmp_path / "a.png").read_bytes()
    for flag in ("input", "original"):
        given = [f"--{flag}={tmp_path}/a.png", f"--output={tmp_path}/a.png", "--overwrite"]
        outcome = command(*explaining(trained, "--at=3,4", *given))
        assert outcome.status == 1 and not outcome.compilations
        assert_one_line(outcome.err, "a.png: is the picture to look at itself")
    assert (tmp_path / "a.png").read_bytes() == before


@pytest.mark.parametrize("folder", ["", "new/"])
def test_an_explanation_may_go_into_a_folder(trained, folder, command, tmp_path):
    place = [f"--output={tmp_path}/{folder}", "--checkpoint=1", "--states=1"]
    assert not command(*explaining(trained, "--input={}/good/0.png", "--at=3,4", *place)).status
    assert {path.name for path in (tmp_path / folder).iterdir()} == {"0_3_4.png", "0_3_4.json"}
    (tmp_path / folder / "0_3_4.png").unlink()
    again = command(*explaining(trained, "--input={}/good/0.png", "--at=3,4", *place))
    assert again.status == 1 and not again.compilations
    assert_one_line(again.err, "0_3_4.json: exists already; name another --output, or --overwrite")


@pytest.mark.parametrize(
    "extra, status, culprit",
    [
        ([], 2, "--at is missing, as in --at=120,80"),
        (["--at=1,2"], 1, "--original"),
        (["--at=1", "--input={}/good/0.png"], 1, "--at=1"),
        (["--at=1,x", "--input={}/good/0.png"], 1, "--at=1,x"),
        (["--at=40,2", "--input={}/good/0.png"], 1, "--at=40,2: outside the 40 rows"),
        (["--at=1,2", "--input={}/photos/bad.png"], 1, "photos/bad.png"),
        (["--at=1,2", "--original={}/photos/bad.png"], 1, "photos/bad.png"),
        (["--at=1,2", "--input={}/good"], 1, "{}/good: is a folder"),
        (["--at=1,2", "--input={}/good/0.png", "--states=0,1"], 1, "--states=0,1"),
        (["--at=1,2", "--input={}/good/0.png", "--states="], 1, "--states="),
        (["--at=1,2", "--input={}/good/0.png", "--checkpoint=9"], 1, "no checkpoint 9"),
        (["--at=1,2", "--input={}/good/0.png", "--output={}/x.txt"], 1, "x.txt"),
        (["--at=1,2", "--input={}/good/0.png", "--original={}/photos/a.png"], 1, "a.png: 13 x 17"),
    ],
)
def test_what_cannot_be_explained_is_said_before_anything_is_compiled(
    trained, extra, status, culprit, command
):
    outcome = command(*explaining(trained, *extra))
    assert outcome.status == status and not outcome.compilations
    assert_one_line(outcome.err, culprit.format(trained))
    assert not (trained / "x.txt").exists()


@pytest.mark.parametrize("patch", [1, 23, 24, 25])
@pytest.mark.parametrize("scales", [(2,), (3,), (2, 3, 4), (8,)])
def test_the_least_image_for_a_patch_is_enough_and_a_smaller_one_is_not(patch, scales):
    config = base.quick(base.get_config())
    config.task, config.degrade.scales, config.data.patch = "sr", scales, patch
    side = modes.patch_side(config)
    cut = Patch("sr", Camera((), (25.0,), (), (1.0, 1.0, 1.0)), scales, patch)

    def draw(side):
        rng = np.random.default_rng(0)
        for _ in range(30):  # every scale has its turn
            cut.random_map(Image("", np.zeros((side, side), np.uint8)), rng)

    draw(side)
    with pytest.raises(ValueError):
        draw(side - 1)
