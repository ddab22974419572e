"""Study: what would it gain to give every state weights of its own?

    python -m nlrn_jax.main --mode=study --config=configs/study_sharing.py \\
        --config.data.train=folder:bsds500/train,folder:bsds500/test

Shared, the network has 340,099 parameters, else 3,950,211. The gradient clip then sees the weights
of all states, which are stacked, as one tensor. No published figures: we could not verify the
paper's.

Cost: two runs of configs/denoise_25.py. It wants an accelerator, and has not been run in full by
us; `:quick` takes three minutes on 2 CPU cores, `:cpu` an hour. After 6,667 of its 20,000 steps
(with a schedule of so many) shared weights reach 28.27 dB, 331,587 parameters 28.30.
"""

from ml_collections import ConfigDict

from configs import denoise_25


def get_config(variant: str = "") -> ConfigDict:
    """Return what the members have in common, or with 'quick' its small form."""
    return denoise_25.get_config(variant)


def members(variant: str = "") -> dict[str, dict]:
    """Return what each member overrides."""
    return {"shared": {"model.share": True}, "separate": {"model.share": False}}
