"""What `pip install .` brings: the program, its recipes, and no test tools."""

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from nlrn_jax.exchanging import shipped

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
TOOLS = {"pytest", "pytest-xdist", "ruff", "pyyaml"}


def names(requirements):
    """Return the packages that lines of requirements name."""
    found = (re.match(r"[\w-]+", line) for line in requirements.splitlines())
    return {match[0] for match in found if match}


def test_every_room_is_packed_and_the_recipes_with_them():
    rooms = {path.parent.relative_to(ROOT) for path in (ROOT / "nlrn_jax").rglob("__init__.py")}
    packed = {str(room).replace("/", ".") for room in rooms}
    settings = PROJECT["tool"]["setuptools"]
    assert set(settings["packages"]) == {*packed, "nlrn_jax.recipes.configs"}
    assert settings["package-dir"] == {"nlrn_jax.recipes.configs": "configs"}


def test_tests_need_what_the_program_does_not():
    dynamic = PROJECT["tool"]["setuptools"]["dynamic"]
    assert dynamic["dependencies"] == {"file": ["requirements.txt"]}
    assert dynamic["optional-dependencies"]["test"] == {"file": ["tests/requirements.txt"]}
    assert names((ROOT / "tests" / "requirements.txt").read_text()) == TOOLS
    assert not TOOLS & names((ROOT / "requirements.txt").read_text())


def test_the_launchers_install_both():
    text = (ROOT / "launch" / "setup.sh").read_text()
    assert "-r requirements.txt -r tests/requirements.txt" in text
    assert 'files = ("requirements.txt", "tests/requirements.txt")' in text


@pytest.mark.slow  # pip fetches setuptools for it
def test_the_wheel_trains_outside_of_the_checkout(tmp_path):
    source = tmp_path / "source"
    for folder in ("nlrn_jax", "configs", "tests"):
        shutil.copytree(ROOT / folder, source / folder)
    for file in ("pyproject.toml", "requirements.txt", "LICENSE"):
        shutil.copy(ROOT / file, source)
    pip = [sys.executable, "-m", "pip", "--quiet", "wheel", "--no-deps", "--wheel-dir", tmp_path]
    subprocess.run([*pip, source], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
        archive.extractall(tmp_path / "installed")
    for recipe in (ROOT / "configs").glob("*.py"):
        assert f"nlrn_jax/recipes/configs/{recipe.name}" in held
    assert {"nlrn_jax/looking/page/page.html", "nlrn_jax/__main__.py"} <= held
    assert {f"nlrn_jax/exchanging/weights/{name}.safetensors" for name in shipped.names()} <= held
    assert wheel.stat().st_size <= 5_000_000
    assert not [name for name in held if name.startswith(("tests/", "configs/"))]
    (information,) = (tmp_path / "installed").glob("*.dist-info")
    assert "nlrn-jax = nlrn_jax.__main__:main" in (information / "entry_points.txt").read_text()
    required = re.findall(r"Requires-Dist: (.*)", (information / "METADATA").read_text())
    assert {re.match(r"[\w-]+", line)[0] for line in required if "extra" in line} == TOOLS
    assert not [line for line in required if "extra" not in line and "pytest" in line]

    program = [sys.executable, "-m", "nlrn_jax", "--mode=study", "--config.data.train=samples,"]
    recipe = "--config=configs/study_sharing.py:quick"
    wrong = "--config.data.holdout=100"  # ends it where the pictures have been read
    (tmp_path / "empty").mkdir()
    done = subprocess.run(
        [*program, recipe, wrong], cwd=tmp_path / "empty", capture_output=True, text=True,
        env={"PYTHONPATH": str(tmp_path / "installed"), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert "data.holdout=100 leaves none of 10 images" in done.stderr, done.stderr
