"""Study: what is the non-local block worth in another network, at equal cost?

    python -m nlrn_jax.main --mode=study --config=configs/study_block.py:30 \\
        --config.data.train=folder:bsds500

DnCNN of 6 layers and 48 filters, the same with one non-local block, with two, with two of which the
second adds to the correlation of the first, and NLRN of as many parameters. All see patches of
24 x 24, four a step, and each gets as many steps as the minutes hold at its own pace on two cores
with AVX-512 and nothing else running: NLRN's is that of configs/study_recipes.py, and the others'
are in proportion to it as all five were measured in turns. All are validated on 24 held-out
photographs, centres of 128 x 128, each pixel once, with a window as large as the training patch.

After thirty minutes (the input has 20.18 dB), and seconds a megapixel of restoring:

    DnCNN                                  28.34 dB     1.16 s
    one block                              28.58        3.30
    two blocks                             28.60        5.35
    two, the correlation handed on         28.60        7.63
    NLRN                                   28.45       19.1

So a block pays, a second one and the correlation do not yet, and NLRN, which looks four times, is
between the two with a fraction of the steps.
"""

from typing import NamedTuple

from ml_collections import ConfigDict

from configs import denoise_25
from nlrn_jax.errors import UserError


class Member(NamedTuple):
    """A network, and how long its step takes.

    Attributes:
      network: 'dncnn' or 'nlrn'.
      blocks: behind which of DnCNN's layers there is a non-local block.
      propagate: whether the second adds to the correlation of the first.
      pace: seconds a step, measured.
    """

    network: str
    blocks: tuple[int, ...]
    propagate: bool
    pace: float


MEMBERS = {
    "dncnn": Member("dncnn", (), propagate=True, pace=0.0136),
    "one_block": Member("dncnn", (3,), propagate=True, pace=0.0218),
    "two_blocks": Member("dncnn", (2, 4), propagate=False, pace=0.0296),
    "handed_on": Member("dncnn", (2, 4), propagate=True, pace=0.0315),
    "nlrn": Member("nlrn", (), propagate=True, pace=0.09),
}


def get_config(variant: str = "30") -> ConfigDict:
    """Return what the members have in common; the variant is the minutes."""
    if not variant.isdecimal() or not int(variant):
        raise UserError(f"there is no variant {variant!r}: it is the minutes, as :10 or :30")
    config = denoise_25.get_config("cpu")
    config.model.depth = 6
    config.checkpoint.every = 1_000
    return config


def members(variant: str = "30") -> dict[str, dict]:
    """Return what each member overrides."""
    return {name: fields(member, 60 * int(variant)) for name, member in MEMBERS.items()}


def fields(member: Member, seconds: int) -> dict:
    """Return the fields of a member that trains for so many seconds."""
    width = {"nlrn": (64, 32), "dncnn": (48, 24)}[member.network]  # of about 85,000 parameters
    return {
        "model.network": member.network,
        "model.filters": width[0],
        "model.embedding": width[1],
        "model.blocks": member.blocks,
        "model.propagate": member.propagate,
        "train.steps": round(seconds / member.pace),
    }
