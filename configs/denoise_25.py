"""Remove Gaussian noise of sigma 25 grey levels from grey images.

    python -m nlrn_jax.main --config=configs/denoise_25.py --workdir=runs/denoise_25 \\
        --config.data.train=folder:bsds500/train,folder:bsds500/test \\
        --config.data.eval=folder:set12,folder:bsd68

Published, 500,000 steps: Set12 30.80 dB, BSD68 29.41 dB (Liu et al. 2018).

Cost: 0.8 s a patch and step on 2 CPU cores (batch 2), 75 days for the whole run there: it wants an
accelerator, and has not been run in full by us.

In 35 minutes on 2 CPU cores a network of 22,051 parameters reaches 29.81 dB on Set12:

    python -m nlrn_jax.main --config=configs/denoise_25.py:quick --workdir=runs/small_25 \\
        --config.data.train=folder:bsds500 --config.data.holdout=8 --config.data.patch=32 \\
        --config.train.batch=8 --config.train.steps=3500 --config.checkpoint.every=500 \\
        --config.evaluate.patch=32 --config.evaluate.stride=7 --config.data.eval=folder:set12
"""

from ml_collections import ConfigDict

from configs import base


def get_config(variant: str = "") -> ConfigDict:
    """Return the recipe, or with 'quick' its small form."""
    config = base.get_config()
    config.task = "denoise"
    config.degrade.sigma = (25.0,)
    return base.variant(config, variant)
