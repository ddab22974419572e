"""Recipes: found here or among those of the program, and told in one line where they go wrong."""

import json
import sys
from pathlib import Path

import pytest

from configs import base, sr_x3
from nlrn_jax.commands import recipe
from nlrn_jax.config.record import to_json
from nlrn_jax.errors import UserError

ROOT = Path(__file__).parents[2]
FROM_BASE = "from configs import base\n\ndef get_config():\n    config = base.get_config()\n"


@pytest.fixture(autouse=True)
def path_of_imports(monkeypatch):
    """Forget afterwards where recipes may import from."""
    monkeypatch.setattr(sys, "path", list(sys.path))


def message(call, *arguments):
    """Return the one line that a call is refused with."""
    with pytest.raises(UserError) as error:
        call(*arguments)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.fixture
def mine(tmp_path):
    """Return a function that writes a recipe, and its path."""

    def write(text):
        path = tmp_path / "mine.py"
        path.write_text(text)
        return str(path)

    return write


def test_where_there_is_no_such_file_the_recipe_of_the_program_is_meant(tmp_path, monkeypatch):
    name = "configs/sr_x3.py"
    monkeypatch.chdir(tmp_path)
    assert recipe.find(name)[0] == ROOT / "configs" / "sr_x3.py"
    assert recipe.load(name).to_dict() == sr_x3.get_config().to_dict()


def test_a_variant_that_is_not_named_is_not_taken_for_none():
    with pytest.raises(UserError, match="no variant behind the colon"):
        recipe.find("configs/sr_x3.py:")


def test_a_recipe_of_the_current_folder_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "sr_x3.py").write_text(
        f"{FROM_BASE}    config.seed = 7\n    return config"
    )
    assert recipe.load("configs/sr_x3.py").seed == 7


def test_the_home_folder_is_meant_by_a_tilde(mine, tmp_path, monkeypatch):
    mine(f"{FROM_BASE}    return config")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert recipe.find("~/mine.py")[0] == tmp_path / "mine.py"


def test_the_published_recipe_itself_has_variants():
    assert recipe.load("configs/base.py").to_dict() == base.get_config().to_dict()
    assert recipe.load("configs/base.py:quick").model.filters == 32


@pytest.mark.parametrize("name", ["study_recipes.py:quick", "study_recipes.py:0", "base.py:quik"])
def test_an_unknown_variant_is_one_line_that_names_file_and_variant(name):
    path, _, variant = name.partition(":")
    said = message(recipe.load, f"configs/{name}")
    assert said.startswith(f"configs/{path}: ") and repr(variant) in said


@pytest.mark.parametrize(
    "name, said",
    [
        ("", "is empty"),
        (" ", "is empty"),
        ("nowhere.py", "no such file; name a recipe, as --config=configs/sr_x3.py"),
        ("configs/sr_x33.py", "--config=configs/sr_x3.py; configs has base, denoise_15"),
        ("denoise_25", "--config=configs/denoise_25.py"),
        ("configs", "is a folder"),
        ("README.md", "is no recipe"),
        ("runs/none/config.json", "runs/none is not the folder of a run"),
        ("configs/base.py:quick:more", "'quick:more'"),
    ],
)
def test_a_recipe_that_is_none_is_one_line_that_names_one(name, said, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert said in message(recipe.load, name)


@pytest.mark.parametrize(
    "text, said",
    [
        ("def get_config(:\n", "mine.py, line 1: invalid syntax"),
        ("\nimport nowhere_at_all\n", "mine.py, line 2: ModuleNotFoundError"),
        ("def getconfig():\n    return 1\n", "mine.py: has no get_config()"),
        ("get_config = 3\n", "mine.py: has no get_config()"),
        (f"{FROM_BASE}    config.model.filters = 1 / 0\n", "mine.py, line 5: ZeroDivisionError"),
        (f"{FROM_BASE}    config.train.steps = 1e5\n", "mine.py, line 5: TypeError"),
        (f"{FROM_BASE}    raise OSError('disk')\n", "mine.py, line 5: OSError: disk"),
        (FROM_BASE, "returns NoneType, not a ConfigDict"),
        (f"{FROM_BASE}    config.train.stepz = 3\n    return config\n", "config.train.steps?"),
        (f"{FROM_BASE}    del config.train.clip\n    return config\n", "train.clip is missing"),
        (f"{FROM_BASE}    config.seed = {{1}}\n    return config\n", "mine.py, line 5: TypeError"),
        ("a = '\0'\n", "mine.py"),
        (f"{FROM_BASE}    config.seed = 1j\n    return config\n", "mine.py, line 5: TypeError"),
        (f"{FROM_BASE}    config.task = {{1}}\n    return config\n", "mine.py"),
        ("def get_config():\n    raise ValueError('a\\nb')", "mine.py, line 2: ValueError: a b"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_recipe_is_said_with_its_file_and_line(text, said, mine):
    assert said in message(recipe.load, mine(text))


def test_a_variant_that_a_recipe_does_not_take_is_named(mine):
    path = mine(f"{FROM_BASE}    return config\n")
    assert recipe.load(path).task == "denoise"
    assert "leave out :quick" in message(recipe.load, f"{path}:quick")
    path = mine(FROM_BASE.replace("()", "(size)", 1) + "    return config\n")
    assert recipe.load(f"{path}:3").task == "denoise"
    assert f"{path}:NAME" in message(recipe.load, path)


def test_the_configuration_of_a_run_is_a_recipe(tmp_path):
    config = sr_x3.get_config("quick")
    (tmp_path / "config.json").write_text(to_json(config))
    loaded = recipe.load(str(tmp_path / "config.json"))
    assert loaded.to_dict() == config.to_dict()
    loaded.model.neighborhood = 5  # JSON's null can be a number again


@pytest.mark.parametrize("text", ["", "{", "{}", "[1]", json.dumps({"task": "sr"})])
def test_what_is_no_configuration_of_a_run_is_one_line(text, tmp_path):
    (tmp_path / "config.json").write_text(text)
    assert "not the configuration of a run" in message(recipe.load, str(tmp_path / "config.json"))


@pytest.mark.parametrize(
    "field, said",
    [
        ("train.stepz", "there is no 'stepz'; did you mean --config.train.steps?"),
        ("trian.steps", "there is no 'trian'; did you mean --config.train.steps?"),
        ("stepz", "did you mean --config.model.steps or --config.train.steps?"),
        ("batchsize", "there is no 'batchsize'"),
        ("zzz", "configs/base.py has every field"),
        ("train", "--config.train is a section: set one of its fields, train.acc"),
        ("degrade.sigma[0]", "there is no 'sigma[0]'; did you mean --config.degrade.sigma?"),
    ],
)
def test_a_field_that_is_none_is_answered_with_the_nearest(field, said, monkeypatch):
    monkeypatch.chdir(ROOT)
    config = base.get_config()
    recipe.require_fields(config, ["train.steps", "seed"])
    assert said in message(recipe.require_fields, config, ["seed", field])
