"""Fixtures: the benchmark images beside the checkout, a run of seconds, a terminal."""

import io
import os
from pathlib import Path

import jax
import pytest
import tiny
from clock import Clock
from program import command, compilations, files, trained  # noqa: F401  # fixtures of many

from nlrn_jax.data.sources import Image


def pytest_collection_modifyitems(items):
    """Begin with what takes longest, so that of two processes none works alone at the end."""
    items.sort(key=lambda item: "training" not in item.path.parts)


@pytest.fixture(scope="session", autouse=True)
def compile_once(tmp_path_factory):
    """Let tests that compile the same program share it, in other processes too."""
    jax.devices()  # this process compiles as users do
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    settings = {
        "jax_compilation_cache_dir": str(folder / "compiled"),
        "jax_persistent_cache_min_compile_time_secs": 0.1,
    }
    for name, value in settings.items():
        jax.config.update(name, value)
        os.environ[name.upper()] = str(value)
    # Others are about what programs do with a network, not about its speed.
    flags = os.environ.get("XLA_FLAGS", "")
    os.environ["XLA_FLAGS"] = f"{flags} --xla_backend_optimization_level=0".strip()


@pytest.fixture(scope="module", autouse=True)
def compile_quickly(request):
    """Compile as users do where numbers and memory are looked at; elsewhere, for a third less."""
    as_users = {"network", "planning", "restoring"} & {*request.path.parts}
    others = ("test_gradients", "test_forward_mode", "test_nnx")
    as_users = as_users and request.path.stem not in others
    jax.config.update("jax_disable_most_optimizations", not as_users)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture
def shared_data() -> Path:
    """Folder of the research images; tests that need them skip where it is absent."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent: the benchmark images are not part of the project")
    return folder


@pytest.fixture
def tiny_config():
    """A denoiser of 8 filters and 2 states, 12 steps of 2 patches, a checkpoint every 4."""
    return tiny.config()


@pytest.fixture
def photographs() -> list[Image]:
    """Four smooth random pictures, [24, 20] uint8, grey."""
    return tiny.photographs()


@pytest.fixture
def clock() -> Clock:
    """A clock that stands until it is moved."""
    return Clock()


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


@pytest.fixture
def terminal(monkeypatch) -> Terminal:
    """A terminal of 120 columns that can draw."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    return Terminal()
