"""Enlarge luma x3.

    python -m nlrn_jax.main --config=configs/sr_x3.py \\
        --config.data.train=folder:t91,folder:bsds500/train \\
        --config.data.root=TESTSETS --config.data.eval=set5,set14

Published: Set5 34.27 dB, Set14 30.16 dB (Liu et al. 2018, one network for all scales).

Cost: 0.8 s a patch and step on 2 CPU cores (batch 2), 75 days for the whole run there: it wants an
accelerator, and has not been run in full by us.
"""

from ml_collections import ConfigDict

from configs import base


def get_config(variant: str = "") -> ConfigDict:
    """Return the recipe, or with 'quick' its small form."""
    config = base.get_config()
    config.task = "sr"
    config.degrade.scales = (3,)
    return base.variant(config, variant)
