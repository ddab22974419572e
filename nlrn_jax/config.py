"""A run's configuration: checked before anything long starts, kept with the weights.

`configs/base.py` says what each field means. A configuration is a `ConfigDict`; as JSON it lies in
the workdir and in every checkpoint.
"""

import json
import math

from ml_collections import ConfigDict

from nlrn_jax.errors import UserError

TASKS = {  # what each protocol of `scoring/protocols.py` measures
    "denoise": "denoise",
    "denoise_clipped": "denoise",
    "sr_y": "sr",
    "sr_y_float": "sr",
    "sr_rgb": "sr",
}
PUBLISHED_SIGMAS = (15.0, 25.0, 50.0)  # what papers report, grey levels
MAX_SIGMA = 150  # grey levels: with more, noisy pictures are none that `restore` takes
CLASSICAL = ("nl_means", "tv", "bm3d")  # baselines that `evaluate.classical` may name

# What may differ when a run is resumed. Another number of steps stretches the rest of the schedule.
FREE = (
    "model.carry", "model.remat", "train.steps", "data.eval", "data.root", "data.max_megapixels",
    "data.workers", "log", "checkpoint", "evaluate",
)  # fmt: skip

# Fields that runs of earlier versions lack, with the value that is what these versions did.
ADDED = {
    ("train", "accumulate"): 1,
    ("train", "start"): "",
    ("model", "share"): True,
    ("data", "max_megapixels"): 135.0,
}


