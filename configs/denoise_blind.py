"""Remove Gaussian noise of any sigma from 0 to 55 grey levels, without being told it.

    python -m nlrn_jax.main --config=configs/denoise_blind.py:first \\
        --config.data.train=folder:bsds500
    python -m nlrn_jax.main --config=configs/denoise_blind.py:cpu \\
        --config.data.train=folder:bsds500 \\
        --config.data.root=TESTSETS --config.data.eval=set12,bsd68

The second goes on from the weights of the first, with patches of 32 instead of 24: small ones teach
more in the same time, large ones show the network the window that it is to restore with. Both
freeze the statistics of the norms: those of a few patches betray how noisy these are, and a blind
network that leans on them misses that in evaluation.
"""

from ml_collections import ConfigDict

from configs import denoise_25


def get_config(variant: str = "") -> ConfigDict:
    """Return the recipe; 'quick' is its small form, 'first' and 'cpu' those of 2 CPU cores."""
    of_cpu = variant in ("first", "cpu")
    config = denoise_25.get_config("cpu" if of_cpu else variant)
    config.degrade.sigma = (0.0, 55.0)
    if not of_cpu:
        return config
    config.checkpoint.every = 2_000
    return first(config) if variant == "first" else second(config)


def first(config: ConfigDict) -> ConfigDict:
    """Learn from many small patches: 70 minutes of 2 CPU cores."""
    config.train.batch = 8
    config.train.steps = 40_000
    config.train.freeze_at = 0.6
    return config


def second(config: ConfigDict) -> ConfigDict:
    """Go on with larger ones: 50 minutes."""
    config.train.start = "runs/denoise_blind_first"
    config.data.patch = 32
    config.train.steps = 20_000
    config.train.learning_rate = 1e-3
    config.train.freeze_at = 0.0
    return config
