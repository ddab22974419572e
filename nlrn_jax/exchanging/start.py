"""A run that begins with the weights of another network: fine-tuning.

What has the same name and shape is copied. Of a network of other channels the first and last
convolution are spread or averaged over the channels: of a grey denoiser each of three channels is
seen a third, and gets the same correction. All else starts fresh, and is said.
"""

import functools
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from nlrn_jax.errors import UserError
from nlrn_jax.exchanging.file import flat, nested
from nlrn_jax.exchanging.stored import load_trained
from nlrn_jax.network.build import build_model
from nlrn_jax.training.run import newest_step
from nlrn_jax.training.state import fresh_variables

# Arrays with an axis of channels: which it is, and whether its parts add up.
_CHANNELS = {
    "params.input_conv.kernel": (2, True),
    "params.input_norm.scale": (0, False),
    "params.input_norm.bias": (0, False),
    "batch_stats.input_norm.mean": (0, False),
    "batch_stats.input_norm.var": (0, False),
    "params.output_conv.kernel": (3, False),
    "params.output_conv.bias": (0, False),
}


class Start(NamedTuple):
    """Variables to begin with, None for fresh ones, and what is said of them."""

    variables: dict | None = None
    remark: str = ""


def start_of(config: ConfigDict, workdir: str | Path) -> Start:
    """Return what `train.start` names as the start of a run; nothing where the run goes on.

    Raises:
      UserError: no network is there, or its convolutions do not fit.
    """
    source = config.train.start
    if not source or newest_step(workdir):  # what it started from may be gone by then
        return Start()
    model, variables = load_trained(source)
    own = build_model(config)
    if type(model) is not type(own):
        raise UserError(
            f"config.train.start={source!r}: is a {type(model).__name__}, the run a "
            f"{type(own).__name__}; set config.model.network, or leave it out"
        )
    drawn = jax.jit(functools.partial(fresh_variables, own))(jax.random.key(config.seed))
    fresh = dict(flat(jax.device_get(drawn)))
    there = {name: np.asarray(array) for name, array in flat(variables)}
    fitted = {name: _fitted(name, there.get(name), array) for name, array in fresh.items()}
    if model.filters != own.filters:
        raise UserError(
            f"config.train.start={source!r}: has {model.filters} filters, the run {own.filters}, "
            "so that none of its convolutions fit; set config.model.filters, or leave it out"
        )
    begun = {name: fresh[name] if array is None else array for name, array in fitted.items()}
    return Start(nested(begun), _remark(source, there, fresh, fitted))


def _fitted(name: str, array: np.ndarray | None, fresh: np.ndarray) -> np.ndarray | None:
    """Return an array as it fits in the place of a fresh one; None where it does not."""
    if array is None or array.shape == fresh.shape:
        return array
    axis, adds = _CHANNELS.get(name, (None, False))
    if axis is None or array.take([0], axis).shape != fresh.take([0], axis).shape:
        return None
    mean = array.mean(axis, keepdims=True)
    share = array.shape[axis] / fresh.shape[axis] if adds else 1
    return np.repeat(mean * np.float32(share), fresh.shape[axis], axis)


def _remark(source: str, there: dict, fresh: dict, fitted: dict) -> str:
    copied = [name for name, array in fitted.items() if array is not None]
    spread = [name for name in copied if there[name].shape != fresh[name].shape]
    lacking = [name for name, array in fitted.items() if array is None]
    said = f"starts from {source}: {len(copied)} of {len(fresh)} arrays"
    if spread:
        said += f"; of other channels, spread over its own: {', '.join(spread)}"
    return said + (f"; starts fresh: {', '.join(lacking)}" if lacking else "")
