"""The network on other people's meshes: any axis, of any kind, set or not."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """Say for each way by how much it differs from one device, or what it was refused with."""
    file = tmp_path_factory.mktemp("meshes") / "outcomes.json"
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": f"{ROOT}:{ROOT}/tests"}
    command = [sys.executable, "tests/on_meshes.py", str(file)]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, timeout=900)
    return json.loads(file.read_text())


def compare(outcomes, start):
    """Assert that all ways of a start came out as on one device."""
    ways = {name: outcome for name, outcome in outcomes.items() if name.startswith(start)}
    assert ways
    wrong = {name: outcome for name, outcome in ways.items() if not isinstance(outcome, float)}
    assert not wrong
    assert {name: apart for name, apart in ways.items() if apart > 1e-4} == {}


@pytest.mark.parametrize(
    "kind",
    [
        *("data", "another name", "explicit", "two axes", "two explicit axes", "inside"),
        *("no jit, data", "no jit, explicit", "shard_map, data", "shard_map, explicit"),
    ],
)
def test_eight_devices_give_what_one_gives(outcomes, kind):
    compare(outcomes, f"(5, 'logits', 'nothing'): {kind}: ")


@pytest.mark.parametrize("form", ["(None, ", "(5, 'embeddings', "])
def test_so_they_do_in_other_forms(outcomes, form):
    compare(outcomes, form)