def check(config: ConfigDict) -> None:
    """Check every field that could go wrong later.

    Raises:
      UserError: naming the first wrong field, its value, and what it should be.
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
        ("model.remat", model.remat in ("nothing", "correlation", "states"),
         "'nothing', 'correlation' or 'states'"),
        ("model.dtype", model.dtype in ("float32", "bfloat16"), "'float32' or 'bfloat16'"),
        ("degrade.sigma", _is_range(degrade.sigma),
         "(level,) above 0, or (lowest, highest) from 0 on, up to 150"),
        ("degrade.scales", _are_scales(degrade.scales), "whole numbers from 2 to 8, as in (3,)"),
        ("data.holdout", data.holdout >= 0, "0 or more images"),
        ("data.patch", data.patch >= 1, "1 or more pixels"),
        ("data.max_megapixels", 0 < data.max_megapixels < math.inf, "above 0, as 200.0"),
        ("data.workers", 0 <= data.workers <= 256, "0 (threads), or processes, up to 256"),
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
        ("checkpoint.validation_share", 0 <= config.checkpoint.validation_share <= 1,
         "0 (never) to 1 (each checkpoint)"),
        # shaved and cut to a multiple of any scale, it still holds the 11 pixels of SSIM
        ("checkpoint.crop", config.checkpoint.crop >= 32, "32 or more pixels"),
        ("evaluate.patch", config.evaluate.patch >= 1, "1 or more pixels"),
        ("evaluate.stride", 1 <= config.evaluate.stride <= config.evaluate.patch,
         "1 to evaluate.patch: a larger one leaves gaps"),
        ("evaluate.batch", config.evaluate.batch >= 1, "1 or more patches"),
        ("evaluate.protocol", config.evaluate.protocol in ("", *protocols(config.task)),
         f"{' or '.join(protocols(config.task))} for the task {config.task!r}"),
        ("evaluate.levels", _are_levels(config.task, config.evaluate.levels),
         "noise levels above 0 and up to 150, as (15.0, 25.0), or scales from 2 to 8, as (2, 3), "
         "by the task"),
        ("evaluate.classical", config.task == "denoise" or not config.evaluate.classical,
         "empty: the classical baselines denoise"),
        ("evaluate.classical", set(classical_names(config)) <= set(CLASSICAL),
         f"some of {', '.join(CLASSICAL)}, with commas between"),
    ]  # fmt: skip
    for field, right, wanted in rules:
        if not right:
            raise UserError(f"config.{field}={get(config, field)!r} should be {wanted}")


def levels(config: ConfigDict) -> tuple[float, ...]:
    """Return what a network is trained for: the noise level, the lowest and highest, the scales."""
    return tuple(config.degrade.sigma if config.task == "denoise" else config.degrade.scales)


def is_trained_for(config: ConfigDict, level: float) -> bool:
    """Say whether a network has met a noise level, or a scale, in training."""
    known = levels(config)
    return level in known if config.task == "sr" else known[0] <= level <= known[-1]


def scored_levels(config: ConfigDict) -> tuple[float, ...]:
    """Return where a network is validated, and evaluated unless `evaluate.levels` says otherwise.

    The noise level or the scales; of a range the published levels inside it, or else its middle: at
    its lowest there may be no noise to take away.
    """
    known = levels(config)
    if config.task == "sr" or known[0] == known[-1]:
        return known if config.task == "sr" else known[:1]
    inside = tuple(level for level in PUBLISHED_SIGMAS if is_trained_for(config, level))
    return inside or ((known[0] + known[-1]) / 2,)


def protocols(task: str) -> list[str]:
    """Return the protocols that measure a task, its own first."""
    return [name for name, its_task in TASKS.items() if its_task == task]


def classical_names(config: ConfigDict) -> list[str]:
    """Return the classical baselines that are asked for."""
    return [name.strip() for name in config.evaluate.classical.split(",") if name.strip()]


def evaluated_as(run: ConfigDict, given: ConfigDict) -> ConfigDict:
    """Return the configuration that a run is evaluated with.

    Network, task and training are the run's; what is measured, and how, is as given: `seed`,
    `data.eval`, `data.root` and `evaluate`.
    """
    config = ConfigDict(run.to_dict())
    config.seed, config.evaluate = given.seed, ConfigDict(given.evaluate.to_dict())
    config.data.eval, config.data.root = given.data.eval, given.data.root
    return config.lock()


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


def flatten(config: ConfigDict) -> dict:
    """Return {'section.field': value}, the values as JSON keeps them (tuples are lists)."""
    return _flatten(json.loads(to_json(config)))


def differences(old: ConfigDict, new: ConfigDict) -> list[str]:
    """List the fields, with both values, in which two runs are not the same run."""
    old_fields, new_fields = flatten(old), flatten(new)
    return [
        f"{name}: {old_fields.get(name)!r} there, {new_fields.get(name)!r} now"
        for name in sorted(old_fields | new_fields)
        if not any(name == free or name.startswith(free + ".") for free in FREE)
        and old_fields.get(name) != new_fields.get(name)
    ]


def _is_window(neighborhood: int | None) -> bool:
    return neighborhood is None or (neighborhood >= 1 and neighborhood % 2 == 1)


def _is_range(sigma: tuple) -> bool:
    if not all(isinstance(level, int | float) for level in sigma):
        return False
    if len(sigma) not in (1, 2):
        return False
    return 0 <= sigma[0] <= sigma[-1] <= MAX_SIGMA and sigma[-1] > 0


def _are_scales(scales: tuple) -> bool:
    return bool(scales) and all(isinstance(s, int) and 2 <= s <= 8 for s in scales)


def _are_levels(task: str, levels: tuple) -> bool:
    if task == "sr":
        return not levels or _are_scales(levels)
    return all(isinstance(level, int | float) and 0 < level <= MAX_SIGMA for level in levels)


def _are_fractions(numbers: tuple) -> bool:
    return all(isinstance(f, int | float) and 0 < f < 1 for f in numbers)


def _flatten(tree: object, prefix: str = "") -> dict:
    if not isinstance(tree, dict):
        return {prefix: tree}
    parts = (_flatten(v, f"{prefix}.{k}" if prefix else k) for k, v in tree.items())
    return {name: value for part in parts for name, value in part.items()}


def _tuples(tree: object) -> object:
    if isinstance(tree, dict):
        return {name: _tuples(value) for name, value in tree.items()}
    return tuple(tree) if isinstance(tree, list) else tree
