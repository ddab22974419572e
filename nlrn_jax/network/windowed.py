"""The non-local operation confined to a q x q window: exact, in memory linear in pixels.

The image is cut into tiles of queries. The keys that a tile can see are the tile and `radius`
positions around it; one tile after another is compared with its keys, and what lies outside a
query's own window, or outside the image, is masked. The backward pass walks the tiles again and
recomputes the weights from the saved normalisers.
"""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from nlrn_jax.network.response import Residuals, Tile, product, respond, respond_backward
from nlrn_jax.network.weighing import SEEN_OR_MASKED, Weighing

_FIRST = np.int32(0)  # of the channels, in the integers that corners have
TOGETHER = 2**27  # bytes of the logits of the tiles that are computed at a time beside a CPU
TILE = (8, 16)  # rows and columns of queries; chosen by tests/bench/non_local.py

Responded = tuple[jax.Array, jax.Array | None, jax.Array | None]  # response, normaliser, logits
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


def forward(
    theta: jax.Array,
    phi: jax.Array,
    g: jax.Array,
    correlation: jax.Array | None,
    size: jax.Array | None,
    neighborhood: int,
    weighing: Weighing,
    kept: bool,
) -> Responded:
    """Respond to each position with the weighted mean of `g` over its window.

    Args:
      theta, phi: [N, H, W, l]; g: [N, H, W, m].
      correlation: logits carried from the states before, from `zero` or an earlier
        call; None where nothing is carried.
      size: int32 [2], rows and columns that hold an image; the rest is padding that no one sees;
        None: all of them.
      neighborhood: odd side of the window.
      weighing: how the correlation becomes weights.
      kept: whether the normaliser and the correlations before and after are, for a gradient.

    Returns:
      The response [N, H, W, m], the normaliser [N, tiles, queries] (None where it is not kept),
      and the new correlation (None where nothing is carried). The responses in the padding are
      meaningless but finite.
    """
    grid, size = make_grid(theta.shape, neighborhood), _size(size, theta.shape)
    queries, keys, values = (
        _pad(theta, grid, 0),
        _pad(phi, grid, grid.radius),
        _pad(g, grid, grid.radius),
    )

    def of_one_tile(corner: Corner, carried: jax.Array | None) -> Responded:
        query = _cut(queries, corner, TILE)
        key, value = _cut(keys, corner, grid.keys), _cut(values, corner, grid.keys)
        response, normaliser, logits = respond(
            query, key, value, carried, _mask(corner, size, grid), weighing
        )
        return response, normaliser if kept else None, None if carried is None else logits

    walk = _walk if kept else _walk_in_place
    response, normaliser, correlation = walk(of_one_tile, correlation, grid)
    return _from_tiles(response, grid), normaliser, correlation


class _Walked(NamedTuple):
    """What the backward pass walks over, one of each for every tile."""

    corner: Corner
    query: jax.Array
    logits: jax.Array | None
    normaliser: jax.Array
    overlap: jax.Array
    d_response: jax.Array
    d_logits: jax.Array | None


