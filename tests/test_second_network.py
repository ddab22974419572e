"""DnCNN with non-local blocks in every mode, as a user calls them."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image as Pillow
from program import ROOT, results_in, save, words

from nlrn_jax import load
from nlrn_jax.network.dncnn import DnCNN

OURS = (
    "--config.model.network=dncnn",
    "--config.model.depth=4",
    "--config.model.blocks=(1,2)",
    "--config.evaluate.stride=12",
    "--config.model.steps=12",  # NLRN's, which DnCNN has not
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A workdir of DnCNN after one step."""
    folder = tmp_path_factory.mktemp("second")
    for k in range(3):
        save(folder / "good" / f"{k}.png", 40, 30)
    program = [sys.executable, "-m", "nlrn_jax.main", *words(folder, OURS)]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True)
    assert not done.returncode, done.stderr
    return folder / "run"


def test_it_trains_and_is_loaded(run):
    model, variables = load(run)
    assert isinstance(model, DnCNN) and model.blocks == (1, 2)
    assert {"block_1", "block_2", "conv_3", "norm_2"} < set(variables["params"])
    (line,) = [json.loads(line) for line in (run / "metrics.jsonl").open()]
    assert np.isfinite(line["loss"]) and np.isfinite(line["validation_psnr"])


def test_it_is_scored_by_its_name(run, command):
    outcome = command("--mode=evaluate", f"--workdir={run}")
    assert not outcome.status
    assert [method["name"] for method in results_in(run)["methods"]] == ["noisy", "DnCNN run"]


def test_it_restores_and_becomes_a_file_that_restores_the_same(run, command, tmp_path):
    given = "--mode=restore", f"--input={run.parent}/good/0.png"
    assert not command(*given, f"--workdir={run}", f"--output={tmp_path}/a.png").status
    file = tmp_path / "weights.safetensors"
    assert not command("--mode=export", f"--workdir={run}", f"--output={file}").status
    outcome = command(*given, f"--weights={file}", f"--output={tmp_path}/b.png")
    assert not outcome.status
    pictures = [np.asarray(Pillow.open(tmp_path / name)) for name in ("a.png", "b.png")]
    np.testing.assert_array_equal(*pictures)


def test_its_blocks_are_explained(run, command):
    picture = f"--original={run.parent}/good/0.png"
    outcome = command("--mode=explain", f"--workdir={run}", picture, "--at=20,20", "--states=1,2")
    assert not outcome.status, outcome.err
    (path,) = (run / "explain").glob("*.json")
    figures = json.loads(path.read_text())
    assert [state["name"] for state in figures["states"]] == ["block 1", "block 2"]
    assert all(state["positions"] > 1 for state in figures["states"])
    assert {state["psnr"] for state in figures["states"]} == {None}  # there is but one output
    assert figures["output_psnr"] > 10 and "block 2" in outcome.out
    outcome = command("--mode=explain", f"--workdir={run}", picture, "--at=9,9", "--states=3")
    assert "--states=3: the network's are 1 to 2: block 1, block 2" in outcome.err


@pytest.mark.parametrize(
    "fields, culprit",
    [
        (["--config.model.blocks=()"], "looks nowhere"),
        (["--config.model.distance=dot_product"], "distance='dot_product'"),
    ],
)
def test_what_has_no_shares_to_draw_is_not_explained(run, command, fields, culprit, tmp_path):
    other = tmp_path / "other"
    given = [f"--workdir={other}", *fields]
    assert not command(*words(run.parent, (*OURS, *given))).status
    picture = f"--original={run.parent}/good/0.png"
    outcome = command("--mode=explain", f"--workdir={other}", picture, "--at=20,20")
    assert outcome.status == 1 and culprit in outcome.err


def test_neither_network_starts_from_the_other(run, command, tmp_path):
    start = f"--config.train.start={run}"
    outcome = command(*words(run.parent, (f"--workdir={tmp_path}/other", start)))
    assert outcome.status == 1 and not outcome.compilations
    assert "is a DnCNN, the run a NLRN; set config.model.network" in outcome.err


def test_its_training_is_planned(run, command):
    smaller = "--config.model.depth=2", "--config.model.blocks=(1,)"
    outcome = command("--mode=plan", *words(run.parent, (*OURS, *smaller)))
    assert not outcome.status, outcome.err
    assert "2 convolutions, 1 non-local block," in outcome.out
