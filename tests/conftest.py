"""Fixtures: the benchmark images beside the checkout, and a run small enough for seconds."""

from pathlib import Path

import jax
import pytest
import tiny

from nlrn_jax.data.sources import Image


@pytest.fixture(scope="session", autouse=True)
def compile_once(tmp_path_factory):
    """Let tests that compile the same program share it."""
    jax.config.update("jax_compilation_cache_dir", str(tmp_path_factory.mktemp("compiled")))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


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
