"""Restoring whole pictures: padded, tiled, in colour, in every dtype."""

import functools
import subprocess
import sys

import jax
import numpy as np
import pytest
from drawn import close
from skimage import data

from configs import base
from nlrn_jax import NLRN, bicubic_resize, restore
from nlrn_jax.network.build import build_model
from nlrn_jax.restoring.patches import apply
from nlrn_jax.restoring.restore import restore_tiling
from nlrn_jax.restoring.tiles import Tiling, cut
from nlrn_jax.training.state import create_state, train_step

WINDOW = 5


@pytest.fixture(scope="module")
def network():
    """A network of random weights whose residual is some grey levels large."""
    model = NLRN(filters=4, embedding=2, steps=2, neighborhood=WINDOW)
    rng = np.random.default_rng(0)
    variables = jax.tree.map(
        lambda a: np.asarray(a + 0.1 * abs(rng.standard_normal(a.shape)), np.float32),
        model.init(jax.random.key(0), np.zeros((1, 5, 5, 1), np.float32)),
    )
    variables["batch_stats"]["input_norm"] = {"mean": np.full(1, 127.0), "var": np.full(1, 6e3)}
    return model, variables


def picture(shape, seed=0):
    return np.random.default_rng(seed).random(shape, np.float32)


def whole(network, image):
    """Apply the network to a grey picture as it is, without padding or tiles."""
    model, variables = network
    return np.asarray(model.apply(variables, image[None, ..., None]))[0, ..., 0]


@pytest.mark.parametrize("shape", [(1, 1), (1, 37), (23, 17), (40, 33), (64, 31)])
def test_equals_the_network_on_the_picture_itself(network, shape):
    image = picture(shape)
    expected = whole(network, image)
    assert (
        shape == (1, 1) or abs(expected - image).max() > 1 / 255
    )  # or there would be nothing to compare
    close(restore(*network, image), expected)


def test_exact_tiles_equal_the_whole(network):
    """With the full reach as halo, though the memory holds no more than a tile."""
    image = picture((150, 90))
    model, variables = network
    sides = (2 * model.reach + 16,) * 2
    tiling = Tiling(model, sides, cut(image.shape, sides, model.reach))
    assert len(tiling.tiles) > 4
    close(restore_tiling(tiling, variables, image), whole(network, image))
    small = 96 * 96 * 3000
    close(restore(*network, image, memory=small, exact=True), whole(network, image))


def noised(clean, rng):
    return clean + np.float32(25 / 255) * rng.standard_normal(clean.shape, np.float32)


@pytest.fixture(scope="module")
def trained():
    """A denoiser that has learned from the lower half of a photograph for 60 steps."""
    config = base.quick(base.get_config())
    config.model.update(filters=8, embedding=4)
    config.train.update(steps=60, learning_rate=5e-3)
    state, rng = create_state(config), np.random.default_rng(0)
    step = jax.jit(functools.partial(train_step, build_model(config), config.train))
    lower = data.camera()[300:] / np.float32(255)
    for _ in range(config.train.steps):
        corners = rng.integers(0, 180, (8, 2))
        clean = np.stack([lower[y : y + 24, x : x + 24, None] for y, x in corners])
        state, _ = step(state, {"input": noised(clean, rng), "target": clean})
    return build_model(config).clone(neighborhood=45), state.variables


def test_tiles_leave_no_seam_in_a_photograph(trained):
    model, variables = trained
    upper = noised(data.camera()[100:292, 100:292] / np.float32(255), np.random.default_rng(1))

    def difference(side, halo):
        sides = (side, side)
        tiling = Tiling(model, sides, cut(upper.shape, sides, halo))
        return 255 * abs(restore_tiling(tiling, variables, upper) - whole)

    untiled = Tiling(model, (192, 192), cut(upper.shape, (192, 192), 0))
    whole = restore_tiling(untiled, variables, upper)
    assert 255 * (whole - upper).std() > 4  # or there would be nothing to see
    halo = model.halo
    assert model.reach > halo  # so the tiles are not exact
    assert difference(112, 8).max() > 1  # grey level: a seam, from too small a halo
    at_default = difference(144, halo)
    assert at_default.max() < 1
    border = at_default[94:98].mean()  # rows beside the border of the two tiles
    assert border < 3 * at_default.mean() + 1e-3


def test_sizes_of_one_bucket_are_compiled_once(network):
    apply.clear_cache()
    for shape in [(20, 31), (32, 9), (1, 1), (32, 32)]:
        restore(*network, picture(shape))
    assert apply._cache_size() == 1