def backward(
    residuals: Residuals,
    d_response: jax.Array,
    d_correlation: jax.Array | None,
    neighborhood: int,
    weighing: Weighing,
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array | None]:
    """Return the gradients by theta, phi, g and the carried correlation.

    Args:
      residuals: of the forward pass.
      d_response: like the response; d_correlation: like the correlation, from the states after.
      neighborhood: odd side of the window.
      weighing: as it was in the forward pass.
    """
    theta, phi, g, correlation, size, normaliser, _ = residuals
    grid, size = make_grid(theta.shape, neighborhood), _size(size, theta.shape)
    keys, values = _pad(phi, grid, grid.radius), _pad(g, grid, grid.radius)

    def step(
        sums: tuple[jax.Array, jax.Array], x: _Walked
    ) -> tuple[tuple[jax.Array, jax.Array], tuple[jax.Array, jax.Array | None]]:
        corner = x.corner
        key, value = _cut(keys, corner, grid.keys), _cut(values, corner, grid.keys)
        mask = _mask(corner, size, grid)
        tile = Tile(x.query, key, value, x.logits, mask, x.normaliser, x.overlap)
        d_query, d_key, d_value, d = respond_backward(tile, x.d_response, x.d_logits, weighing)
        sums = _add(sums[0], d_key, corner, grid), _add(sums[1], d_value, corner, grid)
        return sums, (d_query, None if x.d_logits is None else d)

    tiles = functools.partial(_to_tiles, grid=grid)
    sums = tuple(jnp.zeros_like(x, jnp.float32) for x in (keys, values))
    overlap = tiles(residuals.overlap(d_response))
    in_row = (_in_row(x) for x in (correlation, normaliser, d_correlation))
    logits, normaliser, d_logits = in_row
    xs = _Walked(grid.corners, tiles(theta), logits, normaliser, overlap, tiles(d_response),
                 d_logits)  # fmt: skip
    (d_keys, d_values), (d_theta, d_carried) = lax.scan(step, sums, xs)
    d_phi, d_g = _unpad(d_keys, grid).astype(phi.dtype), _unpad(d_values, grid).astype(g.dtype)
    return _from_tiles(d_theta, grid), d_phi, d_g, _by_image(d_carried, grid)


def undo(theta: jax.Array, phi: jax.Array, correlation: jax.Array, neighborhood: int) -> jax.Array:
    """Return the correlation before the state that added `theta` and `phi` to it."""
    grid = make_grid(theta.shape, neighborhood)
    queries, keys = _pad(theta, grid, 0), _pad(phi, grid, grid.radius)

    def of_one_tile(corner: Corner, logits: jax.Array) -> tuple[jax.Array]:
        query, key = _cut(queries, corner, TILE), _cut(keys, corner, grid.keys)
        return (logits - product(query, key, (1, 1)),)

    return _walk_in_place(of_one_tile, correlation, grid)[0]


