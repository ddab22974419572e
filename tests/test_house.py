"""The laws of the house: who may import whom, faces, and the size of a file."""

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HOUSE = ROOT / "nlrn_jax"
FILES = sorted(HOUSE.rglob("*.py"))
ROOMS = {  # and the rooms that each may import, besides the ground
    "config": "",
    "network": "",
    "pictures": "",
    "data": "pictures",
    "training": "network data pictures",
    "exchanging": "network training",
    "restoring": "network data pictures",
    "scoring": "network data pictures training exchanging restoring",
    "planning": "training network",
    "looking": "network data pictures training exchanging restoring scoring",
    "commands": "network data pictures training exchanging restoring scoring planning looking",
}
GROUND = {"errors", "writing", "terminal", "config"}  # imports nothing of the rest of the house
ABOVE = {"main", "__main__", "__init__"}  # where the program starts, and the public names


def name(path):
    """Return what `from nlrn_jax import` calls the place of a file: its room, or itself."""
    return path.relative_to(HOUSE).with_suffix("").parts[0]


def imported(path):
    """Return the places of the house that a file imports, at its top or later."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: imports by dots"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {place.split(".")[1] for place in found if place.startswith("nlrn_jax.")}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(HOUSE)))
def test_a_file_imports_what_its_place_may(path):
    place, seen = name(path), imported(path)
    if place in GROUND:
        assert seen <= {place, "errors"}
    elif place in ROOMS:
        assert seen <= {place, *GROUND, *ROOMS[place].split()}
    else:
        assert place in ABOVE


def test_the_top_of_the_house_is_its_rooms_and_what_is_named_here():
    entries = {path.stem for path in HOUSE.iterdir() if path.name != "__pycache__"}
    assert entries == {*ROOMS, *GROUND, *ABOVE}
    assert len(entries) + 1 <= 18  # one for __pycache__


@pytest.mark.parametrize("room", ROOMS)
def test_the_face_of_a_room_is_a_docstring_that_names_each_of_its_files(room):
    face = ast.parse((HOUSE / room / "__init__.py").read_text())
    assert len(face.body) == 1
    listed = re.findall(r"^    (\w+) ", ast.get_docstring(face, clean=False), re.MULTILINE)
    files = {path.stem for path in (HOUSE / room).glob("*.py")} - {"__init__"}
    assert sorted(listed) == sorted(files)


@pytest.mark.parametrize("room", ROOMS)
def test_the_face_of_a_room_says_what_it_may_import(room):
    face = (HOUSE / room / "__init__.py").read_text().partition("Read in this order")[0]
    said = {other for other in ROOMS if f"`{other}`" in face}
    assert said == set(ROOMS[room].split()) or "every room" in face


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(HOUSE)))
def test_a_file_can_be_read_in_one_sitting(path):
    assert len(path.read_text().splitlines()) <= 320


def test_the_network_needs_jax_and_flax_alone():
    """So that other programs can take it without what training, data and pictures need."""
    program = """
import sys
import flax.linen, jax
before = {name.partition(".")[0] for name in sys.modules}
from nlrn_jax import NLRN, NonLocal, non_local
print(*{name.partition(".")[0] for name in sys.modules} - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["nlrn_jax"]


def test_the_readme_names_each_room_and_no_other():
    layout = (ROOT / "README.md").read_text().partition("## Layout")[2].partition("    configs/")[0]
    assert sorted(re.findall(r"(\w+)/ ", layout)) == sorted({*ROOMS, "nlrn_jax"})


SCRIPTS = [
    path
    for pattern in ("launch/*.sh", "tests/bench/*", "findings/*.sh", "*.md", "configs/*.md")
    for path in sorted(ROOT.glob(pattern))
    if path.is_file()
]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_scripts_import_of_the_house_is_there(path):
    """They are not run here, so that a name that moved would be missed first by their users."""
    line = re.compile(r"^\s*from (nlrn_jax[\w.]*) import ([\w, ]+)$", re.MULTILINE)
    for module, names in line.findall(path.read_text()):
        for name in names.split(", "):
            found = importlib.import_module(module)
            assert hasattr(found, name) or importlib.import_module(f"{module}.{name}")
