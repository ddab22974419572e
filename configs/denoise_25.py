"""Remove Gaussian noise of sigma 25 grey levels from grey images.

    python -m nlrn_jax.main --config=configs/denoise_25.py --workdir=runs/denoise_25 \\
        --config.data.train=folder:bsds500/train,folder:bsds500/test \\
        --config.data.eval=folder:set12,folder:bsd68

Published, 500,000 steps: Set12 30.80 dB, BSD68 29.41 dB (Liu et al. 2018).

@COST@
"""

from ml_collections import ConfigDict

from configs import base


def get_config(variant: str = "") -> ConfigDict:
    """Return the recipe, or with 'quick' its small form."""
    config = base.get_config()
    config.task = "denoise"
    config.degrade.sigma = (25.0,)
    return base.variant(config, variant)
