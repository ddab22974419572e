"""Cutting a picture into tiles under a memory budget."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nlrn_jax import NLRN
from nlrn_jax.errors import UserError
from nlrn_jax.restoring.memory import amount, bytes_of_patch, bytes_of_tile, patches_at_a_time
from nlrn_jax.restoring.patches import apply
from nlrn_jax.restoring.tiles import SIDES, choose_tiling, cut

SMALL = NLRN(filters=32, embedding=16, steps=4, neighborhood=45)
WIDE = NLRN(filters=64, embedding=32, steps=4, neighborhood=25)
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
    taken = bytes_of_tile(tiling.model, tiling.sides)
    assert tiling.at_a_time >= 1 and tiling.at_a_time * taken <= memory
    assert set(tiling.sides) <= set(SIDES)


def test_a_small_picture_is_one_tile_and_a_larger_one_two_for_two_cores():
    tilings = [choose_tiling(SMALL, shape, 2**33, 24) for shape in ((120, 100), (512, 400))]
    assert [len(tiling.tiles) for tiling in tilings] == [1, 2]


@pytest.mark.parametrize("memory", [1.5e9, float("inf")])
def test_a_memory_that_is_no_whole_number_does(memory):
    assert choose_tiling(SMALL, (512, 400), memory, 24).at_a_time == 2


def test_less_memory_is_preferred_where_it_costs_little_time():
    halo = WIDE.halo
    some, more = (choose_tiling(WIDE, (3000, 4000), memory, halo) for memory in (2**32, 2**40))
    assert some.sides == more.sides  # what is allowed is not used for its own sake
    assert 2 * bytes_of_tile(some.model, some.sides) < 0.8 * 2**30


def test_too_little_memory_names_what_would_do():
    with pytest.raises(ValueError, match=r"halo of 290 pixels needs tiles of 612.*GiB"):
        choose_tiling(FULL, (2000, 2000), 2**30, FULL.reach)
    needed = min(bytes_of_tile(form, (612, 612)) for form in FULL.forms)
    assert len(choose_tiling(FULL, (2000, 2000), needed, FULL.reach).tiles) > 1


def test_reach_is_that_of_the_paper_sized_network():
    assert FULL.reach == 12 * (22 + 2) + 2


@pytest.mark.parametrize("memory", [0, 1024, 2**20])
@pytest.mark.parametrize("shape", [(20, 20), (500, 700)])
def test_hardly_any_memory_is_answered_with_the_least_that_does(memory, shape):
    with pytest.raises(UserError, match="raise the memory to that") as error:
        choose_tiling(SMALL, shape, memory, SMALL.halo)
    size = re.search(r"and ([\d.]+)([KM]iB), more", str(error.value))
    least = float(size[1]) * {"KiB": 2**10, "MiB": 2**20}[size[2]]
    assert choose_tiling(SMALL, shape, least, SMALL.halo).tiles
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


@pytest.mark.parametrize("model", [SMALL, WIDE, FULL.clone(propagate=False)])
@pytest.mark.parametrize("carry", ["logits", "embeddings"])
@pytest.mark.parametrize("sides", [(96, 96), (128, 192)])
def test_the_estimate_of_memory_is_a_little_above_the_compiled_program(model, carry, sides):
    model = model.clone(carry=carry)
    shape = jax.ShapeDtypeStruct((1, *sides, 1), jnp.float32)
    variables = jax.eval_shape(model.init, jax.random.key(0), shape)
    size = jax.ShapeDtypeStruct((2,), jnp.int32)
    compiled = apply.lower(model, variables, shape, size).compile()
    used = compiled.memory_analysis().temp_size_in_bytes
    assert used <= bytes_of_tile(model, sides) <= 2 * used
