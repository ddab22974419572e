"""How a picture is cut into overlapping tiles that fit a memory budget, and what patches take.

A pixel's influence reaches T (q // 2 + 2) + 2 pixels, so tiles that overlap less differ from the
whole; on photographs the difference fades within a few dozen pixels (tests/bench/tiles.py). Tiles
are padded to a few fixed sizes, so that few programs are compiled; padding changes no pixel.
"""

import itertools
import math
import operator
from collections.abc import Iterator
from typing import NamedTuple

import psutil

from nlrn_jax.errors import UserError
from nlrn_jax.network.model import NLRN
from nlrn_jax.network.windowed import TILE, make_grid

SIDES = (32, 64, 96, 128, 192, 256, 320, 384, 448, 512)  # of compiled programs, pixels
MEMORY = 4 * 2**30  # bytes: more does not make it faster
HALO = 48  # pixels; on photographs keeps all within 1/255 of the whole: tests/bench/tiles.py


class Tile(NamedTuple):
    """What the network sees of a picture, and which part of its answer is kept."""

    seen: tuple[slice, slice]
    kept: tuple[slice, slice]


class Tiling(NamedTuple):
    """How a picture is computed: the network with its carry, padded sides, and the tiles."""

    model: NLRN
    sides: tuple[int, int]
    tiles: list[Tile]


def choose_tiling(model: NLRN, shape: tuple[int, int], memory: int, halo: int) -> Tiling:
    """Choose the carry and the tiles that need the least arithmetic within a memory budget.

    The picture itself, its float form and its result do not count: the network's work alone.

    Args:
      model: with a neighborhood.
      shape: rows and columns of the picture.
      memory: bytes that the computation may take.
      halo: pixels that a tile sees around what is kept of it.

    Raises:
      UserError: no tile with such a halo fits; names the memory that would do.
    """
    choices = list(_choices(model, shape, halo))
    fitting = [choice for choice in choices if choice.bytes <= memory]
    if not fitting:
        least = min(choices, key=operator.attrgetter("bytes"))
        raise UserError(
            f"a halo of {halo} pixels needs tiles of {least.sides[0]} x {least.sides[1]} and "
            f"{amount(least.bytes)}, more than the {amount(memory)} allowed: raise the memory to "
            "that" + (", or leave out exact" if halo > HALO else "")
        )
    best = min(fitting, key=operator.attrgetter("arithmetic"))
    return Tiling(model.clone(carry=best.carry), best.sides, cut(shape, best.sides, halo))


class _Choice(NamedTuple):
    """A way to compute a picture: its relative arithmetic, bytes, carry and padded sides."""

    arithmetic: float
    bytes: int
    carry: str
    sides: tuple[int, int]


_CARRIES = ("embeddings", "logits")


def _choices(model: NLRN, shape: tuple[int, int], halo: int) -> Iterator[_Choice]:
    """Yield every way to compute a picture, whatever it takes."""
    longest = max(shape)
    wider = (2 * halo + SIDES[0], 2 * halo + 128, longest) if halo > HALO else ()
    sides = (*SIDES, *(side for side in wider if side > SIDES[-1]))
    for carry in _CARRIES:
        for side in sides:
            padded = tuple(_padded(min(length, side), sides) for length in shape)
            tiled = any(length > p for length, p in zip(shape, padded, strict=True))
            if tiled and 2 * halo >= min(p for p, n in zip(padded, shape, strict=True) if n > p):
                continue
            counts = (len(_spans(n, p, halo)) for n, p in zip(shape, padded, strict=True))
            arithmetic = math.prod(counts) * math.prod(padded) * _arithmetic(model, carry)
            taken = math.prod(padded) * bytes_per_pixel(model, carry)
            yield _Choice(arithmetic, taken, carry, padded)


def _padded(length: int, sides: tuple[int, ...]) -> int:
    return min(side for side in sides if side >= length)


def bytes_per_pixel(model: NLRN, carry: str) -> int:
    """Estimate, slightly too high, the bytes a pixel that a compiled program takes.

    Measured by `compiled.memory_analysis()`; a test holds the estimate against it. The carry is
    held twice, as it comes into a state and as it leaves.
    """
    features = 40 * model.filters
    if not model.propagate:
        return features + 16 * model.embedding
    if carry == "embeddings":
        return features + 24 * model.steps * model.embedding
    rows, columns = make_grid((1, 1024, 1024), model.neighborhood).keys
    return features + 8 * rows * columns


def bytes_of_patch(model: NLRN, shape: tuple[int, int]) -> int:
    """Estimate, slightly too high, the bytes of one patch [H, W] in a compiled program.

    Where every position sees the whole patch the logits are most of it: its pixels squared, as
    they come into a state and as they leave.
    """
    pixels = math.prod(shape)
    if model.neighborhood is not None:
        count = math.prod(make_grid((1, *shape), model.neighborhood).tiles)  # whole ones
        return count * math.prod(TILE) * (bytes_per_pixel(model, model.carry) + 40 * model.filters)
    embeddings = 24 * model.steps * model.embedding if model.carry == "embeddings" else 0
    return pixels * (80 * model.filters + embeddings + 10 * pixels)


def patches_at_a_time(model: NLRN, shape: tuple[int, int], batch: int, memory: int | None) -> int:
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


def default_memory() -> int:
    """Return the memory budget, bytes: 4 GiB, or half of what is free where that is less."""
    return min(MEMORY, psutil.virtual_memory().available // 2)


def amount(count: int) -> str:
    """Write bytes as --memory takes them: '93MiB'; rounded up, so that it suffices."""
    unit = max(0, min(3, (max(int(count), 1).bit_length() - 1) // 10))
    return f"{math.ceil(10 * count / 1024**unit) / 10:g}{('B', 'KiB', 'MiB', 'GiB')[unit]}"


def _arithmetic(model: NLRN, carry: str) -> float:
    """Return the time a pixel relative to carried logits.

    Measured at 192 x 192 on 2 CPU cores: 15.7 s to 8.2 s for T l = 768, 1.39 s to 1.31 s for 64.
    Where both are alike, embeddings: they need less memory.
    """
    return 1 + model.steps * model.embedding / 768 if carry == "embeddings" else 1.05


def reach(model: NLRN) -> int:
    """Return how far a pixel's influence reaches: the halo that makes tiles exact."""
    return model.steps * (model.neighborhood // 2 + 2) + 2


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
    if length <= side:
        return [(slice(0, length), slice(0, length))]
    count = 1 + -(-(length - side) // (side - 2 * halo))
    starts = [i * (length - side) // (count - 1) for i in range(count)]
    parts = [(a + side + b) // 2 for a, b in itertools.pairwise(starts)]
    bounds = [0, *parts, length]
    return [
        (slice(start, start + side), slice(bounds[i], bounds[i + 1]))
        for i, start in enumerate(starts)
    ]
