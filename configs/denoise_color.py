"""Remove Gaussian noise of any sigma from 0 to 55 grey levels from colour images, told nothing.

    python -m nlrn_jax.main --config=configs/denoise_color.py:cpu \\
        --config.data.train=folder:bsds500 \\
        --config.data.root=TESTSETS --config.data.eval=cbsd68

The small network of ':cpu' starts from the weights `denoise`, which come along.
"""

from ml_collections import ConfigDict

from configs import denoise_25


def get_config(variant: str = "") -> ConfigDict:
    """Return the recipe; with 'quick' its small form, with 'cpu' that of 2 CPU cores."""
    config = denoise_25.get_config(variant)
    config.model.channels = 3
    config.degrade.sigma = (0.0, 55.0)
    if variant != "cpu":
        return config
    return denoise_25.go_on(config, start="denoise", steps=40_000)