def test_every_dtype_comes_back_as_it_went(network):
    image = np.random.default_rng(0).integers(0, 256, (12, 11), np.uint8)
    expected = whole(network, image / np.float32(255))
    clipped = np.clip(expected, 0, 1)
    eight, sixteen = restore(*network, image), restore(*network, image.astype(np.uint16) * 257)
    assert (eight.dtype, sixteen.dtype) == (np.uint8, np.uint16)
    np.testing.assert_allclose(eight / 255, clipped, atol=0.51 / 255)
    np.testing.assert_allclose(sixteen / 65535, clipped, atol=1e-4)
    close(restore(*network, image / np.float32(255)), expected)


def test_colour_is_denoised_channel_by_channel(network):
    image = picture((9, 14, 3))
    expected = np.stack([whole(network, image[..., c]) for c in range(3)], -1)
    close(restore(*network, image), expected)


def test_enlarging_colour_restores_the_luma_and_keeps_the_chroma(network):
    low = picture((7, 9, 3))
    enlarged = bicubic_resize(low, 3)
    luma = (16 + enlarged @ np.float32([65.481, 128.553, 24.966])) / 255
    result = restore(*network, low, scale=3)
    assert result.shape == (21, 27, 3)
    restored = (16 + result @ np.float32([65.481, 128.553, 24.966])) / 255
    close(restored, whole(network, luma.astype(np.float32)))
    for chroma in ([-37.797, -74.203, 112.0], [112.0, -93.786, -18.214]):  # Cb, Cr of BT.601
        np.testing.assert_allclose(result @ chroma, enlarged @ chroma, atol=1e-3)


def test_enlarging_grey_restores_the_bicubic_picture(network):
    low = picture((6, 8))
    expected = whole(network, bicubic_resize(low, 2))
    close(restore(*network, low, scale=2), expected)


def test_the_ensemble_is_the_mean_over_flips_and_turns(network):
    image = picture((10, 13))
    views = []
    for flip in (False, True):
        for turns in range(4):
            view = np.rot90(image[:, ::-1] if flip else image, turns)
            back = np.rot90(whole(network, view), -turns)
            views.append(back[:, ::-1] if flip else back)
    close(restore(*network, image, ensemble=True), np.mean(views, 0))


@pytest.mark.parametrize("shape", [(20, 20), (20, 20, 3)])
@pytest.mark.parametrize("ensemble", [False, True])
def test_progress_adds_up_to_one(network, shape, ensemble):
    done = []
    restore(*network, picture(shape), ensemble=ensemble, advance=done.append)
    np.testing.assert_allclose(sum(done), 1)


@pytest.mark.parametrize("shape", [(0, 4), (8,), (8, 8, 2), (8, 8, 4), (1, 8, 8, 1)])
def test_an_image_that_does_not_suit_is_refused(network, shape):
    with pytest.raises(ValueError, match="does not suit"):
        restore(*network, np.zeros(shape, np.float32))


@pytest.mark.parametrize("patch, window", [(24, 25), (25, 25), (None, 45)])
def test_a_network_trained_on_whole_patches_restores_by_a_window_of_their_side(
    network, patch, window
):
    model, variables = network
    unbound, image = model.clone(neighborhood=None, patch=patch), picture((56, 12))
    assert unbound.window == window
    expected = restore(model, variables, image, neighborhood=window)
    np.testing.assert_array_equal(restore(unbound, variables, image), expected)
    other = restore(unbound, variables, image, neighborhood=window - 2)
    assert abs(other - expected).max() > 0
    assert model.clone(patch=patch).window == model.neighborhood == WINDOW


@pytest.mark.slow
def test_a_picture_of_33_megapixels_stays_within_its_budget():
    """7680 x 4320 in 1 GiB besides the picture, its float form and its result."""
    program = """
import resource, sys
import jax, numpy as np
from nlrn_jax import NLRN, restore

model = NLRN(filters=16, embedding=8, steps=2, neighborhood=9)
variables = jax.jit(model.init)(jax.random.key(0), np.zeros((1, 9, 9, 1), np.float32))
image = np.random.default_rng(0).integers(0, 256, (4320, 7680), np.uint8)
restore(model, variables, image[:40, :40])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
result = restore(model, variables, image, memory=2**30)
assert result.shape == image.shape and abs(result - 1.0 * image).max() > 1
print(1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before))
"""
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    pictures = 4320 * 7680 * (1 + 4 + 4 + 4 + 8)  # uint8, float32 in, out and clipped, float64
    assert int(answer.stdout) < 2**30 + pictures
