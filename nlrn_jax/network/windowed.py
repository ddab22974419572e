"""The non-local operation confined to a q x q window: exact, in memory linear in pixels.

The image is cut into tiles of queries. The keys that a tile can see are the tile and `radius`
positions around it; one tile after another is compared with its keys, and what lies outside a
query's own window, or outside the image, is masked. The backward pass walks the tiles again and
recomputes the weights from the saved normalisers.
"""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from nlrn_jax.network.grid import (
    TILE,
    Corner,
    Grid,
    by_image,
    in_row,
    make_grid,
    walk,
    walk_in_place,
)
from nlrn_jax.network.response import Residuals, Tile, product, respond, respond_backward
from nlrn_jax.network.weighing import SEEN_OR_MASKED, Weighing

_FIRST = np.int32(0)  # of the channels, in the integers that corners have

Responded = tuple[jax.Array, jax.Array | None, jax.Array | None]  # response, normaliser, logits


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

    walk_over = walk if kept else walk_in_place
    response, normaliser, correlation = walk_over(of_one_tile, correlation, grid)
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
    logits, normaliser, d_logits = map(in_row, (correlation, normaliser, d_correlation))
    xs = _Walked(grid.corners, tiles(theta), logits, normaliser, overlap, tiles(d_response),
                 d_logits)  # fmt: skip
    (d_keys, d_values), (d_theta, d_carried) = lax.scan(step, sums, xs)
    d_phi, d_g = _unpad(d_keys, grid).astype(phi.dtype), _unpad(d_values, grid).astype(g.dtype)
    return _from_tiles(d_theta, grid), d_phi, d_g, by_image(d_carried, grid)


def undo(theta: jax.Array, phi: jax.Array, correlation: jax.Array, neighborhood: int) -> jax.Array:
    """Return the correlation before the state that added `theta` and `phi` to it."""
    grid = make_grid(theta.shape, neighborhood)
    queries, keys = _pad(theta, grid, 0), _pad(phi, grid, grid.radius)

    def of_one_tile(corner: Corner, logits: jax.Array) -> tuple[jax.Array]:
        query, key = _cut(queries, corner, TILE), _cut(keys, corner, grid.keys)
        return (logits - product(query, key, (1, 1)),)

    return walk_in_place(of_one_tile, correlation, grid)[0]


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
