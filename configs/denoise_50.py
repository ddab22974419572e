"""Remove Gaussian noise of sigma 50 from grey images.

TODO
"""

from ml_collections import ConfigDict

from configs import base


def get_config(variant: str = "") -> ConfigDict:
    """Return the recipe, or with 'quick' its small form."""
    config = base.get_config()
    config.task = "denoise"
    config.degrade.sigma = (50.0,)
    return base.variant(config, variant)
