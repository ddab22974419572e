"""Remove Gaussian noise of any sigma from 0 to 55 grey levels, without being told it.

    python -m nlrn_jax.main --config=configs/denoise_blind.py:cpu \\
        --config.data.train=folder:bsds500 \\
        --config.data.root=TESTSETS --config.data.eval=set12,bsd68
"""

from ml_collections import ConfigDict

from configs import denoise_25


def get_config(variant: str = "") -> ConfigDict:
    """Return the recipe; with 'quick' its small form, with 'cpu' that of the shipped weights."""
    config = denoise_25.get_config(variant)
    config.degrade.sigma = (0.0, 55.0)
    if variant == "cpu":
        config.train.batch = 8
        config.train.steps = 40_000
        config.train.freeze_at = 0.6
        config.checkpoint.every = 2_000
    return config
