"""A run small enough for seconds, for tests in this process and in others."""

from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from configs import base
from nlrn_jax.data.sources import Image
from nlrn_jax.scoring.validation import Validator
from nlrn_jax.training import loop
from nlrn_jax.training.state import TrainState


def config() -> ConfigDict:
    """Return a denoiser of 8 filters and 2 states, 12 steps of 2 patches, a checkpoint every 4."""
    config = base.quick(base.get_config())
    config.model.update(filters=8, embedding=4, steps=2)
    config.data.update(patch=10, holdout=1)
    config.train.update(steps=12, batch=2)
    config.log.every = 3
    config.checkpoint.update(every=4, validation_share=1.0, keep=2, crop=16)
    config.evaluate.update(patch=10, stride=8, batch=4)
    return config


def photographs() -> list[Image]:
    """Return four smooth random pictures, [24, 20] uint8, grey."""
    rng = np.random.default_rng(0)
    ramps = rng.uniform(0, 9, (4, 24, 1)) + rng.uniform(0, 9, (4, 1, 20))
    waves = 127 + 100 * np.sin(ramps.cumsum(1).cumsum(2) / 40)
    return [Image(f"{i}.png", wave.astype(np.uint8)) for i, wave in enumerate(waves)]


def train(config: ConfigDict, workdir: Path, start: dict | None = None) -> TrainState:
    """Train on three of the photographs, the fourth held out."""
    images = photographs()
    return loop.train(config, workdir, images[:3], Validator(config, images[3:]), start)
