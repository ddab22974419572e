"""The program as a user calls it: in this process, with the folders that tests name."""

import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import pytest
from absl import app, flags  # noqa: F401  # app defines its flags before a test saves them
from absl.testing import flagsaver
from PIL import Image as Pillow

from nlrn_jax import main
from nlrn_jax.commands import modes  # noqa: F401  # nor may it lose ours

ROOT = Path(__file__).parents[1]

# Should an error go unnoticed, these let the run that follows end within seconds.
QUICK = (
    "--config=configs/denoise_25.py:quick",
    "--workdir={}/run",
    "--config.data.train=folder:{}/good",
    "--config.data.holdout=1",
    "--config.model.filters=4",
    "--config.model.embedding=2",
    "--config.model.steps=1",
    "--config.train.steps=1",
    "--config.train.batch=1",
)


class Outcome(NamedTuple):
    """What a command left behind."""

    status: int | None
    out: str
    err: str
    compilations: int


def save(path, height, width):
    """Write a random grey picture."""
    path.parent.mkdir(exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 256, (height, width), dtype=np.uint8)
    Pillow.fromarray(pixels).save(path)


@pytest.fixture
def files(tmp_path):
    """Make the folders that the cases below name, in tmp_path."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "notes.txt").write_text("no picture")
    (tmp_path / "file").write_text("in the way of a folder")
    for k in range(3):
        save(tmp_path / "good" / f"{k}.png", 40, 30)
        save(tmp_path / "small" / f"{k}.png", 40, 23)
    save(tmp_path / "tiny" / "t.png", 10, 40)
    save(tmp_path / "truncated" / "half.png", 40, 40)
    half = tmp_path / "truncated" / "half.png"
    half.write_bytes(half.read_bytes()[:900])
    return tmp_path


@pytest.fixture
def compilations():
    """List the compilations that happen, by name."""
    seen = []

    def listen(event, *_, **__):
        if event == "/jax/core/compile/backend_compile_duration":
            seen.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield seen
    jax.monitoring.unregister_event_duration_listener(listen)


@pytest.fixture
def command(monkeypatch, capsys, compilations):
    """Return a function that runs the program in this process, and leaves no flag behind."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(logging.root, "handlers", list(logging.root.handlers))
    parsed = flags.FLAGS.is_parsed()

    def command(*arguments):
        monkeypatch.setattr(sys, "argv", ["main", *arguments])
        capsys.readouterr()
        compilations.clear()
        with flagsaver.flagsaver(), pytest.raises(SystemExit) as end:
            main.run()
        return Outcome(end.value.code, *capsys.readouterr(), len(compilations))

    yield command
    if not parsed:
        flags.FLAGS.unparse_flags()


def words(folder, extra=()):
    """Return QUICK and further arguments, of which a later one replaces an earlier of its name."""
    by_name = {word.partition("=")[0]: word for word in (*QUICK, *extra)}
    return [word.format(folder) for word in by_name.values()]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A workdir with a checkpoint of the smallest denoiser; two pictures, one of them bad."""
    folder = tmp_path_factory.mktemp("trained")
    for k in range(3):
        save(folder / "good" / f"{k}.png", 40, 30)
    save(folder / "photos" / "a.png", 13, 17)
    (folder / "photos" / "bad.png").write_text("no picture")
    program = [sys.executable, "-m", "nlrn_jax.main", *words(folder)]
    subprocess.run(program, cwd=ROOT, capture_output=True, check=True)
    return folder


def results_in(folder):
    return json.loads((folder / "evaluation" / "results.json").read_text())
