"""What restoring takes of memory: estimates, slightly too high, of the compiled programs.

Measured by `compiled.memory_analysis()`; tests hold the estimates against it.
"""

import math

import psutil

from nlrn_jax.errors import UserError
from nlrn_jax.network.build import Model
from nlrn_jax.network.grid import TILE, make_grid

MEMORY = 4 * 2**30  # bytes: more does not make it faster


def default_memory() -> int:
    """Return the memory budget, bytes: 4 GiB, or half of what is free where that is less."""
    return min(MEMORY, psutil.virtual_memory().available // 2)


def bytes_of_tile(model: Model, shape: tuple[int, int]) -> int:
    """Estimate the bytes that a tile [H, W] takes, seen in the network's windows.

    Features, what surrounds them for the windows of the border, the carry, and the logits of the
    few queries that are at work.
    """
    if not model.looks:
        return 9 * math.prod(shape) * model.filters
    grid = make_grid((1, *shape), model.neighborhood)
    positions = math.prod(grid.tiles) * math.prod(TILE)
    surrounded = math.prod(side + 2 * grid.radius for side in shape)
    queries, keys, stack = math.prod(TILE), math.prod(grid.keys), model.looks * model.compared
    features = (20 * positions + 4 * surrounded) * model.filters + 12 * queries * keys
    if not model.hands_on:
        return features + 4 * (positions + surrounded) * model.compared
    features += 8 * positions * model.filters
    if model.carry == "embeddings":
        return features + (13 * positions + 4 * surrounded) * stack
    return features + 8 * positions * keys  # once from jax 0.10 on, twice before


def bytes_of_patch(model: Model, shape: tuple[int, int]) -> int:
    """Estimate the bytes of one patch [H, W].

    Where every position sees the whole patch the logits are most of it: its pixels squared, as
    they come into a state and as they leave.
    """
    if model.neighborhood is not None or not model.looks:
        return bytes_of_tile(model, shape)
    pixels = math.prod(shape)
    embeddings = 24 * model.looks * model.compared if model.carry == "embeddings" else 0
    return pixels * (80 * model.filters + embeddings + 10 * pixels)


def patches_at_a_time(model: Model, shape: tuple[int, int], batch: int, memory: int | None) -> int:
    """Return how many patches [H, W] to compute at a time: `batch`, or as many as fit the memory.

    Raises:
      UserError: not even one fits; names the largest that does.
    """
    memory = default_memory() if memory is None else memory
    taken = bytes_of_patch(model, shape)
    if taken <= memory:
        return min(batch, memory // taken)
    fitting = [s for s in range(1, max(shape)) if bytes_of_patch(model, (s, s)) <= memory]
    smaller = f"name patches of {fitting[-1]} or less, or raise" if fitting else "raise"
    raise UserError(
        f"a patch of {shape[0]} x {shape[1]} takes {amount(taken)}, more than the {amount(memory)} "
        f"allowed: {smaller} the memory to that"
    )


def amount(count: int) -> str:
    """Write bytes as --memory takes them: '93MiB'; rounded up, so that it suffices."""
    unit = max(0, min(3, (max(int(count), 1).bit_length() - 1) // 10))
    return f"{math.ceil(10 * count / 1024**unit) / 10:g}{('B', 'KiB', 'MiB', 'GiB')[unit]}"
