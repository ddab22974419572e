"""A run's configuration: checked before anything long starts, kept with the weights.

`configs/base.py` says what each field means. A configuration is a `ConfigDict`; as JSON it lies in
the workdir and in every checkpoint.
"""

import json
import math

from ml_collections import ConfigDict

from nlrn_jax.model import NLRN

# What may differ when a run is resumed. Another number of steps stretches the rest of the schedule.
FREE = (
    "model.carry", "model.remat", "train.steps", "data.eval", "data.workers", "log", "checkpoint",
    "evaluate",
)  # fmt: skip

# Fields that runs of earlier versions lack, with the value that is what these versions did.
ADDED = {("train", "accumulate"): 1}


class ConfigError(ValueError):
    """A field of the configuration that cannot be; the message names it and the mend."""


def check(config: ConfigDict) -> None:
    """Check every field that could go wrong later.

    Raises:
      ConfigError: naming the first wrong field, its value, and what it should be.
    """
    model, degrade, data, train = config.model, config.degrade, config.data, config.train
    rules = [
        ("task", config.task in ("denoise", "sr"), "'denoise' or 'sr'"),
        ("seed", 0 <= config.seed < 2**32, "0 to 4294967295"),
        ("model.channels", model.channels in (1, 3), "1 (grey or luma) or 3 (colour)"),
        ("model.filters", model.filters >= 1, "1 or more"),
        ("model.embedding", model.embedding >= 1, "1 or more"),
        ("model.steps", model.steps >= 1, "1 or more states"),
        ("model.neighborhood", _is_window(model.neighborhood), "odd, or None for the whole patch"),
        ("model.carry", model.carry in ("logits", "embeddings"), "'logits' or 'embeddings'"),
        ("model.dtype", model.dtype in ("float32", "bfloat16"), "'float32' or 'bfloat16'"),
        ("degrade.sigma", _is_range(degrade.sigma), "(level,) or (lowest, highest), above 0"),
        ("degrade.scales", _are_scales(degrade.scales), "whole numbers from 2 to 8, as in (3,)"),
        ("data.holdout", data.holdout >= 0, "0 or more images"),
        ("data.patch", data.patch >= 1, "1 or more pixels"),
        ("data.workers", data.workers >= 0, "0 (threads) or the number of processes"),
        ("train.steps", train.steps >= 1, "1 or more"),
        ("train.batch", train.batch >= 1, "1 or more"),
        ("train.accumulate", train.accumulate >= 1 and train.batch % train.accumulate == 0,
         "1 or more micro-batches, and a divisor of train.batch"),
        ("train.learning_rate", 0 < train.learning_rate < math.inf, "above 0"),
        ("train.schedule", train.schedule in ("halve", "cosine"), "'halve' or 'cosine'"),
        ("train.halve_at", _are_fractions(train.halve_at), "fractions of the run, as (0.5,)"),
        ("train.clip", train.clip >= 0, "0 (off) or a norm"),
        ("train.loss_crop", 0 <= train.loss_crop <= data.patch, "0 (all) to data.patch"),
        ("train.ema", 0 <= train.ema < 1, "0 (off) or a decay below 1"),
        ("log.every", config.log.every >= 1, "1 or more steps"),
        ("checkpoint.every", config.checkpoint.every >= 1, "1 or more steps"),
        ("checkpoint.keep", config.checkpoint.keep >= 1, "1 or more checkpoints"),
        # shaved and cut to a multiple of any scale, it still holds the 11 pixels of SSIM
        ("checkpoint.crop", config.checkpoint.crop >= 32, "32 or more pixels"),
        ("evaluate.patch", config.evaluate.patch >= 1, "1 or more pixels"),
        ("evaluate.stride", 1 <= config.evaluate.stride <= config.evaluate.patch,
         "1 to evaluate.patch: a larger one leaves gaps"),
        ("evaluate.batch", config.evaluate.batch >= 1, "1 or more patches"),
    ]  # fmt: skip
    for field, right, wanted in rules:
        if not right:
            raise ConfigError(f"config.{field}={get(config, field)!r} should be {wanted}")


def build_model(config: ConfigDict) -> NLRN:
    """Make the network that a configuration describes."""
    return NLRN(**config.model.to_dict())


def levels(config: ConfigDict) -> tuple[float, ...]:
    """Return what is evaluated one after the other: the noise levels, or the scales."""
    return tuple(config.degrade.sigma if config.task == "denoise" else config.degrade.scales)


def window(config: ConfigDict) -> int:
    """Return the window to restore whole pictures with: the network's own, or its patch's side."""
    return config.model.neighborhood or config.data.patch | 1


def get(config: ConfigDict, field: str):
    """Return the value of a dotted field."""
    for name in field.split("."):
        config = config[name]
    return config


def to_json(config: ConfigDict) -> str:
    """Write a configuration as JSON, indented for people."""
    return json.dumps(config.to_dict(), indent=2) + "\n"


def from_json(text: str) -> ConfigDict:
    """Read what `to_json` wrote; lists become tuples again."""
    config = ConfigDict(_tuples(json.loads(text)))
    for (section, name), value in ADDED.items():
        if name not in config[section]:
            config[section][name] = value
    return config.lock()


def differences(old: ConfigDict, new: ConfigDict) -> list[str]:
    """List the fields, with both values, in which two runs are not the same run."""
    old_fields, new_fields = (_flatten(json.loads(to_json(config))) for config in (old, new))
    return [
        f"{name}: {old_fields.get(name)!r} there, {new_fields.get(name)!r} now"
        for name in sorted(old_fields | new_fields)
        if not any(name == free or name.startswith(free + ".") for free in FREE)
        and old_fields.get(name) != new_fields.get(name)
    ]


def _is_window(neighborhood) -> bool:
    return neighborhood is None or (neighborhood >= 1 and neighborhood % 2 == 1)


def _is_range(sigma) -> bool:
    if not all(isinstance(level, int | float) for level in sigma):
        return False
    return len(sigma) in (1, 2) and all(0 < s < math.inf for s in sigma) and sigma[0] <= sigma[-1]


def _are_scales(scales) -> bool:
    return bool(scales) and all(isinstance(s, int) and 2 <= s <= 8 for s in scales)


def _are_fractions(numbers) -> bool:
    return all(isinstance(f, int | float) and 0 < f < 1 for f in numbers)


def _flatten(tree, prefix="") -> dict:
    if not isinstance(tree, dict):
        return {prefix: tree}
    parts = (_flatten(v, f"{prefix}.{k}" if prefix else k) for k, v in tree.items())
    return {name: value for part in parts for name, value in part.items()}


def _tuples(tree):
    if isinstance(tree, dict):
        return {name: _tuples(value) for name, value in tree.items()}
    return tuple(tree) if isinstance(tree, list) else tree
