"""The non-local operation confined to a q x q window: exact, in memory linear in pixels.

The image is cut into tiles of queries. The keys that a tile can see are the tile and `radius`
positions around it; one tile after another is compared with its keys, and what lies outside a
query's own window, or outside the image, is masked. The backward pass walks the tiles again and
recomputes the softmax from the saved normalisers.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from nlrn_jax.network import response as tile

TILE = (8, 16)  # rows and columns of queries; chosen by tests/bench/non_local.py


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

    def corner(self, index):
        """Return image, row and column of a tile's first query."""
        image, row, column = jnp.unravel_index(index, self.tiles)
        return image, row * TILE[0], column * TILE[1]


def forward(theta, phi, g, correlation, size, neighborhood: int):
    """Respond to each position with the softmax-weighted mean of `g` over its window.

    Args:
      theta, phi: [N, H, W, l]; g: [N, H, W, m].
      correlation: logits carried from the states before, from `zero_correlation` or an earlier
        call; None where nothing is carried.
      size: int32 [2], rows and columns that hold an image; the rest is padding that no one sees;
        None: all of them.
      neighborhood: odd side of the window.

    Returns:
      The response [N, H, W, m], the normaliser [tiles, queries], and the new correlation (None
      where nothing is carried). The responses in the padding are meaningless but finite.
    """
    grid, size = make_grid(theta.shape, neighborhood), _size(size, theta.shape)
    keys, values = _pad(phi, grid), _pad(g, grid)

    def respond(x):
        index, query, carried = x
        corner = grid.corner(index)
        key, value = _cut(keys, corner, grid), _cut(values, corner, grid)
        mask = _mask(corner, size, grid)
        response, normaliser, logits = tile.respond(query, key, value, carried, mask)
        return response, normaliser, None if carried is None else logits

    xs = jnp.arange(np.prod(grid.tiles)), _to_tiles(theta, grid), correlation
    response, normaliser, correlation = lax.map(respond, xs)
    return _from_tiles(response, grid), normaliser, correlation


def backward(
    theta, phi, g, correlation, size, normaliser, response, d_response, d_correlation, neighborhood
):
    """Return the gradients by theta, phi, g and the carried correlation.

    Args:
      theta, phi, g, size, neighborhood: as for `forward`.
      correlation, normaliser, response: what `forward` returned.
      d_response: like the response; d_correlation: like the correlation, from the states after.
    """
    grid, size = make_grid(theta.shape, neighborhood), _size(size, theta.shape)
    keys, values = _pad(phi, grid), _pad(g, grid)
    overlap = jnp.sum(response.astype(jnp.float32) * d_response, -1, keepdims=True)

    def step(sums, x):
        index, query, logits, normaliser, overlap, d_response, d_logits = x
        corner = grid.corner(index)
        key, value = _cut(keys, corner, grid), _cut(values, corner, grid)
        mask = _mask(corner, size, grid)
        d_query, d_key, d_value, d = tile.respond_backward(
            query, key, value, logits, mask, normaliser, overlap, d_response, d_logits
        )
        sums = _add(sums[0], d_key, corner, grid), _add(sums[1], d_value, corner, grid)
        return sums, (d_query, None if d_logits is None else d)

    tiles = functools.partial(_to_tiles, grid=grid)
    sums = tuple(jnp.zeros(x.shape, jnp.float32) for x in (keys, values))
    xs = (jnp.arange(np.prod(grid.tiles)), tiles(theta), correlation, normaliser, tiles(overlap),
          tiles(d_response), d_correlation)  # fmt: skip
    (d_keys, d_values), (d_theta, d_carried) = lax.scan(step, sums, xs)
    d_phi, d_g = _unpad(d_keys, grid).astype(phi.dtype), _unpad(d_values, grid).astype(g.dtype)
    return _from_tiles(d_theta, grid), d_phi, d_g, d_carried


