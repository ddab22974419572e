"""Restoring patch by patch."""

import jax
import numpy as np
import pytest
from drawn import close

from nlrn_jax import NLRN
from nlrn_jax.errors import UserError
from nlrn_jax.restoring.memory import bytes_of_patch
from nlrn_jax.restoring.patches import patch_corners, restore_patches


@pytest.fixture(scope="module")
def network():
    model = NLRN(filters=4, embedding=2, steps=2)
    variables = model.init(jax.random.key(0), np.zeros((1, 5, 5, 1), np.float32))
    noisy = jax.tree.map(
        lambda a: a + 0.1 * np.random.default_rng(a.size).standard_normal(a.shape), variables
    )
    return model, jax.tree.map(lambda a: np.abs(a) if a.ndim == 1 else a, noisy)


def patchwise(model, variables, image, patch, stride):
    """The published way, one patch after another."""
    total, count = np.zeros(image.shape), np.zeros(image.shape)
    h, w = image.shape

    def starts(n):
        return sorted({min(s, max(0, n - patch)) for s in range(0, n, stride)})

    for y in starts(h):
        for x in starts(w):
            area = (slice(y, min(h, y + patch)), slice(x, min(w, x + patch)))
            output = model.apply(variables, image[area][None, ..., None].astype(np.float32))
            total[area] += np.asarray(output)[0, ..., 0]
            count[area] += 1
    return total / count


@pytest.mark.parametrize("shape", [(23, 17), (9, 30), (9, 9), (5, 14), (3, 4), (1, 1)])
def test_equals_the_mean_of_the_patches_one_by_one(network, shape):
    image = np.random.default_rng(0).random(shape, np.float32)
    restored = restore_patches(*network, image, patch=9, stride=4, batch=3)
    assert restored.shape == shape
    assert restored.dtype == np.float32
    close(restored, patchwise(*network, image, 9, 4))


def test_the_batch_size_does_not_matter(network):
    image = np.random.default_rng(0).random((20, 13), np.float32)
    one, many = (
        restore_patches(*network, image, patch=9, stride=4, batch=size) for size in (1, 64)
    )
    close(one, many)


def test_what_does_not_fit_the_memory_is_fewer_at_a_time_or_refused(network):
    image, one = np.random.default_rng(0).random((20, 13)), bytes_of_patch(network[0], (9, 9))
    done = []
    few = restore_patches(*network, image, 9, 4, 64, done.append, memory=3 * one)
    assert 3 * max(done) * len(patch_corners((20, 13), 9, 4)) <= 9 and len(done) > 1
    close(few, restore_patches(*network, image, 9, 4, 64))
    with pytest.raises(UserError, match=r"a patch of 20 x 13 takes .*, more than .* allowed"):
        restore_patches(*network, image, 500, 4, memory=one)


def test_integers_are_restored_as_their_fractions(network):
    image = np.random.default_rng(0).integers(0, 256, (12, 11), np.uint8)
    expected = restore_patches(*network, image / np.float32(255), patch=9, stride=4)
    close(restore_patches(*network, image, patch=9, stride=4), expected)
    close(restore_patches(*network, image.astype(np.uint16) * 257, patch=9, stride=4), expected)


def test_patches_cover_every_pixel_and_stay_inside():
    for shape in [(23, 17), (45, 45), (44, 100), (7, 7)]:
        seen = np.zeros(shape, int)
        for y, x in patch_corners(shape, 7, 7):
            assert y + 7 <= shape[0]
            assert x + 7 <= shape[1]
            seen[y : y + 7, x : x + 7] += 1
        assert seen.min() == 1


def test_the_published_grid_of_a_256_picture_has_1024_patches():
    assert len(patch_corners((256, 256), 45, 7)) == 1024  # reference: the authors' programs


def test_progress_tells_the_fraction_that_each_batch_is(network):
    done = []
    restore_patches(*network, np.zeros((20, 13), np.float32), 9, 4, batch=5, advance=done.append)
    count = len(patch_corners((20, 13), 9, 4))
    assert count % 5 and done == [0.0] + [5 / count] * (count // 5) + [count % 5 / count]


@pytest.mark.parametrize("shape", [(8, 8, 3), (8,), (0, 4), (1, 8, 8, 1)])
def test_an_image_that_does_not_suit_is_refused(network, shape):
    with pytest.raises(ValueError, match="does not suit"):
        restore_patches(*network, np.zeros(shape, np.float32))
