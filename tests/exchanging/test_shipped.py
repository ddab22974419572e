"""The weights that come with the program are what is said of them."""

import re
from pathlib import Path

import pytest

from nlrn_jax.commands import recipe
from nlrn_jax.config.record import flatten
from nlrn_jax.exchanging import shipped
from nlrn_jax.exchanging.file import flat, read_weights
from nlrn_jax.exchanging.telling import at_length, reached

ROOT = Path(__file__).parents[2]
PLACES = {"data.train", "data.root", "data.eval", "train.start"}  # on one machine
NAMES = shipped.names()


@pytest.fixture
def weights(name):
    """Read shipped weights."""
    return read_weights(shipped.path_of(name))


def test_there_are_none_besides_those_listed():
    files = {path.name for path in shipped.FOLDER.iterdir()}
    assert files == {"README.md", *(f"{name}.safetensors" for name in NAMES)}


@pytest.mark.parametrize("name", NAMES)
def test_they_were_trained_by_their_recipe_to_the_letter(name, weights):
    found, wanted = flatten(weights.config), flatten(recipe.load(shipped.RECIPES[name]))
    assert {field for field in wanted if found[field] != wanted[field]} <= PLACES
    assert weights.facts.steps == weights.config.train.steps


@pytest.mark.parametrize("name", NAMES)
def test_they_are_small(name, weights):
    assert shipped.path_of(name).stat().st_size <= 700_000
    assert sum(array.size for _, array in flat(weights.variables["params"])) <= 340_000


@pytest.mark.parametrize("name", NAMES)
def test_what_is_written_of_them_is_what_they_hold(name, weights):
    page = (shipped.FOLDER / "README.md").read_text()
    row = next(line for line in page.splitlines() if line.startswith(f"| `{name}` |"))
    assert f"{weights.facts.steps:,}" in row and shipped.RECIPES[name] in row
    assert f"{weights.facts.pictures}" in row
    figures = {figure["benchmark"]: [] for figure in weights.facts.figures}
    assert figures
    for figure in weights.facts.figures:
        figures[figure["benchmark"]].append(f"{figure['psnr']:.2f}")
    lines = (ROOT / "README.md").read_text().splitlines()
    (said,) = (line for line in lines if line.startswith(f"| `{name}`"))
    for benchmark in figures.values():
        assert " / ".join(benchmark) in said


@pytest.mark.parametrize("name", NAMES)
def test_no_place_of_the_machine_is_in_them(name, weights):
    content = shipped.path_of(name).read_bytes()
    told = content[8 : 8 + int.from_bytes(content[:8], "little")].decode()
    assert not re.search(r"/(home|work|tmp|root|Users)/", told)


def test_the_list_tells_all_of_each(capsys):
    for name in NAMES:
        weights = read_weights(shipped.path_of(name))
        text = "\n".join(at_length(name, weights, 351, shipped.RECIPES[name]))
        size = sum(array.size for _, array in flat(weights.variables["params"]))
        assert text.startswith(name) and f"{size:,} parameters, 351 kB" in text
        assert all(line in text for line in reached(weights.facts))
        assert max(map(len, text.splitlines())) <= 100
