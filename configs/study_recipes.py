"""Study: which recipe makes the best denoiser in ten minutes, or in thirty, of two CPU cores?

    python -m nlrn_jax.main --mode=study --config=configs/study_recipes.py:10 \\
        --workdir=runs/recipes_10 --config.data.train=folder:bsds500

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

from ml_collections import ConfigDict

from configs import denoise_25

# filters, embedding, states, patch, window (None: the patch), batch, seconds a step
RECIPES = {
    "f32_T4_p32": (32, 16, 4, 32, None, 8, 0.31),
    "f64_T4_p24": (64, 32, 4, 24, None, 4, 0.09),
    "f64_T8_p24": (64, 32, 8, 24, None, 4, 0.175),
    "f64_T4_p32": (64, 32, 4, 32, None, 4, 0.23),
    "f64_T4_p64_q31": (64, 32, 4, 64, 31, 1, 0.36),
    "f128_T4_p24": (128, 64, 4, 24, None, 4, 0.194),
}


def get_config(variant: str = "10") -> ConfigDict:
    """Return what the members have in common; the variant is the minutes."""
    config = denoise_25.get_config("cpu")
    config.checkpoint.every = 500
    return config


def members(variant: str = "10") -> dict[str, dict]:
    """Return what each member overrides."""
    return {name: recipe(*sizes, 60 * int(variant)) for name, sizes in RECIPES.items()}


def recipe(filters, embedding, states, patch, window, batch, pace, seconds) -> dict:
    """Return the fields of a member that trains for so many seconds."""
    return {
        "model.filters": filters,
        "model.embedding": embedding,
        "model.steps": states,
        "model.neighborhood": window,
        "data.patch": patch,
        "train.batch": batch,
        "train.steps": round(seconds / pace),
    }
