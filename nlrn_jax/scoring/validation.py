"""When a run is validated: as often as a stated share of its time allows.

Decided from arithmetic, not from a clock: a resumed run must validate where an uninterrupted one
would have. A validation is whole or left out, so that all figures of a run, and those of two runs,
are of the same pixels.
"""

import math

from ml_collections import ConfigDict

from nlrn_jax.config import levels, window
from nlrn_jax.data.sources import Image
from nlrn_jax.restoring.patches import patch_corners

# That a training step costs. By arithmetic three, the backward pass being two. But a validation
# also makes, scores and draws its pictures: on 2 CPU cores training on a patch took 2.3 to 2.4
# times as long as validating one (32 filters, 4 and 8 states), and a share is not to be exceeded.
FORWARD_PASSES = 2


def is_due(config: ConfigDict, held_out: list[Image], step: int) -> bool:
    """Say whether the checkpoint of a step is validated.

    The last step always is, and the others as often as `checkpoint.validation_share` allows;
    with a share of 0 none is.
    """
    if not held_out or not config.checkpoint.validation_share:
        return False
    period = config.checkpoint.every * checkpoints_apart(config, held_out)
    return step == config.train.steps or step % period == 0


def checkpoints_apart(config: ConfigDict, held_out: list[Image]) -> int:
    """Return how many checkpoints lie from one validation to the next, 1 or more."""
    share, train = config.checkpoint.validation_share, config.train
    pixels = config.checkpoint.every * train.batch * config.data.patch**2
    training = FORWARD_PASSES * pixels * multiply_adds(config, config.data.patch)
    validation = validated_pixels(config, held_out) * multiply_adds(config, _seen_side(config))
    return max(1, math.ceil(validation / training * (1 - share) / share))


def multiply_adds(config: ConfigDict, side: int) -> int:
    """Return the multiplications of one state for one pixel of a square input."""
    features, embedding = config.model.filters, config.model.embedding
    seen = min(side, config.model.neighborhood or side) ** 2
    convolutions = (1 + 2 * 9) * features**2 + 2 * features * embedding  # g, a and b; theta, phi
    return convolutions + seen * (embedding + features)


def validated_pixels(config: ConfigDict, held_out: list[Image]) -> int:
    """Return the pixels that pass through the network in one validation (`evaluate.validate`)."""
    crop = config.checkpoint.crop
    shapes = [tuple(min(crop, side) for side in image.pixels.shape[:2]) for image in held_out]
    if config.evaluate.whole:
        pixels = sum(height * width for height, width in shapes)
    else:
        patch, batch = config.evaluate.patch, config.evaluate.batch
        patches = (len(patch_corners(shape, patch, max(1, patch // 2))) for shape in shapes)
        pixels = sum(math.ceil(count / batch) * batch for count in patches) * patch**2
    return len(levels(config)) * pixels


def _seen_side(config: ConfigDict) -> int:
    return window(config) if config.evaluate.whole else config.evaluate.patch
