"""Which network a configuration describes."""

import dataclasses

import jax
from ml_collections import ConfigDict

from nlrn_jax.network.dncnn import DnCNN
from nlrn_jax.network.model import NLRN

Model = NLRN | DnCNN
NETWORKS = {"nlrn": NLRN, "dncnn": DnCNN}  # by `model.network`
FIELDS = {"network": "nlrn"} | {  # of `model`, with a value of each field's type, or None
    field.name: field.default
    for kind in NETWORKS.values()
    for field in dataclasses.fields(kind)
    if field.name not in ("patch", "parent", "name")  # the last two are Flax's
}


def build_model(config: ConfigDict) -> Model:
    """Make the network of a configuration, of the fields of `model` that are its own.

    Raises:
      ValueError: a field that no network has.
    """
    unknown = [name for name in config.model if name not in FIELDS]
    if unknown:
        raise ValueError(f"model.{unknown[0]} is not known")
    kind = NETWORKS[config.model.network]
    own = {field.name for field in dataclasses.fields(kind)}
    fields = {name: value for name, value in config.model.items() if name in own}
    return kind(**fields, patch=config.data.patch)


def title_of(config: ConfigDict) -> str:
    """Return what people call the network of a configuration: 'NLRN' or 'DnCNN'."""
    return NETWORKS[config.model.network].__name__


def count_parameters(params: dict) -> int:
    """Count the trainable numbers in a tree."""
    return sum(p.size for p in jax.tree.leaves(params))
