"""A configuration is checked, every field that could go wrong, before anything long starts."""

import itertools
import math

from ml_collections import ConfigDict

from nlrn_jax.config.levels import (
    CLASSICAL,
    classical_names,
    happening,
    measuring_protocol,
    protocols,
)
from nlrn_jax.config.record import get
from nlrn_jax.errors import UserError

MAX_SIGMA = 150  # grey levels: with more, noisy pictures are none that `restore` takes
_GAUSSIAN = ("denoise", "denoise_clipped")  # protocols whose level is the sigma that they ask for
CHOICES = {
    "task": ("denoise", "sr"),
    "model.network": ("nlrn", "dncnn"),
    "model.distance": ("embedded_gaussian", "symmetric_embedded_gaussian", "gaussian", "euclidean",
                       "embedded_dot_product", "dot_product"),  # of network/block.py
    "model.carry": ("logits", "embeddings"),
    "model.remat": ("nothing", "correlation", "states"),
    "model.dtype": ("float32", "bfloat16"),
    "train.schedule": ("halve", "cosine"),
}  # fmt: skip
COUNTS = (  # 1 or more
    "model.filters", "model.embedding", "model.steps", "data.patch", "train.steps", "train.batch",
    "log.every", "checkpoint.every", "checkpoint.keep", "evaluate.patch", "evaluate.batch",
)  # fmt: skip


def check(config: ConfigDict) -> None:
    """Check every field that could go wrong later.

    Raises:
      UserError: naming the first wrong field, its value, and what it should be.
    """
    model, degrade, data, train = config.model, config.degrade, config.data, config.train
    rules = [
        *((field, get(config, field) in names, _either(names)) for field, names in CHOICES.items()),
        *((field, get(config, field) >= 1, "1 or more") for field in COUNTS),
        ("seed", 0 <= config.seed < 2**32, "0 to 4294967295"),
        ("model.channels", model.channels in (1, 3), "1 (grey or luma) or 3 (colour)"),
        ("model.neighborhood", _is_window(model.neighborhood), "odd, or None for the whole patch"),
        *_rules_of_dncnn(model),
        ("degrade.sigma", _is_range(degrade.sigma) or _is_none_of_several(degrade),
         "(level,) above 0, or (lowest, highest) from 0 on, up to 150"),
        ("degrade.poisson", not degrade.poisson or _is_range(degrade.poisson),
         "(), (level,) above 0, or (lowest, highest) from 0 on, up to 150"),
        ("degrade.poisson", config.task == "denoise" or not degrade.poisson,
         "(): it is of the task 'denoise'"),
        ("degrade.jpeg", not degrade.jpeg or _are_qualities(degrade.jpeg),
         "(), (quality,) or (lowest, highest): whole numbers from 1 to 100"),
        ("degrade.jpeg", config.task == "denoise" or not degrade.jpeg,
         "(): it is of the task 'denoise'"),
        ("degrade.chances", _are_chances(degrade.chances),
         "three numbers from 0 to 1: of Poisson noise, Gaussian noise, JPEG"),
        ("degrade.chances", bool(happening(config)), "above 0 for something that is set"),
        ("degrade.scales", _are_scales(degrade.scales), "whole numbers from 2 to 8, as in (3,)"),
        ("data.holdout", data.holdout >= 0, "0 or more images"),
        ("data.max_megapixels", 0 < data.max_megapixels < math.inf, "above 0, as 200.0"),
        ("data.workers", 0 <= data.workers <= 256, "0 (threads), or processes, up to 256"),
        ("train.accumulate", train.accumulate >= 1 and train.batch % train.accumulate == 0,
         "1 or more micro-batches, and a divisor of train.batch"),
        ("train.learning_rate", 0 < train.learning_rate < math.inf, "above 0"),
        ("train.halve_at", _are_fractions(train.halve_at), "fractions of the run, as (0.5,)"),
        ("train.clip", train.clip >= 0, "0 (off) or a norm"),
        ("train.loss_crop", 0 <= train.loss_crop <= data.patch, "0 (all) to data.patch"),
        ("train.freeze_at", 0 <= train.freeze_at <= 1, "a fraction of the run, 1 (never) or less"),
        ("train.ema", 0 <= train.ema < 1, "0 (off) or a decay below 1"),
        ("checkpoint.validation_share", 0 <= config.checkpoint.validation_share <= 1,
         "0 (never) to 1 (each checkpoint)"),
        # shaved and cut to a multiple of any scale, it still holds the 11 pixels of SSIM
        ("checkpoint.crop", config.checkpoint.crop >= 32, "32 or more pixels"),
        ("evaluate.stride", 1 <= config.evaluate.stride <= config.evaluate.patch,
         "1 to evaluate.patch: a larger one leaves gaps"),
    ]  # fmt: skip
    _refuse_first(config, rules)
    check_evaluation(config)


