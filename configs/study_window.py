"""Study: how large a neighborhood q x q should a position be compared with?

    python -m nlrn_jax.main --mode=study --config=configs/study_window.py \\
        --config.data.train=folder:bsds500/train,folder:bsds500/test

All members are trained and validated on patches of 45 x 45 (`:quick`: 24 x 24). `whole` compares
every position with the whole patch, as the authors' programs do; the others with the window around
it, as the paper defines it, cut where the patch ends. No published figures: we could not verify the
paper's; its q is 45.

Cost: six runs of configs/denoise_25.py, at most. It wants an accelerator, and has not been run in
full by us; `:cpu` takes an hour and a quarter on 2 CPU cores: 28.21, 28.29 and 28.42 dB by windows
of 5, 11 and 23, and 28.35 by the whole patch, which takes about half of the time of 23.
"""

from ml_collections import ConfigDict

from configs import denoise_25


def get_config(variant: str = "") -> ConfigDict:
    """Return what the members have in common; 'quick' and 'cpu' are its small forms."""
    config = denoise_25.get_config(variant)
    if not variant:
        config.data.patch = config.evaluate.patch = 45
    if variant == "cpu":
        config.train.steps = 10_000
    return config


def members(variant: str = "") -> dict[str, dict]:
    """Return what each member overrides."""
    windows = (5, 11, 23) if variant else (5, 15, 25, 35, 45)
    confined = {f"q{side}": {"model.neighborhood": side} for side in windows}
    return confined | {"whole": {"model.neighborhood": None}}
