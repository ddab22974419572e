"""How a picture is cut into overlapping tiles that fit a memory budget.

A pixel's influence has a `reach`, so tiles that overlap less differ from the whole; on photographs
the difference fades within a window or so, the `halo` (tests/bench/tiles.py). Tiles are
padded to a few fixed sizes, so that few programs are compiled; padding changes no pixel.
"""

import itertools
import math
import operator
from collections.abc import Iterator
from typing import NamedTuple

import jax

from nlrn_jax.errors import UserError
from nlrn_jax.network.build import Model
from nlrn_jax.restoring.memory import amount, bytes_of_tile

SIDES = tuple(range(32, 513, 32))  # of compiled programs, pixels
SIDE_BY_SIDE = 2  # tiles, for which times and memories are compared
ALONE = 0.7  # the time of a tile that has a CPU to itself; side by side each takes 1
THRIFT = 0.2  # half the memory is worth 15 percent of the time: 0.5 ** -0.2 ...
LITTLE = 2**29  # ... until it is less than that, bytes


class Tile(NamedTuple):
    """What the network sees of a picture, and which part of its answer is kept."""

    seen: tuple[slice, slice]
    kept: tuple[slice, slice]


class Tiling(NamedTuple):
    """How a picture is computed: the form of the network, padded sides, and the tiles.

    `at_a_time` is how many of them the memory has room for.
    """

    model: Model
    sides: tuple[int, int]
    tiles: list[Tile]
    at_a_time: int = 1


def choose_tiling(model: Model, shape: tuple[int, int], memory: int, halo: int) -> Tiling:
    """Choose the form of the network and the tiles that take little time, and little memory.

    The picture itself, its float form and its result do not count: the network's work alone. The
    choice does not depend on how many cores or devices there are, and so neither does any pixel.

    Args:
      model: with a neighborhood.
      shape: rows and columns of the picture.
      memory: bytes that the computation may take.
      halo: pixels that a tile sees around what is kept of it.

    Raises:
      UserError: no tile with such a halo fits; names the memory that would do.
    """
    choices = list(_choices(model, shape, memory, halo))
    fitting = [choice for choice in choices if choice.bytes <= memory]
    if not fitting:
        least = min(choices, key=operator.attrgetter("bytes"))
        raise UserError(
            f"a halo of {halo} pixels needs tiles of {least.sides[0]} x {least.sides[1]} and "
            f"{amount(least.bytes)}, more than the {amount(memory)} allowed: raise the memory to "
            "that" + (", or leave out exact" if halo > model.halo else "")
        )
    best = min(fitting, key=lambda choice: choice.time * max(choice.taken, LITTLE) ** THRIFT)
    tiles = cut(shape, best.sides, halo)
    at_a_time = int(min(len(tiles), memory // best.bytes))  # the memory may be float, or infinite
    return Tiling(best.model, best.sides, tiles, at_a_time)


class _Choice(NamedTuple):
    """A way to compute a picture.

    Attributes:
      time: relative, of two tiles side by side.
      taken: bytes that are taken then.
      bytes: of one tile.
      model, sides: how its correlation is carried, and what it is padded to.
    """

    time: float
    taken: int
    bytes: int
    model: Model
    sides: tuple[int, int]


def _choices(model: Model, shape: tuple[int, int], memory: int, halo: int) -> Iterator[_Choice]:
    """Yield every way to compute a picture, whatever it takes."""
    alone = ALONE if jax.default_backend() == "cpu" else 1 / SIDE_BY_SIDE
    for padded in itertools.product(*(_sides(length, halo) for length in shape)):
        count = math.prod(_count(n, p, halo) for n, p in zip(shape, padded, strict=True))
        for form in model.forms:
            taken = bytes_of_tile(form, padded)
            together = int(max(1, min(count, SIDE_BY_SIDE, memory // taken)))
            work = math.prod(padded) * count * _work(form)
            time = work * (alone if together == 1 else 1 / SIDE_BY_SIDE)
            yield _Choice(time, together * taken, taken, form, padded)


def _sides(length: int, halo: int) -> list[int]:
    """Return what tiles may be padded to along an axis: to overlap, or to hold all of it."""
    wider = (2 * halo + SIDES[0], 2 * halo + 128, length) if 4 * halo > SIDES[-1] else ()
    sides = sorted({*SIDES, *wider})
    return [s for s in sides if 2 * halo < s < length] + [s for s in sides if s >= length][:1]


def _work(model: Model) -> float:
    """Return the time a pixel relative to carried logits.

    Measured on 2 CPU cores: 0.76 for T l = 64, 0.95 for 128, 1.1 for 256, 2.0 for 768.
    """
    columns = (model.looks + 1) * model.compared / 2  # in the mean of all states
    return 0.63 + 0.0033 * columns if model.carry == "embeddings" else 1.0


def cut(shape: tuple[int, int], sides: tuple[int, int], halo: int) -> list[Tile]:
    """Cut a picture into tiles of at most `sides` whose kept parts cover it once."""
    rows, columns = (_spans(n, side, halo) for n, side in zip(shape, sides, strict=True))
    return [
        Tile((seen_rows, seen_columns), (kept_rows, kept_columns))
        for seen_rows, kept_rows in rows
        for seen_columns, kept_columns in columns
    ]


def _spans(length: int, side: int, halo: int) -> list[tuple[slice, slice]]:
    """Return (seen, kept) along one axis; neighbours part in the middle of their overlap."""
    count = _count(length, side, halo)
    if count == 1:
        return [(slice(0, length), slice(0, length))]
    starts = [i * (length - side) // (count - 1) for i in range(count)]
    parts = [(a + side + b) // 2 for a, b in itertools.pairwise(starts)]
    bounds = [0, *parts, length]
    return [
        (slice(start, start + side), slice(bounds[i], bounds[i + 1]))
        for i, start in enumerate(starts)
    ]


def _count(length: int, side: int, halo: int) -> int:
    """Count the tiles along one axis."""
    return 1 + -(-(length - side) // (side - 2 * halo)) if length > side else 1