def undo(theta, phi, correlation, neighborhood):
    """Return the correlation before the state that added `theta` and `phi` to it."""
    grid = make_grid(theta.shape, neighborhood)
    keys = _pad(phi, grid)

    def of_one_tile(x):
        index, query, logits = x
        return logits - tile.product(query, _cut(keys, grid.corner(index), grid), (1, 1))

    return lax.map(
        of_one_tile, (jnp.arange(np.prod(grid.tiles)), _to_tiles(theta, grid), correlation)
    )


def make_grid(shape: tuple[int, ...], neighborhood: int) -> Grid:
    """Return the grid for [N, H, W, ...]; a window wider than the image shrinks to it."""
    count, height, width = shape[:3]
    return Grid(count, height, width, min(neighborhood // 2, max(height, width) - 1))


def zero_correlation(shape: tuple[int, ...], neighborhood: int) -> jax.Array:
    """Return the correlation before the first state: float32 [tiles, queries, keys]."""
    grid = make_grid(shape, neighborhood)
    return jnp.zeros((np.prod(grid.tiles), np.prod(TILE), np.prod(grid.keys)), jnp.float32)


def _size(size, shape):
    return jnp.asarray(shape[1:3] if size is None else size, jnp.int32)


def _mask(corner, size, grid):
    """Return 0 or tile.MASKED for each query and key of a tile: [queries, keys]."""
    (tile_rows, tile_columns), (rows, columns) = TILE, grid.keys
    seen_row = abs(np.arange(rows) - grid.radius - np.arange(tile_rows)[:, None]) <= grid.radius
    seen_column = (
        abs(np.arange(columns) - grid.radius - np.arange(tile_columns)[:, None]) <= grid.radius
    )
    seen = seen_row[:, None, :, None] & seen_column[None, :, None, :]
    row = corner[1] + jnp.arange(rows) - grid.radius
    column = corner[2] + jnp.arange(columns) - grid.radius
    inside = ((row >= 0) & (row < size[0]))[:, None] & ((column >= 0) & (column < size[1]))
    outside = jnp.where(inside, 0.0, tile.MASKED).reshape(-1)
    return np.where(seen, 0.0, tile.MASKED).astype(np.float32).reshape(np.prod(TILE), -1) + outside


def _padding(grid):
    _, rows, columns = grid.tiles
    r = grid.radius
    bottom, right = rows * TILE[0] - grid.height + r, columns * TILE[1] - grid.width + r
    return (0, 0), (r, bottom), (r, right), (0, 0)


def _pad(x, grid):
    """Surround [N, H, W, C] with what the windows of its border need."""
    return jnp.pad(x, _padding(grid))


def _unpad(x, grid):
    r = grid.radius
    return x[:, r : r + grid.height, r : r + grid.width]


def _cut(x, corner, grid):
    """Cut the keys of a tile out of a padded [N, H', W', C]: [keys, C]."""
    window = lax.dynamic_slice(x, (*corner, 0), (1, *grid.keys, x.shape[-1]))
    return window.reshape(-1, x.shape[-1])


def _add(x, gradient, corner, grid):
    """Add the gradient of `_cut` where it was cut."""
    shape = (1, *grid.keys, x.shape[-1])
    before = lax.dynamic_slice(x, (*corner, 0), shape)
    return lax.dynamic_update_slice(x, before + gradient.reshape(shape), (*corner, 0))


def _to_tiles(x, grid):
    """Cut [N, H, W, C] into tiles of queries: [tiles, queries, C]."""
    n, rows, columns = grid.tiles
    bottom, right = rows * TILE[0] - grid.height, columns * TILE[1] - grid.width
    x = jnp.pad(x, ((0, 0), (0, bottom), (0, right), (0, 0)))
    x = x.reshape(n, rows, TILE[0], columns, TILE[1], -1).swapaxes(2, 3)
    return x.reshape(n * rows * columns, np.prod(TILE), -1)


def _from_tiles(x, grid):
    """Put tiles [tiles, queries, C] together again: [N, H, W, C]."""
    n, rows, columns = grid.tiles
    x = x.reshape(n, rows, columns, *TILE, -1).swapaxes(2, 3)
    x = x.reshape(n, rows * TILE[0], columns * TILE[1], -1)
    return x[:, : grid.height, : grid.width]
