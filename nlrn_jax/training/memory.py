"""Whether a training step has room at all, said before anything is compiled.

`--mode=plan` says what a step takes, by compiling it. This is less than any compiler can do with:
what the backward pass needs of the forward one, and nothing besides.
"""

import functools

import jax
import psutil
from ml_collections import ConfigDict

from nlrn_jax.errors import UserError
from nlrn_jax.network.build import build_model, count_parameters
from nlrn_jax.network.grid import TILE, make_grid
from nlrn_jax.training.state import fresh_variables

GIB = 2**30


def require_memory(config: ConfigDict) -> None:
    """Refuse a training step that surely does not fit the devices of this process.

    Raises:
      UserError: names the fields that would make it smaller.
    """
    least, there = least_bytes(config, jax.device_count()), _memory_of_a_device()
    if least > there:
        side = config.data.patch
        raise UserError(
            f"a step of config.train.batch={config.train.batch} patches of config.data.patch={side}"
            f" needs {least / GIB:.1f} GiB a device or more, and {there / GIB:.1f} GiB are free: "
            "lower one of them, or raise config.train.accumulate"
            + (", or set config.model.carry=embeddings" if config.model.network == "nlrn" else "")
        )


def least_bytes(config: ConfigDict, devices: int) -> int:
    """Return what a step takes on each device at least: logits and features, kept for the gradient.

    Carried logits are kept in every state, or twice where they are formed again; without them the
    features alone count.
    """
    model, side = build_model(config), config.data.patch
    count = max(1, config.train.batch // config.train.accumulate // devices)
    keeps = config.model.remat == "nothing"
    logits = 0
    if model.hands_on and model.carry == "logits":
        logits = (model.looks if keeps else 2) * count * _logits(model.neighborhood, side)
    features = 2 * model.maps * count * side**2 * model.filters  # bfloat16 at the least
    shapes = jax.eval_shape(functools.partial(fresh_variables, model), jax.random.key(0))
    weights = count_parameters(shapes["params"])
    return 4 * logits + features + 16 * weights  # with their gradients and two moments


def _logits(neighborhood: int | None, side: int) -> int:
    """Return the numbers that one patch's correlation has."""
    if neighborhood is None:
        return side**4
    grid = make_grid((1, side, side), neighborhood)
    _, rows, columns = grid.tiles
    return rows * columns * TILE[0] * TILE[1] * grid.keys[0] * grid.keys[1]


def _memory_of_a_device() -> float:
    """Return the bytes that a device of this process may take; CPU devices share the free RAM."""
    device = jax.local_devices()[0]
    limit = (device.memory_stats() or {}).get("bytes_limit")
    shared = jax.local_device_count() if device.platform == "cpu" else 1
    return limit or (psutil.virtual_memory().available + psutil.swap_memory().free) / shared
