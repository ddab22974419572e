"""Studies: members that differ in one thing, trained one after another, resumable, and drawn."""

import functools
import importlib
import itertools
import json
from pathlib import Path

import jax
import numpy as np
import pytest

from configs import base, study_block, study_recipes
from nlrn_jax.config.checks import check
from nlrn_jax.config.record import get
from nlrn_jax.errors import NotFiniteError, UserError
from nlrn_jax.looking import study as studies
from nlrn_jax.looking.study import read_members, study, varied_fields
from nlrn_jax.network.build import build_model, count_parameters
from nlrn_jax.training import meter
from nlrn_jax.training.run import load
from nlrn_jax.training.state import fresh_variables

KEY = jax.random.key(0)
FOLDER = Path(base.__file__).parent
VARIED = {
    "study_propagation": "model.propagate",
    "study_sharing": "model.share",
    "study_steps": "model.steps",
    "study_window": "model.neighborhood",
}
TIMED = {"study_block": study_block.MEMBERS, "study_recipes": study_recipes.RECIPES}
STEPS = """
from configs import base

def get_config(variant=""):
    return base.variant(base.get_config(), variant)

def members(variant=""):
    return {members}
"""


def read(name, variant=""):
    """Return base and members of configs/NAME.py."""
    config = importlib.import_module(f"configs.{name}").get_config(variant)
    return config, read_members(f"{FOLDER / name}.py" + f":{variant}" * bool(variant), config, [])


@pytest.fixture
def recipe(tmp_path):
    """Return a function that writes a study and returns its path."""

    def write(members):
        path = tmp_path / "study_x.py"
        path.write_text(STEPS.replace("{members}", repr(members)))
        return str(path)

    return write


@pytest.fixture
def members(tiny_config, recipe):
    """Two tiny members, with and without the propagated correlation."""
    tiny_config.train.steps, tiny_config.checkpoint.crop = 8, 32
    table = {"on": {"model.propagate": True}, "off": {"model.propagate": False}}
    return read_members(recipe(table), tiny_config, [])


def test_there_is_a_recipe_for_each_ablation():
    assert {*VARIED, *TIMED} == {path.stem for path in FOLDER.glob("study_*.py")}


@pytest.mark.parametrize("variant", ["", "quick", "cpu"])
@pytest.mark.parametrize("name", VARIED)
def test_members_are_right_and_differ_in_what_is_studied_alone(name, variant):
    config, members = read(name, variant)
    check(config)
    assert varied_fields(members) == [VARIED[name]]
    values = [get(member, VARIED[name]) for member in members.values()]
    assert len(set(values)) == len(values) > 1
    assert config.degrade.sigma == (25.0,)


def test_the_studies_cover_what_the_paper_varied():
    values = {
        name: [get(member, field) for member in read(name)[1].values()]
        for name, field in VARIED.items()
    }
    assert (min(values["study_steps"]), max(values["study_steps"])) == (1, 15)
    *windows, whole = values["study_window"]
    assert (windows[0], windows[-1], whole) == (5, 45, None)
    assert {True, False} == set(values["study_propagation"]) == set(values["study_sharing"])


@pytest.mark.parametrize("name", TIMED)
def test_members_differ_in_all_but_the_time_they_are_given(name):
    for variant, minutes in (("10", 10), ("30", 30)):
        _, members = read(name, variant)
        for member, config in members.items():
            check(config)
            pace = TIMED[name][member].pace
            assert config.train.steps * pace == pytest.approx(60 * minutes, abs=pace)
    assert len(varied_fields(members)) > 1


def test_networks_with_and_without_blocks_have_about_as_many_parameters():
    _, members = read("study_block", "30")
    sizes = {}
    for name, config in members.items():
        shapes = jax.eval_shape(functools.partial(fresh_variables, build_model(config)), KEY)
        sizes[name] = count_parameters(shapes["params"])
    assert sizes["dncnn"] == pytest.approx(sizes["nlrn"], rel=0.01)
    assert max(sizes.values()) < 1.12 * min(sizes.values())


