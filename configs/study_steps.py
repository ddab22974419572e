"""Study: how many states T does the recurrence need?

    python -m nlrn_jax.main --mode=study --config=configs/study_steps.py \\
        --config.data.train=folder:bsds500/train,folder:bsds500/test

The parameters grow by the batch norms alone, 768 a state. No published figures: we could not verify
the paper's. The published network has T = 12.

Cost: a step's time grows with T; the eight members together cost as much as five runs of
configs/denoise_25.py. It wants an accelerator, and has not been run in full by us.

On two CPU cores, 6 minutes:

    python -m nlrn_jax.main --mode=study --config=configs/study_steps.py:quick \\
        --config.data.train=folder:bsds500/train \\
        --config.data.holdout=8 --config.checkpoint.every=100 --config.checkpoint.crop=96 \\
        --config.checkpoint.validation_share=0.2

Validation PSNR after 500 steps with 1, 2, 4 and 8 states: 26.85, 27.10, 27.35, 27.35 dB
(launch/study.png); 500 steps are too few to tell 4 from 8.
"""

from ml_collections import ConfigDict

from configs import denoise_25


def get_config(variant: str = "") -> ConfigDict:
    """Return what the members have in common, or with 'quick' its small form."""
    return denoise_25.get_config(variant)


def members(variant: str = "") -> dict[str, dict]:
    """Return what each member overrides."""
    states = (1, 2, 4, 8) if variant == "quick" else (1, 2, 4, 6, 8, 10, 12, 15)
    return {f"T{count}": {"model.steps": count} for count in states}
