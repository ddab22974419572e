"""Enlarge x4.

TODO
"""

from ml_collections import ConfigDict

from configs import base


def get_config(variant: str = "") -> ConfigDict:
    """Return the recipe, or with 'quick' its small form."""
    config = base.get_config()
    config.task = "sr"
    config.degrade.scales = (4,)
    return base.variant(config, variant)
