"""Every way to restore is the function that it names, and tells how far it is."""

import drawn
import numpy as np
import pytest
from drawn import TINY, randomized

from nlrn_jax import NLRN, restore
from nlrn_jax.data.degrade import bicubic_resize
from nlrn_jax.data.pixels import dihedral, undo_dihedral
from nlrn_jax.errors import UserError
from nlrn_jax.restoring.patches import restore_patches
from nlrn_jax.restoring.restore import enlarge
from nlrn_jax.restoring.way import Way, restorer

PATCHES = Way(patch=7, stride=4, batch=3)
WAYS = {
    "each pixel once": Way(),
    "in tiles": Way(memory=2**23, exact=True),
    "ensemble": Way(ensemble=True),
    "enlarged": Way(scale=2),
    "patches": PATCHES,
    "patches, ensemble": PATCHES._replace(ensemble=True),
    "patches, enlarged": PATCHES._replace(scale=2),
    "in part": Way(strength=0.5),
    "in part, patches, enlarged": PATCHES._replace(scale=2, strength=0.5),
}


@pytest.fixture(scope="module")
def network():
    """A tiny network of one channel and a window, every array drawn at random."""
    model = NLRN(**TINY, steps=2, neighborhood=5)
    return model, randomized(model, np.zeros((1, 8, 8, 1), np.float32))


def picture(*shape):
    return np.random.default_rng(0).uniform(size=shape).astype(np.float32)


def by_patches(network, pixels):
    return restore_patches(*network, pixels, PATCHES.patch, PATCHES.stride, PATCHES.batch)


def close(actual, expected):
    assert actual.dtype == np.float32
    drawn.close(actual, expected)


@pytest.mark.parametrize("shape", [(12, 9), (12, 9, 3)])
def test_the_plain_way_is_restore(network, shape):
    close(restorer(*network, Way())(picture(*shape)), restore(*network, picture(*shape)))


def test_every_field_reaches_restore(network):
    fields = {"scale": 2, "memory": 2**23, "exact": True, "ensemble": True}
    expected = restore(*network, picture(150, 50), **fields)
    close(restorer(*network, Way(**fields))(picture(150, 50)), expected)


def test_patches_are_those_of_restore_patches(network):
    close(restorer(*network, PATCHES)(picture(12, 9)), by_patches(network, picture(12, 9)))


def test_patches_of_colour_are_restored_channel_by_channel(network):
    colour = picture(12, 9, 3)
    expected = np.stack([by_patches(network, colour[..., c]) for c in range(3)], -1)
    close(restorer(*network, PATCHES)(colour), expected)


def test_a_network_of_three_channels_sees_colour_as_it_is():
    model = NLRN(**TINY, steps=2, channels=3)
    network = model, randomized(model, np.zeros((1, 8, 8, 3), np.float32))
    close(restorer(*network, PATCHES)(picture(12, 9, 3)), by_patches(network, picture(12, 9, 3)))


@pytest.mark.parametrize("way", [Way(), PATCHES], ids=["once", "patches"])
def test_the_ensemble_is_the_mean_over_eight_views(network, way):
    plain, pixels = restorer(*network, way), picture(12, 9)
    views = [undo_dihedral(plain(dihedral(pixels, k)), k) for k in range(8)]
    close(restorer(*network, way._replace(ensemble=True))(pixels), np.mean(views, axis=0))


@pytest.mark.parametrize("way", WAYS)
def test_every_dtype_comes_back_as_it_went(network, way):
    restored = restorer(*network, WAYS[way])
    eight = (255 * picture(12, 9)).astype(np.uint8)
    expected = np.clip(restored(eight / np.float32(255)), 0, 1)
    for pixels, top in ((eight, 255), (eight * np.uint16(257), 65535)):
        assert restored(pixels).dtype == pixels.dtype
        np.testing.assert_allclose(restored(pixels) / top, expected, atol=0.51 / top + 1e-4)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("shape", [(150, 50), (20, 9, 3)])
def test_the_fractions_done_sum_to_one(network, way, shape):
    done = []
    restorer(*network, WAYS[way])(picture(*shape), done.append)
    assert done[0] == min(done) == 0 and max(done) > 0  # 0 where equal parts begin
    np.testing.assert_allclose(sum(done), 1)


# ---- strength


PLAIN = {
    "once": Way(),
    "ensemble": Way(ensemble=True),
    "enlarged": Way(scale=2),
    "patches": PATCHES,
    "patches, enlarged": PATCHES._replace(scale=2),
}


def before(pixels, way):
    return bicubic_resize(pixels, way.scale) if way.scale > 1 else pixels


@pytest.mark.parametrize("way", PLAIN.values(), ids=PLAIN)
@pytest.mark.parametrize("shape", [(12, 9), (12, 9, 3)])
def test_the_strength_is_the_part_of_the_way_to_the_restoration(network, way, shape):
    start, whole = before(picture(*shape), way), restorer(*network, way)(picture(*shape))
    assert abs(whole - start).max() > 0.01
    for strength in (0.25, 0.75):
        part = restorer(*network, way._replace(strength=strength))(picture(*shape))
        np.testing.assert_allclose(part, start + strength * (whole - start), atol=1e-6)


@pytest.mark.parametrize("way", PLAIN.values(), ids=PLAIN)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
def test_no_strength_gives_the_picture_back_and_all_of_it_the_restoration(network, way, dtype):
    pixels = picture(12, 9, 3).astype(np.float64)
    pixels = pixels if dtype in (np.float32, np.float64) else pixels * np.iinfo(dtype).max
    pixels = pixels.astype(dtype)
    untouched = restorer(*network, way._replace(strength=0))(pixels)
    expected = enlarge(pixels, way.scale) if way.scale > 1 else pixels
    np.testing.assert_array_equal(untouched, expected)
    assert untouched.dtype == dtype and untouched is not pixels
    whole = restorer(*network, way._replace(strength=1.0))(pixels)
    np.testing.assert_array_equal(whole, restorer(*network, way)(pixels))


def test_a_part_is_rounded_once(network):
    pixels = (255 * picture(12, 9, 3)).astype(np.uint8)
    start = pixels / np.float32(255)
    whole = restorer(*network, Way())(start)
    part = restorer(*network, Way(strength=0.3))(pixels)
    exact = 255 * np.clip(start + 0.3 * (whole - start), 0, 1)
    assert abs(part - exact).max() < 0.5 + 1e-4


def test_a_network_of_three_channels_gives_a_grey_picture_back_too():
    model = NLRN(**TINY, steps=2, channels=3)
    network = model, randomized(model, np.zeros((1, 8, 8, 3), np.float32))
    grey = picture(12, 9)
    np.testing.assert_array_equal(restorer(*network, Way(strength=0))(grey), grey)
    half, whole = (restorer(*network, Way(strength=s))(grey) for s in (0.5, 1))
    np.testing.assert_allclose(half, (grey + whole) / 2, atol=1e-6)


@pytest.mark.parametrize("strength", [-0.01, 1.01, float("nan"), "much", None])
def test_a_strength_that_is_no_part_is_refused_in_a_line(network, strength):
    with pytest.raises(UserError, match=r"strength=.* should be from 0"):
        restore(*network, picture(12, 9), strength=strength)
