"""A run becomes a file: its figures with it, and no places of this machine."""

import json
import shutil

import numpy as np
import pytest
import tiny

from nlrn_jax.exchanging.export import exported
from nlrn_jax.exchanging.file import flat
from nlrn_jax.exchanging.telling import in_one_line, purpose
from nlrn_jax.scoring.results import write_results
from nlrn_jax.training.run import load


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of 12 steps on pictures of this machine."""
    folder, config = tmp_path_factory.mktemp("exported"), tiny.config()
    config.data.update(train=f"folder:{folder}/bsds,samples", root=str(folder / "sets"))
    tiny.train(config, folder / "run")
    return folder / "run"


@pytest.fixture
def run(trained, tmp_path):
    """A copy of it, to be scored."""
    return shutil.copytree(trained, tmp_path / "run")


def scored(run, folder, psnr, *, checkpoint=12, of=None, protocol="denoise"):
    """Write the results of an evaluation of a run, or of another run."""
    table = {"psnr": psnr, "ssim": 0.9, "seconds_per_megapixel": 1.0}
    write_results(
        {
            "protocol": protocol, "task": "denoise", "seed": 0, "commit": None, "command": "",
            "date": "2026-11-28T12:00:00+00:00",
            "settings": {"whole": True, "patch": 9, "stride": 3, "ensemble": False},
            "methods": [
                {"name": "noisy", "kind": "baseline", "parameters": None, "run": None,
                 "checkpoint": None},
                {"name": "NLRN run", "kind": "network", "parameters": 9, "run": str(of or run),
                 "checkpoint": checkpoint},
            ],
            "tables": [{"benchmark": f"folder:{run}/Set12", "level": 25.0, "label": "sigma 25",
                        "means": {"noisy": table, "NLRN run": table}, "images": []}],
        },
        run / folder,
    )  # fmt: skip


def test_the_network_is_that_of_the_run(run):
    weights = exported(run)
    variables = dict(flat(load(run)[1]))
    assert weights.facts.steps == 12 and weights.facts.pictures == 3
    for name, array in flat(weights.variables):
        np.testing.assert_array_equal(array, variables[name])


def test_another_checkpoint_can_be_named(run):
    assert exported(run, 8).facts.steps == 8


def test_no_place_of_this_machine_travels_along(run, trained, tmp_path):
    scored(run, "evaluation", 30.0)
    weights = exported(run)
    told = json.dumps([weights.config.to_dict(), weights.facts._asdict()])
    assert str(tmp_path) not in told and str(trained.parent) not in told
    assert weights.config.data.train == "folder:bsds,samples"
    assert weights.facts.figures[0]["benchmark"] == "folder:Set12"


def test_its_figures_are_those_of_this_network_the_newest_of_each(run, tmp_path):
    scored(run, "evaluation-20261127-120000", 29.0)
    scored(run, "evaluation-20261127-130000", 28.0, protocol="denoise_clipped")
    scored(run, "evaluation-20261127-140000", 20.0, of=tmp_path / "other")
    scored(run, "evaluation-20261127-150000", 21.0, checkpoint=8)
    scored(run, "evaluation", 30.0)
    found = {figure["protocol"]: figure["psnr"] for figure in exported(run).facts.figures}
    assert found == {"denoise": 30.0, "denoise_clipped": 28.0}


def test_a_run_that_was_not_scored_has_no_figures(run):
    assert exported(run).facts.figures == ()


def test_what_a_network_is_for_is_said_in_one_clause(run, tiny_config):
    assert purpose(tiny_config) == "grey pictures with Gaussian noise of sigma 25"
    tiny_config.degrade.sigma, tiny_config.model.channels = (0.0, 55.0), 3
    assert purpose(tiny_config) == "colour pictures with Gaussian noise of sigma 0 to 55"
    tiny_config.task, tiny_config.degrade.scales = "sr", (2, 3)
    assert purpose(tiny_config) == "to enlarge x2, x3 in colour"
    assert in_one_line(exported(run)).endswith("; 12 steps")
    scored(run, "evaluation", 30.0)
    assert in_one_line(exported(run)).endswith("; folder:Set12 sigma 25 30.00 dB (denoise)")