def _walk(of_one_tile: OfTile, correlation: jax.Array | None, grid: Grid) -> tuple:
    """Apply a function of a tile's corner and logits to all; the last of its results are logits.

    A CPU takes one tile after another. Beside it many are computed at a time.
    """
    together = max(1, TOGETHER // (4 * math.prod(grid.logits[2:])))
    xs = grid.corners, _in_row(correlation)

    def walk(xs: tuple, batch_size: int | None) -> tuple:
        return lax.map(lambda x: of_one_tile(*x), xs, batch_size=batch_size)

    results = lax.platform_dependent(
        xs,
        cpu=functools.partial(walk, batch_size=None),
        default=functools.partial(walk, batch_size=together),
    )
    return tuple(_by_image(x, grid) for x in results)


def _walk_in_place(of_one_tile: OfTile, correlation: jax.Array | None, grid: Grid) -> tuple:
    """Do the same; a CPU writes the logits where those before were, which halves their memory.

    Not for what asks for the normaliser: XLA:CPU reads the old logits for it after they should
    have been overwritten, and so copies those of all tiles at every tile (jaxlib 0.9 to 0.12).
    """

    def one_by_one(correlation: jax.Array | None) -> tuple:
        def step(
            correlation: jax.Array | None, x: tuple[jax.Array, Corner]
        ) -> tuple[jax.Array | None, tuple[jax.Array, ...]]:
            index, corner = x
            *others, logits = of_one_tile(corner, _at(correlation, index))
            return _set(correlation, logits, index), tuple(others)

        corners = grid.corners
        xs = jnp.arange(corners[0].shape[0], dtype=jnp.int32), corners
        logits, others = lax.scan(step, _in_row(correlation), xs)
        return *(_by_image(x, grid) for x in others), _by_image(logits, grid)

    return lax.platform_dependent(
        correlation,
        cpu=one_by_one,
        default=lambda correlation: _walk(of_one_tile, correlation, grid),
    )


def _in_row(x: jax.Array | None) -> jax.Array | None:
    """Put the tiles of all images [N, tiles, ...] one after another."""
    return None if x is None else x.reshape(-1, *x.shape[2:])


def _by_image(x: jax.Array | None, grid: Grid) -> jax.Array | None:
    """Undo `_in_row`."""
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


def zero(like: jax.Array, neighborhood: int) -> jax.Array:
    """Return the correlation of features [N, H, W, ...] before the first state.

    Float32 [N, tiles, queries, keys], on the devices where the features are.
    """
    return jnp.zeros_like(like, jnp.float32, make_grid(like.shape, neighborhood).logits)


def _size(size: jax.Array | None, shape: tuple[int, ...]) -> jax.Array:
    return jnp.asarray(shape[1:3] if size is None else size, jnp.int32)


def _mask(corner: Corner, size: jax.Array, grid: Grid) -> jax.Array:
    """Return 0 or MASKED for each query and key of a tile: [queries, keys]."""
    (tile_rows, tile_columns), (rows, columns) = TILE, grid.keys
    seen_row = abs(np.arange(rows) - grid.radius - np.arange(tile_rows)[:, None]) <= grid.radius
    seen_column = (
        abs(np.arange(columns) - grid.radius - np.arange(tile_columns)[:, None]) <= grid.radius
    )
    seen = seen_row[:, None, :, None] & seen_column[None, :, None, :]
    row = corner[1] + jnp.arange(rows, dtype=jnp.int32) - grid.radius
    column = corner[2] + jnp.arange(columns, dtype=jnp.int32) - grid.radius
    inside = ((row >= 0) & (row < size[0]))[:, None] & ((column >= 0) & (column < size[1]))[None]
    outside = jnp.where(inside, *SEEN_OR_MASKED).reshape(1, -1)
    return np.where(seen, *SEEN_OR_MASKED).reshape(math.prod(TILE), -1) + outside


def _pad(x: jax.Array, grid: Grid, around: int) -> jax.Array:
    """Fill [N, H, W, C] up with zeros to whole tiles, and put as many as `around` on every side."""
    _, rows, columns = grid.tiles
    bottom, right = rows * TILE[0] - grid.height, columns * TILE[1] - grid.width
    return jnp.pad(x, ((0, 0), (around, bottom + around), (around, right + around), (0, 0)))


def _unpad(x: jax.Array, grid: Grid) -> jax.Array:
    r = grid.radius
    return x[:, r : r + grid.height, r : r + grid.width]


def _cut(x: jax.Array, corner: Corner, sides: tuple[int, int]) -> jax.Array:
    """Cut the queries or the keys of a tile out of a padded [N, H', W', C]: [positions, C]."""
    window = lax.dynamic_slice(x, (*corner, _FIRST), (1, *sides, x.shape[-1]))
    return window.reshape(-1, x.shape[-1])


def _add(x: jax.Array, gradient: jax.Array, corner: Corner, grid: Grid) -> jax.Array:
    """Add the gradient of `_cut` where it was cut."""
    shape = (1, *grid.keys, x.shape[-1])
    before = lax.dynamic_slice(x, (*corner, _FIRST), shape)
    return lax.dynamic_update_slice(x, before + gradient.reshape(shape), (*corner, _FIRST))


def _to_tiles(x: jax.Array, grid: Grid) -> jax.Array:
    """Cut [N, H, W, C] into tiles of queries: [N tiles, queries, C]."""
    (n, rows, columns), channels = grid.tiles, x.shape[-1]
    x = _pad(x, grid, 0).reshape(n, rows, TILE[0], columns, TILE[1], channels).swapaxes(2, 3)
    return x.reshape(n * rows * columns, math.prod(TILE), channels)


def _from_tiles(x: jax.Array, grid: Grid) -> jax.Array:
    """Put tiles [..., queries, C] together again: [N, H, W, C]."""
    (n, rows, columns), channels = grid.tiles, x.shape[-1]
    x = x.reshape(n, rows, columns, *TILE, channels).swapaxes(2, 3)
    x = x.reshape(n, rows * TILE[0], columns * TILE[1], channels)
    return x[:, : grid.height, : grid.width]
