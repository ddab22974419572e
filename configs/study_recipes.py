"""Study: which recipe makes the best denoiser in ten minutes, or in thirty, of two CPU cores?

    python -m nlrn_jax.main --mode=study --config=configs/study_recipes.py:10 \\
        --config.data.train=folder:bsds500

Every member gets as many steps as the minutes hold at its own pace, which was measured on two
cores with AVX-512 and nothing else running; so the same steps are taken on any machine, and other
work beside them costs time but not quality. All are validated on 24 held-out photographs, centres
of 128 x 128, each pixel once, with a window as large as the training patch.

After ten minutes (batches of 4 where nothing is said; the input has 20.18 dB):

    32 filters, 4 states, patch 32, batch 8                28.18 dB
    64 filters, 4 states, patch 24                         28.27
    64 filters, 8 states, patch 24                         28.07
    64 filters, 4 states, patch 32                         28.22
    64 filters, 4 states, patch 64, window 31, batch 1     27.55
    128 filters, 4 states, patch 24                        28.11

So the small patch pays, since a pixel is compared with fewer, and more states or filters do not
yet. A large patch with a confined window costs 0.088 ms a pixel against 0.039 (patch 24) and
0.056 (patch 32), and falls behind; with one patch a step its batch statistics are of one
photograph. The best one has 28.45 dB after half an hour: it is `configs/denoise_25.py:cpu`.
"""

from typing import NamedTuple

from ml_collections import ConfigDict

from configs import denoise_25
from nlrn_jax.errors import UserError


class Recipe(NamedTuple):
    """A member: its network, what a step sees, and how long that takes.

    Attributes:
      window: odd side in pixels; None: the whole patch.
      pace: seconds a step, measured.
    """

    filters: int
    embedding: int
    states: int
    patch: int
    window: int | None
    batch: int
    pace: float


RECIPES = {
    "f32_T4_p32": Recipe(32, 16, states=4, patch=32, window=None, batch=8, pace=0.31),
    "f64_T4_p24": Recipe(64, 32, states=4, patch=24, window=None, batch=4, pace=0.09),
    "f64_T8_p24": Recipe(64, 32, states=8, patch=24, window=None, batch=4, pace=0.175),
    "f64_T4_p32": Recipe(64, 32, states=4, patch=32, window=None, batch=4, pace=0.23),
    "f64_T4_p64_q31": Recipe(64, 32, states=4, patch=64, window=31, batch=1, pace=0.36),
    "f128_T4_p24": Recipe(128, 64, states=4, patch=24, window=None, batch=4, pace=0.194),
}


def get_config(variant: str = "10") -> ConfigDict:
    """Return what the members have in common; the variant is the minutes."""
    if not variant.isdecimal() or not int(variant):
        raise UserError(f"there is no variant {variant!r}: it is the minutes, as :10 or :30")
    config = denoise_25.get_config("cpu")
    config.checkpoint.every = 500
    return config


def members(variant: str = "10") -> dict[str, dict]:
    """Return what each member overrides."""
    return {name: fields(recipe, 60 * int(variant)) for name, recipe in RECIPES.items()}


def fields(recipe: Recipe, seconds: int) -> dict:
    """Return the fields of a member that trains for so many seconds."""
    return {
        "model.filters": recipe.filters,
        "model.embedding": recipe.embedding,
        "model.steps": recipe.states,
        "model.neighborhood": recipe.window,
        "data.patch": recipe.patch,
        "train.batch": recipe.batch,
        "train.steps": round(seconds / recipe.pace),
    }
