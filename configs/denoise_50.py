"""Remove Gaussian noise of sigma 50 grey levels from grey images.

    python -m nlrn_jax.main --config=configs/denoise_50.py \\
        --config.data.train=folder:bsds500/train,folder:bsds500/test \\
        --config.data.root=TESTSETS --config.data.eval=set12,bsd68

Published, 500,000 steps: Set12 27.64 dB, BSD68 26.47 dB (Liu et al. 2018).

Cost: 0.8 s a patch and step on 2 CPU cores (batch 2), 75 days for the whole run there: it wants an
accelerator, and has not been run in full by us.
"""

from ml_collections import ConfigDict

from configs import base


def get_config(variant: str = "") -> ConfigDict:
    """Return the recipe, or with 'quick' its small form."""
    config = base.get_config()
    config.task = "denoise"
    config.degrade.sigma = (50.0,)
    return base.variant(config, variant)