@pytest.mark.parametrize(
    "table, given, culprit",
    [
        ({"a": {"model.stepz": 3}}, [], "member a: the configuration has no field model.stepz"),
        ({"a": {"model.steps": 0}}, [], "member a: config.model.steps=0 should be"),
        ({"a": {"seed": 1}}, [], "member a: seed is not to be varied"),
        ({"a": {"data.holdout": 9}}, [], "member a: data.holdout is not to be varied"),
        ({"a": {"model.channels": 3}}, [], "member a: model.channels is not to be varied"),
        ({"a": {"checkpoint.crop": 64}}, [], "member a: checkpoint.crop is not to be varied"),
        ({"a": {"model.steps": "3"}}, [], "member a: model.steps='3' is no int"),
        ({"a": {"model.steps": 3}}, ["model.steps"], "--config.model.steps is what the study"),
        ({"a": {"model.steps": 3}}, [], "two members"),
        ({"a": {"model.steps": 3}, "b": {"model.steps": 3}}, [], "two members"),
    ],
)
def test_a_member_that_cannot_be_is_named(table, given, culprit, recipe):
    with pytest.raises(UserError) as error:
        read_members(recipe(table), base.get_config(), given)
    assert culprit in str(error.value) and "\n" not in str(error.value)


def test_a_recipe_that_is_no_study_is_named():
    path = str(FOLDER / "denoise_25.py")
    with pytest.raises(UserError, match=r"denoise_25.py has no members\(\)"):
        read_members(path, base.get_config(), [])


def run(members, workdir, photographs):
    return study(members, workdir, photographs[:3], photographs[3:])


def test_a_study_cut_short_goes_on_and_leaves_finished_members_alone(
    members, photographs, tmp_path, monkeypatch, capsys
):
    """Bit for bit. The second member is cut after its first checkpoint, the first is finished."""
    assert run(members, tmp_path / "whole", photographs) == []
    table = capsys.readouterr().out.splitlines()[-6:]
    assert table[0] == "validation after the last step"
    assert [line.split()[:2] for line in table[1:3]] == [["run", "model.propagate"], ["on", "True"]]

    draw, drawn_batches = meter.Meter.draw, itertools.count(1)

    def cut(meter, iterator):
        if next(drawn_batches) == 8 + 6:
            raise KeyboardInterrupt
        return draw(meter, iterator)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(meter.Meter, "draw", cut)
        run(members, tmp_path / "cut", photographs)
    drawn = json.loads((tmp_path / "cut" / "study.json").read_text())
    assert [member["name"] for member in drawn["members"]] == ["on"]
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "cut" / "on").rglob("*")}

    run(members, tmp_path / "cut", photographs)
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "cut" / "on").rglob("*")} == before
    assert "finished at step 8" in capsys.readouterr().out
    assert (tmp_path / "cut" / "study.png").read_bytes()[:4] == b"\x89PNG"
    validations = [
        [member["curve"]["psnr"] for member in json.loads(path.read_text())["members"]]
        for path in (tmp_path / "whole" / "study.json", tmp_path / "cut" / "study.json")
    ]
    assert len(validations[0]) == 2 and validations[0][0] != validations[0][1]
    assert validations[0] == validations[1]


def test_each_member_is_an_ordinary_run(members, photographs, tmp_path):
    run(members, tmp_path, photographs)
    model, variables = load(tmp_path / "off")
    assert not model.propagate
    restored = jax.jit(model.apply)(variables, photographs[3].pixels[None, ..., None] / 255)
    assert np.isfinite(restored).all()
    for name in members:
        names = {path.name for path in (tmp_path / name).iterdir()}
        assert {"curve.png", "comparison.png", "metrics.jsonl", "config.json"} <= names


def test_a_member_that_diverges_does_not_stop_the_others(
    members, photographs, tmp_path, monkeypatch, capsys
):
    train = studies.train

    def diverge(config, workdir, *images):
        if workdir.name == "on":
            raise NotFiniteError("the loss is not finite")
        return train(config, workdir, *images)

    monkeypatch.setattr(studies, "train", diverge)
    assert run(members, tmp_path, photographs) == ["on"]
    assert "on: the loss is not finite" in capsys.readouterr().out
    drawn = json.loads((tmp_path / "study.json").read_text())
    assert [member["name"] for member in drawn["members"]] == ["off"]


def test_a_folder_of_another_configuration_is_found_before_anything_is_trained(
    members, photographs, tmp_path, monkeypatch
):
    monkeypatch.setattr(studies, "train", None)
    other = members["off"].copy_and_resolve_references()
    other.seed = 7
    (tmp_path / "off").mkdir()
    (tmp_path / "off" / "config.json").write_text(other.to_json())
    with pytest.raises(UserError, match="off belongs to a run of another configuration"):
        run(members, tmp_path, photographs)
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["off"]


def test_a_study_without_validation_is_refused(members, photographs, tmp_path):
    with pytest.raises(UserError, match=r"data\.holdout"):
        study(members, tmp_path / "x", photographs, [])
    assert not (tmp_path / "x").exists()
