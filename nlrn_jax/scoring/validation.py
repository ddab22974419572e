"""A run scored while it trains: on the centres of a few held-out images.

How often is decided by arithmetic, not by a clock, so that a stated share of the time goes to it: a
resumed run must validate where an uninterrupted one would have. A validation is whole or left out:
all figures of a run, and those of two runs, are of the same pixels.
"""

import functools
import math
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from nlrn_jax.config.levels import scored_levels
from nlrn_jax.data.sources import Image
from nlrn_jax.network.build import build_model, title_of
from nlrn_jax.restoring.patches import patch_corners
from nlrn_jax.restoring.restore import Advance
from nlrn_jax.scoring.benchmarks import Benchmark, tables
from nlrn_jax.scoring.evaluate import outputs_of
from nlrn_jax.scoring.gallery import comparison
from nlrn_jax.scoring.methods import (
    Figures,
    Method,
    baseline,
    require_room,
    restore_example,
    way_of,
)
from nlrn_jax.scoring.protocols import example, setting_of

# What a training step costs, in passes of the network forward. By arithmetic three, the backward
# pass being two. But a validation also makes, scores and draws its pictures: on 2 CPU cores
# training on a patch took 2.3 to 2.4 times as long as validating one (32 filters, 4 and 8 states),
# and a share is not to be exceeded.
FORWARD_PASSES = 2

# dB; of a perfect restoration, that it can be compared: the best of 8 bits on 128 x 128 has 90.
PERFECT = 100.0


class Validation(NamedTuple):
    """What a validation found.

    Attributes:
      figures: 'validation_psnr' of the network and 'validation_baseline' of its input, dB: means
        over images and levels. The latter is infinite where every input is perfect.
      pictures: by the image's name, input, restoration and original side by side, uint8.
    """

    figures: Figures
    pictures: dict[str, np.ndarray]


class Validator:
    """Says when a run is validated, and scores it.

    Args:
      config: of the run.
      images: held out of its training, uint8 as decoded; may be none.

    Raises:
      UserError: an image that could not be scored, or that the memory does not suffice for.
    """

    def __init__(self, config: ConfigDict, images: list[Image]):
        self.images = images
        self._config = _as_validated(config)
        # refuses what could not be scored
        how = setting_of(self._config)
        tables([Benchmark("held-out", images)], scored_levels(config), how)
        self._ever = bool(images and config.checkpoint.validation_share)
        if self._ever:
            require_room(self._config, _validated_shapes(config, images))
        apart = checkpoints_apart(config, images) if self._ever else 0
        self._period, self._last = config.checkpoint.every * apart, config.train.steps

    def __bool__(self) -> bool:
        """Say whether anything is ever validated."""
        return self._ever

    def due(self, step: int) -> bool:
        """Say whether the checkpoint of a step is validated.

        The last step always is, and the others as often as `checkpoint.validation_share` allows;
        with a share of 0 none is.
        """
        return self._ever and (step == self._last or step % self._period == 0)

    def score(self, variables: dict, advance: Advance | None = None) -> Validation:
        """Score {'params', 'batch_stats'} by the network's own protocol.

        `advance` is called with the fraction done since the last call.
        """
        config, setting = self._config, setting_of(self._config)
        model, way = build_model(config), way_of(config)
        restore = functools.partial(restore_example, model, variables, way)
        methods = [baseline(setting.protocol), Method(title_of(config), "network", restore)]
        rows, pictures = [], {}
        parts = len(scored_levels(config)) * len(self.images)
        share = advance and (lambda fraction: advance(fraction / parts))
        for level in scored_levels(config):
            for image in self.images:
                crop = Image(image.name, _centre(image.pixels, config.checkpoint.crop))
                test = example(crop, setting, level)
                outputs = outputs_of(methods, setting, test, level, share)
                rows.append([output.figures["psnr"] for output in outputs.values()])
                if image.name not in pictures:  # the first level's
                    pictures[image.name] = comparison(test, outputs)
        return Validation(_means(rows), pictures)


def _means(rows: list[list[float]]) -> Figures:
    """Average the PSNR of inputs and restorations.

    An input that is perfect already, as bicubic of a plain area, has nothing to be restored and an
    infinite PSNR: it is left out, unless there is no other.
    """
    counted = [row for row in rows if np.isfinite(row[0])] or rows
    before, after = (float(np.mean(column)) for column in zip(*counted, strict=True))
    return {"validation_psnr": min(after, PERFECT), "validation_baseline": before}


def _as_validated(config: ConfigDict) -> ConfigDict:
    """Return the configuration with the quick way to restore, and what every run has in common.

    Otherwise the validation PSNR of a run would not mean the same from its start to its end.
    """
    config = ConfigDict(config.to_dict())
    config.evaluate.stride = max(1, config.evaluate.patch // 2)
    config.evaluate.ensemble, config.evaluate.protocol = False, ""
    return config


def checkpoints_apart(config: ConfigDict, held_out: list[Image]) -> int:
    """Return how many checkpoints lie from one validation to the next, 1 or more."""
    share, train = config.checkpoint.validation_share, config.train
    pixels = config.checkpoint.every * train.batch * config.data.patch**2
    training = FORWARD_PASSES * pixels * multiply_adds(config, config.data.patch)
    validation = validated_pixels(config, held_out) * multiply_adds(config, _seen_side(config))
    return max(1, math.ceil(validation / training * (1 - share) / share))


def multiply_adds(config: ConfigDict, side: int) -> int:
    """Return the multiplications for one pixel of a square input."""
    return build_model(config).multiply_adds(min(side, config.model.neighborhood or side) ** 2)


def validated_pixels(config: ConfigDict, held_out: list[Image]) -> int:
    """Return the pixels that pass through the network in one validation."""
    shapes = _validated_shapes(config, held_out)
    if config.evaluate.whole:
        pixels = sum(height * width for height, width in shapes)
    else:
        patch, batch = config.evaluate.patch, config.evaluate.batch
        patches = (len(patch_corners(shape, patch, max(1, patch // 2))) for shape in shapes)
        pixels = sum(math.ceil(count / batch) * batch for count in patches) * patch**2
    return len(scored_levels(config)) * pixels


def _validated_shapes(config: ConfigDict, held_out: list[Image]) -> list[tuple[int, int]]:
    crop = config.checkpoint.crop
    return [tuple(min(crop, side) for side in image.pixels.shape[:2]) for image in held_out]


def _seen_side(config: ConfigDict) -> int:
    return build_model(config).window if config.evaluate.whole else config.evaluate.patch


def _centre(pixels: np.ndarray, side: int) -> np.ndarray:
    top, left = (max(0, (length - side) // 2) for length in pixels.shape[:2])
    return pixels[top : top + side, left : left + side]
