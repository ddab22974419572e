"""Clean the colour pictures of cameras and phones: noise that grows with the light, and JPEG.

    python -m nlrn_jax.main --config=configs/photo.py:cpu \\
        --config.data.train=folder:bsds500 \\
        --config.data.root=TESTSETS --config.data.eval=cbsd68

To a patch happen Poisson noise of up to 40 grey levels at white, Gaussian noise of sigma up to 20,
and JPEG of quality 40 to 100, each by its chance: real pictures rarely have all. The network is
told nothing of it. The small network of ':cpu' starts from the weights `denoise_color`, which come
along.
"""

from ml_collections import ConfigDict

from configs import denoise_25


def get_config(variant: str = "") -> ConfigDict:
    """Return the recipe; with 'quick' its small form, with 'cpu' that of 2 CPU cores."""
    config = denoise_25.get_config(variant)
    config.model.channels = 3
    config.degrade.poisson = (0.0, 40.0)
    config.degrade.sigma = (0.0, 20.0)
    config.degrade.jpeg = (40, 100)
    config.degrade.chances = (0.9, 0.5, 0.7)
    if variant != "cpu":
        return config
    return denoise_25.go_on(config, start="denoise_color", steps=30_000)
