"""The tiles of a batch of images, and the walk over them, one after another or many at a time."""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

TOGETHER = 2**27  # bytes of the logits of the tiles that are computed at a time beside a CPU
TILE = (8, 16)  # rows and columns of queries; chosen by tests/bench/non_local.py
IN_PLACE = jax.__version_info__ >= (0, 10, 2)  # whether XLA:CPU overwrites what a scan carries

Corner = tuple[jax.Array, jax.Array, jax.Array]  # image, row and column of a tile's first query
OfTile = Callable[[Corner, jax.Array | None], tuple]


class Grid(NamedTuple):
    """The tiles of a batch of `count` images of `height` x `width` under windows of `radius`."""

    count: int
    height: int
    width: int
    radius: int

    @property
    def tiles(self) -> tuple[int, int, int]:
        """Return images, rows and columns of tiles."""
        return self.count, -(-self.height // TILE[0]), -(-self.width // TILE[1])

    @property
    def keys(self) -> tuple[int, int]:
        """Return rows and columns of the keys that a tile is compared with."""
        return TILE[0] + 2 * self.radius, TILE[1] + 2 * self.radius

    @property
    def logits(self) -> tuple[int, int, int, int]:
        """Return images, tiles, queries and keys: the shape of a correlation."""
        images, *tiles = self.tiles
        return images, math.prod(tiles), math.prod(TILE), math.prod(self.keys)

    @property
    def corners(self) -> Corner:
        """Return image, row and column of every tile's first query, three arrays [tiles]."""
        steps = zip(range(3), (1, *TILE), strict=True)
        return tuple(
            lax.broadcasted_iota(jnp.int32, self.tiles, axis).reshape(-1) * step
            for axis, step in steps
        )


def make_grid(shape: tuple[int, ...], neighborhood: int) -> Grid:
    """Return the grid for [N, H, W, ...]; a window wider than the image shrinks to it.

    One of symbolic height or width, as `jax.export` has them, cannot be compared and keeps its
    window.
    """
    count, height, width = shape[:3]
    radius = neighborhood // 2
    if isinstance(height, int) and isinstance(width, int):
        radius = min(radius, max(height, width) - 1)
    return Grid(count, height, width, radius)


def walk(of_one_tile: OfTile, correlation: jax.Array | None, grid: Grid) -> tuple:
    """Apply a function of a tile's corner and logits to all; the last of its results are logits.

    A CPU takes one tile after another. Beside it many are computed at a time.
    """

    def one_by_one(correlation: jax.Array | None) -> tuple:
        xs = grid.corners, in_row(correlation)
        return tuple(by_image(x, grid) for x in lax.map(lambda x: of_one_tile(*x), xs))

    many = functools.partial(_many_at_a_time, of_one_tile, grid=grid)
    return lax.platform_dependent(correlation, cpu=one_by_one, default=many)


def walk_in_place(of_one_tile: OfTile, correlation: jax.Array | None, grid: Grid) -> tuple:
    """Do the same; a CPU writes the logits where those before were, which halves their memory.

    Not for what asks for the normaliser: XLA:CPU reads the old logits for it after they should
    have been overwritten, and so copies those of all tiles at every tile (jaxlib 0.10.2). Before
    that version it always does, and they are written anew: 20 times faster (tests/bench/README.md).
    """
    if not IN_PLACE:
        return walk(of_one_tile, correlation, grid)

    def one_by_one(correlation: jax.Array | None) -> tuple:
        def step(
            correlation: jax.Array | None, x: tuple[jax.Array, Corner]
        ) -> tuple[jax.Array | None, tuple[jax.Array, ...]]:
            index, corner = x
            *others, logits = of_one_tile(corner, _at(correlation, index))
            return _set(correlation, logits, index), tuple(others)

        corners = grid.corners
        xs = jnp.arange(corners[0].shape[0], dtype=jnp.int32), corners
        logits, others = lax.scan(step, in_row(correlation), xs)
        return *(by_image(x, grid) for x in others), by_image(logits, grid)

    many = functools.partial(_many_at_a_time, of_one_tile, grid=grid)
    return lax.platform_dependent(correlation, cpu=one_by_one, default=many)


def _many_at_a_time(of_one_tile: OfTile, correlation: jax.Array | None, grid: Grid) -> tuple:
    xs = grid.corners, in_row(correlation)
    groups = jax.tree.map(functools.partial(_grouped, grid=grid), xs)
    results = lax.map(lambda group: jax.vmap(of_one_tile)(*group), groups)
    tiles = grid.count * grid.logits[1]  # without those that filled the last group
    return jax.tree.map(lambda x: by_image(in_row(x)[:tiles], grid), results)


def _grouped(x: jax.Array, grid: Grid) -> jax.Array:
    """Put tiles [tiles, ...] into groups to compute at a time, the last filled up with zeros."""
    tiles, together = x.shape[0], max(1, TOGETHER // (4 * math.prod(grid.logits[2:])))
    if isinstance(tiles, int):  # and not symbolic
        together = min(together, tiles)
    groups = -(-tiles // together)
    missing = [(0, groups * together - tiles), *[(0, 0)] * (x.ndim - 1)]
    return jnp.pad(x, missing).reshape(groups, together, *x.shape[1:])


def in_row(x: jax.Array | None) -> jax.Array | None:
    """Put the tiles of all images [N, tiles, ...] one after another."""
    return None if x is None else x.reshape(-1, *x.shape[2:])


def by_image(x: jax.Array | None, grid: Grid) -> jax.Array | None:
    """Undo `in_row`."""
    return None if x is None else x.reshape(*grid.logits[:2], *x.shape[1:])


def _at(correlation: jax.Array | None, index: jax.Array) -> jax.Array | None:
    if correlation is None:
        return None
    return lax.dynamic_index_in_dim(correlation, index, keepdims=False)


def _set(
    correlation: jax.Array | None, logits: jax.Array | None, index: jax.Array
) -> jax.Array | None:
    if correlation is None:
        return None
    return lax.dynamic_update_index_in_dim(correlation, logits, index, 0)
