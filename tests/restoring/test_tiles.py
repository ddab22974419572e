"""Cutting a picture into tiles under a memory budget."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nlrn_jax import NLRN
from nlrn_jax.restoring.patches import apply
from nlrn_jax.restoring.tiles import SIDES, bytes_per_pixel, choose_tiling, cut, reach

SMALL = NLRN(filters=32, embedding=16, steps=4, neighborhood=45)
FULL = NLRN(neighborhood=45)


def test_kept_parts_cover_every_pixel_once_and_see_the_halo_around_them():
    rng = np.random.default_rng(0)
    for _ in range(200):
        halo = int(rng.integers(0, 9))
        sides = tuple(rng.integers(2 * halo + 1, 2 * halo + 30, 2))
        shape = tuple(rng.integers(1, 90, 2))
        count = np.zeros(shape, int)
        for tile in cut(shape, sides, halo):
            count[tile.kept] += 1
            for seen, kept, length, side in zip(*tile, shape, sides, strict=True):
                assert 0 <= seen.start <= kept.start < kept.stop <= seen.stop <= max(side, length)
                assert seen.stop - seen.start <= side
                assert seen.start == 0 or kept.start - seen.start >= halo
                assert seen.stop >= length or seen.stop - kept.stop >= halo
        assert (count == 1).all()


@pytest.mark.parametrize("model", [SMALL, FULL])
@pytest.mark.parametrize("shape", [(1, 1), (50, 3000), (257, 255), (8000, 12500)])
@pytest.mark.parametrize("memory", [2**28, 2**30, 2**33])
def test_a_tiling_fits_its_memory_and_uses_few_shapes(model, shape, memory):
    tiling = choose_tiling(model, shape, memory, halo=16)
    assert np.prod(tiling.sides) * bytes_per_pixel(model, tiling.model.carry) <= memory
    assert set(tiling.sides) <= set(SIDES)


def test_a_picture_that_fits_is_one_tile():
    assert len(choose_tiling(SMALL, (500, 400), 2**33, 48).tiles) == 1


def test_too_little_memory_names_what_would_do():
    with pytest.raises(ValueError, match=r"halo of 290 pixels needs tiles of 612.*GiB"):
        choose_tiling(FULL, (2000, 2000), 2**30, reach(FULL))
    needed = 612 * 612 * min(bytes_per_pixel(FULL, c) for c in ("logits", "embeddings"))
    assert len(choose_tiling(FULL, (2000, 2000), needed, reach(FULL)).tiles) > 1


def test_reach_is_that_of_the_paper_sized_network():
    assert reach(FULL) == 12 * (22 + 2) + 2


@pytest.mark.parametrize("carry", ["logits", "embeddings"])
@pytest.mark.parametrize("side", [128, 192])
def test_the_estimate_of_memory_is_a_little_above_the_compiled_program(carry, side):
    model = SMALL.clone(carry=carry)
    shape = jax.ShapeDtypeStruct((1, side, side, 1), jnp.float32)
    variables = jax.eval_shape(model.init, jax.random.key(0), shape)
    size = jax.ShapeDtypeStruct((2,), jnp.int32)
    compiled = apply.lower(model, variables, shape, size).compile()
    used = compiled.memory_analysis().temp_size_in_bytes / side**2
    assert used <= bytes_per_pixel(model, carry) <= 2 * used
