"""A configuration as it is kept: JSON in the workdir, in every checkpoint and beside weights."""

import json

from ml_collections import ConfigDict

# What may differ when a run is resumed. Another number of steps stretches the rest of the schedule.
FREE = (
    "model.carry", "model.remat", "train.steps", "data.eval", "data.root", "data.max_megapixels",
    "data.workers", "log", "checkpoint", "evaluate",
)  # fmt: skip

# Fields that runs of earlier versions lack, with the value that is what these versions did.
ADDED = {
    ("model", "network"): "nlrn", ("model", "depth"): 17, ("model", "norms"): True,
    ("model", "blocks"): (), ("model", "share"): True, ("model", "distance"): "embedded_gaussian",
    ("data", "max_megapixels"): 135.0,
    ("train", "accumulate"): 1, ("train", "start"): "", ("train", "freeze_at"): 1.0,
    ("degrade", "poisson"): (), ("degrade", "jpeg"): (), ("degrade", "chances"): (1.0, 1.0, 1.0),
}  # fmt: skip


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


def evaluated_as(run: ConfigDict, given: ConfigDict) -> ConfigDict:
    """Return the configuration that a run is evaluated with.

    Network, task and training are the run's; what is measured, and how, is as given: `seed`,
    `data.eval`, `data.root` and `evaluate`.
    """
    config = ConfigDict(run.to_dict())
    config.seed, config.evaluate = given.seed, ConfigDict(given.evaluate.to_dict())
    config.data.eval, config.data.root = given.data.eval, given.data.root
    return config.lock()


def _flatten(tree: object, prefix: str = "") -> dict:
    if not isinstance(tree, dict):
        return {prefix: tree}
    parts = (_flatten(v, f"{prefix}.{k}" if prefix else k) for k, v in tree.items())
    return {name: value for part in parts for name, value in part.items()}


def _tuples(tree: object) -> object:
    if isinstance(tree, dict):
        return {name: _tuples(value) for name, value in tree.items()}
    return tuple(tree) if isinstance(tree, list) else tree
