"""The program with weights instead of a run: what a user types, and what is said."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from program import ROOT, results_in, save, words

from nlrn_jax.exchanging import shipped
from nlrn_jax.exchanging.file import read_weights


@pytest.fixture(scope="module")
def exported(trained, tmp_path_factory):
    """The weights of a small run as a file."""
    file = tmp_path_factory.mktemp("exported") / "small.safetensors"
    given = ["--mode=export", f"--workdir={trained}/run", f"--output={file}"]
    done = subprocess.run(
        [sys.executable, "-m", "nlrn_jax.main", *given],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == f"{file}: grey pictures with Gaussian noise of sigma 25; {scores(file)}\n"
    return file


@pytest.fixture
def come_along(exported, monkeypatch, tmp_path_factory):
    """Let the weights of a small run be those that came with the program, where none did."""
    if not shipped.names():
        folder = tmp_path_factory.mktemp("weights")
        shutil.copy(exported, folder / "denoise.safetensors")
        monkeypatch.setattr(shipped, "FOLDER", folder)


def test_without_weights_a_network_is_asked_for(command, monkeypatch, tmp_path):
    monkeypatch.setattr(shipped, "FOLDER", tmp_path)
    outcome = command("--mode=restore", f"--input={tmp_path}/a.png")
    assert outcome.status == 1 and "no weights for that came with the program" in outcome.err
    assert "--mode=export makes some of a run" in command("--mode=weights").out


def scores(file):
    (figure,) = read_weights(file).facts.figures
    return f"held-out sigma 25 {figure['psnr']:.2f} dB (denoise)"


def test_exported_weights_restore_as_their_run_does(exported, trained, command, tmp_path):
    photo = f"--input={trained}/photos/a.png"
    for place in (f"--weights={exported}", f"--workdir={exported}", f"--workdir={trained}/run"):
        outcome = command("--mode=restore", place, photo, f"--output={tmp_path}/{len(place)}.png")
        assert not outcome.status, outcome.err
        assert "weights      " in outcome.out
    one, *others = (np.asarray(Image.open(path)) for path in sorted(tmp_path.iterdir()))
    for other in others:
        np.testing.assert_array_equal(one, other)


def test_exported_weights_are_scored_beside_runs(exported, trained, command, tmp_path):
    fields = [f"--config.data.eval=folder:{trained}/good", "--config.evaluate.stride=12"]
    runs = f"--runs={exported},{trained}/run"
    outcome = command("--mode=evaluate", runs, f"--workdir={tmp_path}", *fields)
    assert not outcome.status, outcome.err
    (table,) = results_in(tmp_path)["tables"]
    assert table["means"]["NLRN small.safetensors"]["psnr"] == table["means"]["NLRN run"]["psnr"]


def test_weights_alone_are_scored_in_a_folder_of_their_name(
    exported, trained, command, monkeypatch, tmp_path
):
    fields = [f"--config.data.eval=folder:{trained}/good", "--config.evaluate.stride=12"]
    monkeypatch.chdir(tmp_path)
    outcome = command("--mode=evaluate", f"--runs={exported}", *fields)
    assert not outcome.status, outcome.err
    results = results_in(tmp_path / "runs" / "weights_small")
    assert results["methods"][1]["name"] == "NLRN small.safetensors"


def test_weights_bring_no_pictures_to_be_scored_on(exported, command):
    outcome = command("--mode=evaluate", f"--runs={exported}", "--config.data.eval=")
    assert outcome.status == 1 and "weights bring no pictures: name what to score" in outcome.err


def test_a_run_starts_from_weights_and_says_so(exported, files, command):
    given = [word for word in words(files) if not word.startswith("--config.train.steps")]
    given += [f"--config.train.start={exported}", "--config.train.steps=1"]
    outcome = command(*given)
    assert not outcome.status, outcome.err
    assert f"starts from {exported}: 30 of 30 arrays\n" in outcome.out
    assert "starts from" not in command(*given).out  # nothing is left to do


def test_the_shipped_weights_are_listed(come_along, command):
    outcome = command("--mode=weights")
    assert not outcome.status and not outcome.compilations
    listed = [line.split()[0] for line in outcome.out.splitlines() if line[0] != " "]
    assert listed == shipped.names()
    for name in listed:
        assert f"trained by --config={shipped.RECIPES[name]}, " in outcome.out


@pytest.mark.parametrize("mode, suffix", [("L", 1), ("RGB", 3)])
def test_a_picture_is_restored_with_no_more_than_its_name(
    mode, suffix, come_along, command, tmp_path
):
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (20, 25, suffix), np.uint8).squeeze()).save(
        tmp_path / "a.png"
    )
    outcome = command("--mode=restore", f"--input={tmp_path}/a.png")
    assert not outcome.status, outcome.err
    name = shipped.usual(colour=mode == "RGB")
    assert outcome.out.splitlines()[0].startswith(f"weights      {name}: ")
    with Image.open(tmp_path / "a_restored.png") as restored:
        assert restored.size == (25, 20) and restored.mode == mode


def test_a_folder_of_both_kinds_gets_the_weights_of_each(come_along, command, tmp_path):
    save(tmp_path / "in" / "grey.png", 20, 25)
    Image.new("RGB", (20, 20), "red").save(tmp_path / "in" / "red.png")
    outcome = command("--mode=restore", f"--input={tmp_path}/in")
    assert not outcome.status, outcome.err
    said = [line.split()[1] for line in outcome.out.splitlines() if line.startswith("weights ")]
    assert said == list(dict.fromkeys(f"{shipped.usual(colour)}:" for colour in (True, False)))
    assert sorted(path.name for path in (tmp_path / "in_restored").iterdir()) == [
        "grey.png", "red.png",
    ]  # fmt: skip


WRONG = {
    "an unknown name": (
        ["--mode=restore", "--weights=denoize", "--input={}/a.png"],
        "denoize is not the folder of a run, and the weights that came with the program are",
    ),
    "weights and a run": (
        ["--mode=restore", "--weights=denoise", "--workdir={}/run", "--input={}/a.png"],
        "--weights and a run are two networks: leave one of them out",
    ),
    "a denoiser that is to enlarge": (
        ["--mode=restore", "--weights={}/small.safetensors", "--scale=2", "--input={}/a.png"],
        "--scale=2: the network denoises; leave it out, or take weights that enlarge",
    ),
    "no file of weights": (
        ["--mode=restore", "--weights={}/a.safetensors", "--input={}/a.png"],
        "a.safetensors: no such file",
    ),
    "a damaged file": (
        ["--mode=restore", "--weights={}/bad.safetensors", "--input={}/a.png"],
        "bad.safetensors: is no whole file of weights",
    ),
    "an output that is there": (
        ["--mode=export", "--workdir={}/small.safetensors", "--output={}/bad.safetensors"],
        "bad.safetensors: exists already; name another --output, or give --overwrite",
    ),
    "no run to export": (
        ["--mode=export", "--workdir={}/nowhere", "--output={}/a.safetensors"],
        "is not the folder of a run",
    ),
    "no checkpoint to import": (
        ["--mode=import", "--checkpoint={}/a", "--output={}/a.safetensors"],
        "a.index: no such file; name a checkpoint of TensorFlow by what comes before .index",
    ),
    "a program that is called otherwise": (
        ["--mode=export", "--format=stablehlo", "--workdir=denoise", "--output={}/a.bin"],
        "a program of StableHLO is called NAME.stablehlo",
    ),
    "a step that a file has not": (
        ["--mode=restore", "--weights={}/small.safetensors", "--checkpoint=7", "--input={}/a.png"],
        "alone, not of 7; leave --checkpoint out",
    ),
    "an unknown start": (
        ["--config=configs/denoise_25.py:quick", "--config.train.start=denoize",
         "--workdir={}/new"],
        "denoize is not the folder of a run, and the weights that came with the program are",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_with_weights_is_one_line(case, exported, command, tmp_path):
    shutil.copy(exported, tmp_path)
    save(tmp_path / "in" / "a.png", 20, 25)
    (tmp_path / "in" / "a.png").rename(tmp_path / "a.png")
    (tmp_path / "bad.safetensors").write_bytes(b"nothing")
    given, said = WRONG[case]
    outcome = command(*(word.format(tmp_path) for word in given))
    assert outcome.status in (1, 2) and said in outcome.err
    assert outcome.err.count("\n") == 1 and not outcome.compilations
    assert (tmp_path / "bad.safetensors").read_bytes() == b"nothing"


def test_weights_of_a_hub_are_named_by_their_folder(exported, command, tmp_path):
    given = ["--mode=export", f"--workdir={exported}", f"--output={tmp_path}/hub"]
    outcome = command(*given)
    assert not outcome.status and outcome.out.startswith(f"{tmp_path}/hub/model.safetensors: ")
    assert json.loads((tmp_path / "hub" / "config.json").read_text())["model"]["filters"] == 4
    save(tmp_path / "in" / "a.png", 20, 25)
    restoring = ["--mode=restore", f"--weights={tmp_path}/hub", f"--input={tmp_path}/in/a.png"]
    assert not command(*restoring).status


def test_a_run_becomes_a_program(exported, command, tmp_path):
    file = tmp_path / "small.stablehlo"
    given = ["--mode=export", "--format=stablehlo", f"--workdir={exported}", f"--output={file}"]
    outcome = command(*given)
    assert not outcome.status, outcome.err
    assert (
        outcome.out
        == f"{file}: grey pictures with Gaussian noise of sigma 25; {scores(exported)}\n"
    )
    assert json.loads(file.with_suffix(".json").read_text())["nlrn_jax"]["figures"]
    outcome = command(*given)
    assert outcome.status == 1 and "small.stablehlo: exists already" in outcome.err


@pytest.mark.parametrize("recipe", ["denoise_50", None])
def test_a_checkpoint_of_the_authors_restores_pictures(recipe, command, tmp_path):
    file = tmp_path / "theirs.safetensors"
    given = [f"--config=configs/{recipe}.py"] if recipe else []
    prefix = f"{ROOT}/tests/exchanging/checkpoints/NLRN_v0"
    outcome = command("--mode=import", f"--checkpoint={prefix}", f"--output={file}", *given)
    assert not outcome.status, outcome.err
    assert outcome.out.splitlines()[:2] == [
        "found        2 states, 6 filters, embeddings of 3, 1 channel(s), the correlation handed "
        "on, as in NLRN_v0; 2 arrays are no weights",
        f"{file}: grey pictures with Gaussian noise of sigma {50 if recipe else 25}",
    ]
    assert ("supposed" in outcome.out) == (recipe is None)
    save(tmp_path / "in" / "a.png", 20, 25)
    assert not command("--mode=restore", f"--weights={file}", f"--input={tmp_path}/in/a.png").status
