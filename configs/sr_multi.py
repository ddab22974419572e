"""Enlarge luma x2, x3 and x4 with one network, as published.

    python -m nlrn_jax.main --config=configs/sr_multi.py \\
        --config.data.train=folder:t91,folder:bsds500/train \\
        --config.data.root=TESTSETS --config.data.eval=set5,set14

Published: Set5 38.00, 34.27, 31.92 dB; Set14 33.46, 30.16, 28.36 dB (Liu et al. 2018).

Cost: 0.8 s a patch and step on 2 CPU cores (batch 2), 75 days for the whole run there: it wants an
accelerator, and has not been run in full by us. For 2 CPU cores there is a small network, which
starts from the weights `denoise`, which come along:

    python -m nlrn_jax.main --config=configs/sr_multi.py:cpu \\
        --config.data.train=folder:t91,folder:bsds500/train \\
        --config.data.root=TESTSETS --config.data.eval=set5,set14
"""

from ml_collections import ConfigDict

from configs import denoise_25


def get_config(variant: str = "") -> ConfigDict:
    """Return the recipe; with 'quick' its small form, with 'cpu' that of 2 CPU cores."""
    config = denoise_25.get_config(variant)
    config.task = "sr"
    config.degrade.scales = (2, 3, 4)
    if variant != "cpu":
        return config
    return denoise_25.go_on(config, start="denoise", steps=30_000)
