"""Fixtures: the benchmark images beside the checkout, and a run small enough for seconds."""

from pathlib import Path

import jax
import numpy as np
import pytest

from configs import base
from nlrn_jax.sources import Image


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
    config = base.quick(base.get_config())
    config.model.update(filters=8, embedding=4, steps=2)
    config.data.update(patch=10, holdout=1)
    config.train.update(steps=12, batch=2)
    config.log.every = 3
    config.checkpoint.update(every=4, validation_share=1.0, keep=2, crop=16)
    config.evaluate.update(patch=10, stride=8, batch=4)
    return config


@pytest.fixture
def photographs() -> list[Image]:
    """Four smooth random pictures, [24, 20] uint8, grey."""
    rng = np.random.default_rng(0)
    ramps = rng.uniform(0, 9, (4, 24, 1)) + rng.uniform(0, 9, (4, 1, 20))
    waves = 127 + 100 * np.sin(ramps.cumsum(1).cumsum(2) / 40)
    return [Image(f"{i}.png", wave.astype(np.uint8)) for i, wave in enumerate(waves)]
