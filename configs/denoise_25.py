"""Remove Gaussian noise of sigma 25 grey levels from grey images.

    python -m nlrn_jax.main --config=configs/denoise_25.py \\
        --config.data.train=folder:bsds500/train,folder:bsds500/test \\
        --config.data.root=TESTSETS --config.data.eval=set12,bsd68

Published, 500,000 steps: Set12 30.80 dB, BSD68 29.41 dB (Liu et al. 2018).

Cost: 52 ms a step on an H100, 7.2 hours for the whole run; 0.8 s a patch and step on 2 CPU cores,
75 days. It has not been run in full by us.

In half an hour on 2 CPU cores (33 minutes at 10.2 steps a second) a network of 85,059 parameters
reaches 29.88 dB on Set12 and 28.75 dB on BSD68, each pixel once. It is the best of
configs/study_recipes.py:

    python -m nlrn_jax.main --config=configs/denoise_25.py:cpu \\
        --config.data.train=folder:bsds500 \\
        --config.data.root=TESTSETS --config.data.eval=set12,bsd68

With --config.data.patch=32 it takes an hour and a half (20,000 steps, 3.7 a second) and reaches
30.07 dB on Set12 and 28.91 dB on BSD68. (Its first 3,595 steps were made with the schedule of a
run of 24,000.)
"""

from ml_collections import ConfigDict

from configs import base
from nlrn_jax.errors import UserError


def get_config(variant: str = "") -> ConfigDict:
    """Return the recipe; with 'quick' its small form, with 'cpu' that of half an hour."""
    config = base.get_config()
    config.task = "denoise"
    config.degrade.sigma = (25.0,)
    if variant not in ("", "quick", "cpu"):
        raise UserError(f"there is no variant {variant!r}: leave it out, or use :quick or :cpu")
    return cpu(config) if variant == "cpu" else base.variant(config, variant)


def go_on(config: ConfigDict, start: str, steps: int) -> ConfigDict:
    """Let a small network go on from the weights of another, its norms frozen almost at once."""
    config.train.start = start
    config.train.batch = 8
    config.train.steps = steps
    config.train.freeze_at = 0.1
    config.checkpoint.every = 2_000
    return config


def cpu(config: ConfigDict) -> ConfigDict:
    """Fill half an hour of two CPU cores: the recipe that configs/study_recipes.py found best."""
    config = base.quick(config)
    config.model.filters = 64
    config.model.embedding = 32
    config.data.holdout = 24
    config.train.batch = 4
    config.train.steps = 20_000
    config.checkpoint.every = 1_000
    config.evaluate.whole = True
    return config