def _rules_of_dncnn(model: ConfigDict) -> list[tuple[str, bool, str]]:
    """Return what is to hold of the fields that are DnCNN's own, or that it has not."""
    is_it = model.network == "dncnn"
    return [
        ("model.depth", model.depth >= 2, "2 or more convolutions"),
        ("model.blocks", _are_layers(model.blocks, model.depth),
         f"() or whole numbers that rise, from 1 to model.depth - 1 = {model.depth - 1}"),
        ("model.blocks", is_it or not model.blocks, "(): they are of model.network='dncnn'"),
        ("model.carry", not is_it or model.carry == "logits", "'logits' where network='dncnn'"),
        ("model.remat", not is_it or model.remat == "nothing", "'nothing' where network='dncnn'"),
    ]  # fmt: skip


def check_evaluation(config: ConfigDict) -> None:
    """Check what an evaluation is asked to measure, by the network that it is asked of.

    Raises:
      UserError: as `check`.
    """
    evaluate, protocol = config.evaluate, measuring_protocol(config)
    names = protocols(config.task)
    rules = [
        ("evaluate.protocol", evaluate.protocol in ("", *names),
         f"{' or '.join(names)} for the task {config.task!r}"),
        ("evaluate.levels", _are_levels(protocol, evaluate.levels),
         "noise levels above 0 and up to 150, as (15.0, 25.0), qualities from 1 to 100, as (10,), "
         f"or scales from 2 to 8, as (2, 3): of the protocol {protocol}"),
        ("evaluate.classical", protocol in _GAUSSIAN or not evaluate.classical,
         f"empty by the protocol {protocol}: the classical baselines take Gaussian noise away"),
        ("evaluate.classical", set(classical_names(config)) <= set(CLASSICAL),
         f"some of {', '.join(CLASSICAL)}, with commas between"),
    ]  # fmt: skip
    _refuse_first(config, rules)


def _refuse_first(config: ConfigDict, rules: list[tuple[str, bool, str]]) -> None:
    for field, right, wanted in rules:
        if not right:
            raise UserError(f"config.{field}={get(config, field)!r} should be {wanted}")


def _either(names: tuple[str, ...]) -> str:
    *others, last = map(repr, names)
    return f"{', '.join(others)} or {last}"


def _is_window(neighborhood: int | None) -> bool:
    return neighborhood is None or (neighborhood >= 1 and neighborhood % 2 == 1)


def _are_layers(layers: tuple, depth: int) -> bool:
    if not all(isinstance(layer, int) and 1 <= layer < depth for layer in layers):
        return False
    return all(a < b for a, b in itertools.pairwise(layers))


def _is_range(sigma: tuple) -> bool:
    if not all(isinstance(level, int | float) for level in sigma) or len(sigma) not in (1, 2):
        return False
    return 0 <= sigma[0] <= sigma[-1] <= MAX_SIGMA and sigma[-1] > 0


def _is_none_of_several(degrade: ConfigDict) -> bool:
    return degrade.sigma == (0,) and bool(degrade.poisson or degrade.jpeg)


def _are_qualities(qualities: tuple) -> bool:
    if not all(isinstance(q, int) for q in qualities) or len(qualities) not in (1, 2):
        return False
    return 1 <= qualities[0] <= qualities[-1] <= 100


def _are_chances(chances: tuple) -> bool:
    return len(chances) == 3 and all(isinstance(c, int | float) and 0 <= c <= 1 for c in chances)


def _are_scales(scales: tuple) -> bool:
    return bool(scales) and all(isinstance(s, int) and 2 <= s <= 8 for s in scales)


def _are_levels(protocol: str, levels: tuple) -> bool:
    if protocol in protocols("sr"):
        return not levels or _are_scales(levels)
    if protocol == "jpeg":
        return all(_are_qualities((level,)) for level in levels)
    return all(_is_range((level,)) for level in levels)


def _are_fractions(numbers: tuple) -> bool:
    return all(isinstance(f, int | float) and 0 < f < 1 for f in numbers)
