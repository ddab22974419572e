"""A run's configuration: checked before anything long starts, kept with the weights.

`configs/base.py` says what each field means. A configuration is a `ConfigDict`; as JSON it lies in
the workdir and in every checkpoint.
"""

import json
import math
from typing import NamedTuple

from ml_collections import ConfigDict

from nlrn_jax.errors import UserError


class Protocol(NamedTuple):
    """What a protocol of `scoring/protocols.py` measures.

    Attributes:
      task: 'denoise' or 'sr'.
      field: of `degrade`; a level of the protocol is one of these.
      usual: levels that are scored where a network was trained for any.
    """

    task: str
    field: str
    usual: tuple[float, ...] = ()


PROTOCOLS = {
    "denoise": Protocol("denoise", "sigma", (15.0, 25.0, 50.0)),  # what papers report
    "denoise_clipped": Protocol("denoise", "sigma", (15.0, 25.0, 50.0)),
    "jpeg": Protocol("denoise", "jpeg", (10, 20, 30, 40)),  # what papers report
    "photo": Protocol("denoise", "poisson", (10.0, 20.0, 30.0)),
    "sr_y": Protocol("sr", "scales"),
    "sr_y_float": Protocol("sr", "scales"),
    "sr_rgb": Protocol("sr", "scales"),
}
MAX_SIGMA = 150  # grey levels: with more, noisy pictures are none that `restore` takes
DISTANCES = (  # of network/block.py, in the paper's words
    "embedded_gaussian", "symmetric_embedded_gaussian", "gaussian", "euclidean",
    "embedded_dot_product", "dot_product",
)  # fmt: skip
CLASSICAL = ("nl_means", "tv", "bm3d")  # baselines that `evaluate.classical` may name
_GAUSSIAN = ("denoise", "denoise_clipped")  # protocols whose level is the sigma that they ask for

# What may differ when a run is resumed. Another number of steps stretches the rest of the schedule.
FREE = (
    "model.carry", "model.remat", "train.steps", "data.eval", "data.root", "data.max_megapixels",
    "data.workers", "log", "checkpoint", "evaluate",
)  # fmt: skip

# Fields that runs of earlier versions lack, with the value that is what these versions did.
ADDED = {
    ("model", "share"): True, ("model", "distance"): "embedded_gaussian",
    ("data", "max_megapixels"): 135.0,
    ("train", "accumulate"): 1, ("train", "start"): "", ("train", "freeze_at"): 1.0,
    ("degrade", "poisson"): (), ("degrade", "jpeg"): (), ("degrade", "chances"): (1.0, 1.0, 1.0),
}  # fmt: skip


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
        ("model.distance", model.distance in DISTANCES, f"one of {', '.join(DISTANCES)}"),
        ("model.carry", model.carry in ("logits", "embeddings"), "'logits' or 'embeddings'"),
        ("model.remat", model.remat in ("nothing", "correlation", "states"),
         "'nothing', 'correlation' or 'states'"),
        ("model.dtype", model.dtype in ("float32", "bfloat16"), "'float32' or 'bfloat16'"),
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
        ("degrade.chances", bool(_happening(config)), "above 0 for something that is set"),
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
        ("train.freeze_at", 0 <= train.freeze_at <= 1, "a fraction of the run, 1 (never) or less"),
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
    ]  # fmt: skip
    _refuse_first(config, rules)
    check_evaluation(config)


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


def own_protocol(config: ConfigDict) -> str:
    """Return the protocol that measures what a network is trained for; it is validated by it."""
    if config.task == "sr":
        return "sr_y"
    happening = _happening(config)
    if "poisson" in happening:
        return "photo"
    return "jpeg" if set(happening) == {"jpeg"} else "denoise"


def measuring_protocol(config: ConfigDict) -> str:
    """Return the protocol that a network is evaluated by: `evaluate.protocol`, or its own."""
    return config.evaluate.protocol or own_protocol(config)


def levels(config: ConfigDict, protocol: str = "") -> tuple[float, ...]:
    """Return what a network is trained for, of what a protocol measures ('': its own).

    The level, the lowest and highest, or the scales; () where training has nothing of the kind.
    """
    return _happening(config).get(PROTOCOLS[protocol or own_protocol(config)].field, ())


def is_trained_for(config: ConfigDict, level: float, protocol: str = "") -> bool:
    """Say whether a network has met a level of a protocol ('': its own) in training."""
    known = levels(config, protocol)
    if config.task == "sr" or not known:
        return level in known
    return known[0] <= level <= known[-1]


def scored_levels(config: ConfigDict, protocol: str = "") -> tuple[float, ...]:
    """Return where a network is scored by a protocol, unless `evaluate.levels` says otherwise.

    By its own ('') it is validated there. The level or the scales; of a range the usual levels
    inside it, or else its middle: at its lowest there may be no noise to take away. The usual ones
    where it was trained for nothing of the kind.
    """
    protocol = protocol or own_protocol(config)
    known, usual = levels(config, protocol), PROTOCOLS[protocol].usual
    if config.task == "sr" or not known:
        return known or usual
    if known[0] == known[-1]:
        return known[:1]
    inside = tuple(level for level in usual if is_trained_for(config, level, protocol))
    middle = (known[0] + known[-1]) / 2
    return inside or (int(middle) if protocol == "jpeg" else middle,)


def protocols(task: str) -> list[str]:
    """Return the protocols that measure a task."""
    return [name for name, protocol in PROTOCOLS.items() if protocol.task == task]


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


def _happening(config: ConfigDict) -> dict[str, tuple[float, ...]]:
    """Return the levels of what happens to patches, by its field of `degrade`."""
    degrade = config.degrade
    if config.task == "sr":
        return {"scales": tuple(degrade.scales)}
    chances = zip(("poisson", "sigma", "jpeg"), degrade.chances, strict=False)
    return {name: tuple(degrade[name]) for name, chance in chances if chance and any(degrade[name])}


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


def _flatten(tree: object, prefix: str = "") -> dict:
    if not isinstance(tree, dict):
        return {prefix: tree}
    parts = (_flatten(v, f"{prefix}.{k}" if prefix else k) for k, v in tree.items())
    return {name: value for part in parts for name, value in part.items()}


def _tuples(tree: object) -> object:
    if isinstance(tree, dict):
        return {name: _tuples(value) for name, value in tree.items()}
    return tuple(tree) if isinstance(tree, list) else tree
