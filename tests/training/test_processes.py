"""Laws of training on many devices: the same run on one, on eight, in one process and in two."""

import functools
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import on_devices
import pytest
import tiny
from bench.soak import CLOCK, final, free_port
from drawn import ROUNDING

from nlrn_jax.errors import UserError
from nlrn_jax.network.mesh import require_divisible
from nlrn_jax.restoring.patches import restore_patches
from nlrn_jax.training import processes
from nlrn_jax.training.processes import find_devices, join
from nlrn_jax.training.run import load

ROOT = Path(__file__).parents[2]


def elsewhere(folder, jobs):
    """Train on other devices, all at once; a job is the number of devices, the place, and runs."""
    environment = os.environ | {
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": f"{ROOT}:{ROOT}/tests",
    }
    processes = [
        subprocess.Popen(
            [sys.executable, "tests/on_devices.py", str(devices), place]
            + [str(folder / name) for name in names],
            cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
        for devices, place, *names in jobs
    ]  # fmt: skip
    outputs = [process.communicate(timeout=900)[0] for process in processes]
    assert not any(process.returncode for process in processes), "\n".join(outputs)


def cut(folder, name, new):
    """Copy a run as it would be had it been killed after step 10."""
    shutil.copytree(folder / name, folder / new)
    shutil.rmtree(folder / new / "checkpoints" / "20")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The same run in many ways: a folder with a workdir for each."""
    folder = tmp_path_factory.mktemp("runs")

    def here(name):
        tiny.train(on_devices.config(), folder / name)

    here("1")
    cut(folder, "1", "1, then 8")
    cut(folder, "1", "1, then 2 x 2")
    pair = f"/2@127.0.0.1:{free_port()}"
    jobs = [
        (8, "-", "8", "1, then 8"),
        *((2, f"{i}{pair}", "2 x 2", "1, then 2 x 2") for i in range(2)),
    ]
    elsewhere(folder, jobs)
    cut(folder, "8", "8, then 1")
    here("8, then 1")
    cut(folder, "2 x 2", "2 x 2, then 1")
    here("2 x 2, then 1")
    return folder


WAYS = ["8", "2 x 2", "1, then 8", "8, then 1", "1, then 2 x 2", "2 x 2, then 1"]


@pytest.mark.parametrize("way", WAYS)
def test_the_run_does_not_depend_on_the_devices(runs, way):
    """Weights, statistics, optimiser; and loss, gradient and validation of every line of figures.

    Validation rounds pictures to 8 bits, so that rounding may move single pixels by a whole level.
    """
    (state, figures), (other, other_figures) = final(runs / "1"), final(runs / way)
    near = functools.partial(np.testing.assert_allclose, rtol=ROUNDING, atol=ROUNDING)
    jax.tree.map(near, other, state)
    assert [line["step"] for line in figures] == [5, 10, 15, 20]
    for line, other_line in zip(figures, other_figures, strict=True):
        assert line.keys() == other_line.keys()
        psnr, other_psnr = (x.pop("validation_psnr", 0) for x in (line, other_line))
        np.testing.assert_allclose(list(other_line.values()), list(line.values()), rtol=ROUNDING)
        np.testing.assert_allclose(other_psnr, psnr, atol=0.01)


def test_two_processes_write_one_line_a_step(runs):
    lines = [json.loads(line) for line in (runs / "2 x 2" / "metrics.jsonl").open()]
    assert [line["step"] for line in lines] == [5, 10, 15, 20]
    assert set(CLOCK) < lines[0].keys()


def test_restoring_does_not_depend_on_the_devices(runs):
    pixels = tiny.photographs()[3].pixels
    model, variables = load(runs / "8")
    here = restore_patches(model, variables, pixels, patch=6, stride=5, batch=8)
    np.testing.assert_allclose(np.load(runs / "8" / "restored.npy"), here, atol=ROUNDING)


def test_gradients_and_statistics_are_all_that_travels(runs):
    """A gather would bring the batch, or the logits, of all devices to each."""
    counts = json.loads((runs / "8" / "collectives.json").read_text())
    assert {kind for kinds in counts.values() for kind in kinds} == {"all-reduce"}
    assert min(kinds["all-reduce"] for kinds in counts.values()) > 10


@pytest.mark.parametrize(
    ("batch", "accumulate", "devices", "nearest"),
    [(16, 1, 3, "15 and 18"), (2, 1, 8, "8 and 16"), (20, 2, 8, "16 and 32"), (1, 1, 2, "2 and 4")],
)
def test_a_batch_that_does_not_divide_is_refused_with_two_that_do(
    batch, accumulate, devices, nearest
):
    with pytest.raises(UserError, match=rf"train\.batch={batch} .*: {nearest} would$"):
        require_divisible(batch, accumulate, devices)
    for size in map(int, nearest.split(" and ")):
        require_divisible(size, accumulate, devices)


@pytest.mark.parametrize("place", ["", "2", "0/2", "0/2@host", "a/2@host:1", "automatic"])
def test_a_place_that_is_none_is_refused(place):
    with pytest.raises(UserError, match=r"should be auto, or as 0/2@127"):
        join(place)


def test_a_port_that_is_taken_is_said_at_once():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(UserError, match=rf"^[^\n]+ cannot listen at port {port} \([^\n]+$"):
            join(f"0/2@127.0.0.1:{port}")


@pytest.fixture
def nobody_asks(monkeypatch):
    """JAX takes the devices that it finds, and they are CPUs."""
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    asked = jax.config.jax_platforms
    jax.config.update("jax_platforms", None)
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
    yield
    jax.config.update("jax_platforms", asked)


def test_a_gpu_that_jax_does_not_use_is_said_with_the_mend(nobody_asks, monkeypatch, tmp_path):
    monkeypatch.setattr(processes, "NVIDIA", (str(tmp_path / "nvidia0"),))
    assert find_devices() is None
    (tmp_path / "nvidia0").touch()
    assert find_devices() == (
        "warning: this machine has an NVIDIA GPU, but JAX computes on the CPU: "
        'pip install -U "jax[cuda13]"; JAX_PLATFORMS=cpu says that the CPU is meant'
    )
    jax.config.update("jax_platforms", "cpu")
    assert find_devices() is None


def test_why_jax_cannot_use_a_gpu_is_said_too(nobody_asks, monkeypatch, tmp_path):
    def default_backend():
        logger = processes.logging.getLogger("jax._src.xla_bridge")
        logger.warning("CUDA backend failed to initialize: the driver\nis too old.")
        return "cpu"

    monkeypatch.setattr(processes, "NVIDIA", (str(tmp_path),))
    monkeypatch.setattr(jax, "default_backend", default_backend)
    assert "the CPU (CUDA backend failed to initialize: the driver is too old.): pip" in (
        find_devices()
    )


@pytest.mark.parametrize("asked", ["nowhere", "cuda"])
def test_devices_that_are_asked_for_and_absent_are_one_line(asked, tmp_path):
    """By JAX itself, which only a new process lets look for devices."""
    if asked == "cuda" and any(map(os.path.exists, processes.NVIDIA)):
        pytest.skip("there is a GPU here")
    command = ["--config=configs/denoise_25.py:quick", f"--workdir={tmp_path}/run"]
    done = subprocess.run(
        [sys.executable, "-m", "nlrn_jax.main", *command],
        cwd=ROOT, env=os.environ | {"JAX_PLATFORMS": asked}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1 and not done.stdout
    assert done.stderr.startswith(f"error: JAX_PLATFORMS={asked}: ")
    assert done.stderr.count("\n") == 1 and "JAX_PLATFORMS=cpu" in done.stderr
    assert not (tmp_path / "run").exists()
