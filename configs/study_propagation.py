"""Study: what does it gain to hand the correlation on from state to state?

    python -m nlrn_jax.main --mode=study --config=configs/study_propagation.py \\
        --config.data.train=folder:bsds500/train,folder:bsds500/test

Both members have the same parameters. No published figures: we could not verify the paper's.

Cost: two runs of configs/denoise_25.py. It wants an accelerator, and has not been run in full by
us; `:quick` takes three minutes on 2 CPU cores, `:cpu` an hour: handed on 28.45 dB, anew 28.49,
which of one run each is no difference.
"""

from ml_collections import ConfigDict

from configs import denoise_25


def get_config(variant: str = "") -> ConfigDict:
    """Return what the members have in common, or with 'quick' its small form."""
    return denoise_25.get_config(variant)


def members(variant: str = "") -> dict[str, dict]:
    """Return what each member overrides."""
    return {
        "propagated": {"model.propagate": True},
        "anew": {"model.propagate": False},
    }
