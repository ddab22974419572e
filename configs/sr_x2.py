"""Enlarge luma x2.

    python -m nlrn_jax.main --config=configs/sr_x2.py \\
        --config.data.train=folder:t91,folder:bsds500/train \\
        --config.data.root=TESTSETS --config.data.eval=set5,set14

Published: Set5 38.00 dB, Set14 33.46 dB (Liu et al. 2018, one network for all scales).

Cost: 0.8 s a patch and step on 2 CPU cores (batch 2), 75 days for the whole run there: it wants an
accelerator, and has not been run in full by us.
"""

from ml_collections import ConfigDict

from configs import base


def get_config(variant: str = "") -> ConfigDict:
    """Return the recipe, or with 'quick' its small form."""
    config = base.get_config()
    config.task = "sr"
    config.degrade.scales = (2,)
    return base.variant(config, variant)
