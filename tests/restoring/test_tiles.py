"""Cutting a picture into tiles under a memory budget."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nlrn_jax import NLRN
from nlrn_jax.errors import UserError
from nlrn_jax.restoring.patches import apply
from nlrn_jax.restoring.tiles import (
    HALO,
    SIDES,
    amount,
    bytes_of_patch,
    bytes_per_pixel,
    choose_tiling,
    cut,
    patches_at_a_time,
    reach,
)

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


@pytest.mark.parametrize("memory", [0, 1024, 2**20])
@pytest.mark.parametrize("shape", [(20, 20), (500, 700)])
def test_hardly_any_memory_is_answered_with_the_least_that_does(memory, shape):
    with pytest.raises(UserError, match="raise the memory to that") as error:
        choose_tiling(SMALL, shape, memory, HALO)
    size = re.search(r"and ([\d.]+)([KM]iB), more", str(error.value))
    least = float(size[1]) * {"KiB": 2**10, "MiB": 2**20}[size[2]]
    assert choose_tiling(SMALL, shape, least, HALO).tiles
    assert f"more than the {amount(memory)} allowed" in str(error.value)


def test_amounts_are_written_as_the_flag_takes_them_and_rounded_up():
    counts = [0, 1, 1023, 1024, 1025, 2**20, 93 * 2**20 + 1, 2**30, 2**42]
    assert [amount(count) for count in counts] == [
        "0B", "1B", "1023B", "1KiB", "1.1KiB", "1MiB", "93.1MiB", "1GiB", "4096GiB",
    ]  # fmt: skip


@pytest.mark.parametrize("fields", [{}, {"carry": "embeddings"}, {"neighborhood": 9}], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("count, side", [(1, 24), (2, 43)])
def test_the_estimate_of_a_patch_is_not_below_the_compiled_program(count, side, dtype, fields):
    model = SMALL.clone(neighborhood=None, dtype=dtype).clone(**fields)
    patches = jax.ShapeDtypeStruct((count, side, side, 1), jnp.float32)
    variables = jax.eval_shape(model.init, jax.random.key(0), patches)
    used = apply.lower(model, variables, patches).compile().memory_analysis().temp_size_in_bytes
    assert used <= count * bytes_of_patch(model, (side, side))


def test_as_many_patches_are_computed_at_a_time_as_fit():
    model = SMALL.clone(neighborhood=None)
    one = bytes_of_patch(model, (43, 43))
    found = [patches_at_a_time(model, (43, 43), 16, memory) for memory in (one, 5 * one, 2**40)]
    assert found == [1, 5, 16]
    with pytest.raises(UserError, match="patches of 42 or less, or raise"):
        patches_at_a_time(model, (43, 43), 16, one - 1)
    with pytest.raises(UserError, match=r"a patch of 500 x 500 takes 582.*GiB, more than the 4GiB"):
        patches_at_a_time(model, (500, 500), 1, 2**32)
    with pytest.raises(UserError, match="allowed: raise the memory to that"):
        patches_at_a_time(model, (43, 43), 1, 1024)


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
