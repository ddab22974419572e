"""Any array of a notebook is restored rightly, or refused in one line that names the mend."""

import jax.numpy as jnp
import numpy as np
import pytest
from drawn import ROUNDING, TINY, randomized

from nlrn_jax import NLRN, restore
from nlrn_jax.errors import UserError
from nlrn_jax.restoring.patches import restore_patches
from nlrn_jax.restoring.restore import enlarge
from nlrn_jax.restoring.way import Way, restorer

WAYS = {"once": Way(), "patches": Way(patch=7, stride=4, batch=4)}
FRACTIONS = np.random.default_rng(0).random((9, 11))


def network_of(channels):
    model = NLRN(channels, **TINY, steps=1, neighborhood=5)
    return model, randomized(model, np.zeros((1, 8, 8, channels), np.float32))


@pytest.fixture(scope="module")
def network():
    """A tiny network of one channel and a window, every array drawn at random."""
    return network_of(1)


@pytest.fixture(scope="module")
def colour_network():
    return network_of(3)


def near(actual, expected, step):
    """Assert equality to half a step of a dtype, and some rounding of float32."""
    np.testing.assert_allclose(
        actual, expected, rtol=0, atol=0.501 * step + ROUNDING * abs(expected).max()
    )


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u2", "f2", "<f4", ">f4", "<f8", ">f8", "g"])
def test_every_dtype_comes_back_as_it_went_in_either_order_of_bytes(network, dtype, way):
    restored, dtype = restorer(*network, WAYS[way]), np.dtype(dtype)
    white = np.iinfo(dtype).max if dtype.kind == "u" else 1
    image = (FRACTIONS * white).astype(dtype)
    exact = restored((image / np.float64(white)).astype(np.float32))
    result = restored(image)
    assert result.dtype == dtype and result.shape == image.shape
    if dtype.kind == "u":
        near(result / np.float64(white), exact.clip(0, 1), 1 / white)
    else:
        assert exact.min() < 0 or exact.max() > 1  # so clipping would show
        near(result, exact, np.finfo(dtype).eps * abs(exact).max())


@pytest.mark.parametrize("scale", [1, 2])
def test_lists_jax_arrays_and_a_last_axis_of_one_are_taken(network, scale):
    image = FRACTIONS.astype(np.float32)
    expected = restore(*network, image, scale=scale)
    for given in (image.tolist(), jnp.asarray(image), image[..., None]):
        result = restore(*network, given, scale=scale)
        near(result.reshape(expected.shape), expected, 0)
        assert isinstance(result, np.ndarray) and result.ndim == np.ndim(given)
    eight = (255 * image).astype(np.uint8)
    result = restore(*network, jnp.asarray(eight), scale=scale)
    np.testing.assert_array_equal(result, restore(*network, eight, scale=scale))


def test_a_network_of_colour_restores_grey_as_rgb_and_makes_it_grey_again(colour_network):
    image = FRACTIONS.astype(np.float32)
    for scale in (1, 2):
        rgb = restore(*colour_network, np.stack([image] * 3, -1), scale=scale)
        expected = rgb @ np.float32([0.299, 0.587, 0.114])
        near(restore(*colour_network, image, scale=scale), expected, 0)
        near(restore(*colour_network, image[..., None], scale=scale)[..., 0], expected, 0)
    assert restore(*colour_network, (255 * image).astype(np.uint8)).shape == image.shape


def nan_at(place):
    image = np.array(FRACTIONS, np.float32)
    image[3, 4] = place
    return image


REFUSED = {  # and what the one line says
    "NaN": (nan_at(np.nan), "1 of 99 values are NaN"),
    "infinity": (nan_at(-np.inf), "1 of 99 values are NaN or infinite"),
    "levels as floats": (255 * FRACTIONS, "give image / 255"),
    "16-bit levels as floats": (65535 * FRACTIONS, "scale black to 0, white to 1"),
    "dark levels as floats": (20 * FRACTIONS, "scale black to 0, white to 1"),
    "bool": (FRACTIONS > 0.5, r"not bool; convert it first, by image\.astype\(np\.float32\)"),
    "int32": ((255 * FRACTIONS).astype(np.int32), "not int32; convert it"),
    "int64": ((255 * FRACTIONS).astype(np.int64).tolist(), "not int64; convert it"),
    "uint32": ((255 * FRACTIONS).astype(np.uint32), "not uint32; convert it"),
    "complex": (FRACTIONS + 0j, "not complex128; give its pixels"),
    "words": ([["a"]], "not <U1; read the file first"),
    "the name of a file": ("photo.png", "not <U9; read the file first"),
    "nothing": (None, "not object; give its pixels"),
    "channels first": (np.zeros((3, 9, 11), np.uint8), r"np\.moveaxis\(image, 0, -1\)"),
    "a batch": (np.zeros((2, 9, 11, 1), np.uint8), "one by one"),
    "no pixels": (np.zeros((0, 11), np.uint8), r"\[0, 11\] does not suit .*; it has no pixels"),
    "no pixels, colour": (np.zeros((9, 0, 3), np.uint8), "does not suit .*; it has no pixels"),
    "alpha": (np.zeros((9, 11, 4), np.uint8), r"image\[\.\.\., :-1\]"),
    "a number": (0.5, "does not suit"),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("fault", REFUSED)
def test_what_is_no_picture_is_refused_in_one_line(network, fault, scale, way):
    image, message = REFUSED[fault]
    with pytest.raises(UserError, match=message) as error:
        restorer(*network, WAYS[way]._replace(scale=scale))(image)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("fault", REFUSED)
def test_patches_refuse_what_is_no_picture_too(network, fault):
    image, message = REFUSED[fault]
    with pytest.raises(UserError, match=message if np.ndim(image) != 3 else "does not suit"):
        restore_patches(*network, image, patch=7)


@pytest.mark.parametrize("place", range(3))
def test_a_fault_of_any_channel_is_found_before_the_first_is_restored(network, place):
    image, done = np.stack([FRACTIONS] * 3, -1), []
    image[2, 3, place] = np.nan
    with pytest.raises(UserError, match="values are NaN"):
        restore(*network, image, advance=done.append)
    assert not done


@pytest.mark.parametrize("sigma", [25, 50, 100])
def test_noise_that_leaves_zero_to_one_is_no_fault(network, sigma):
    noise = np.random.default_rng(0).standard_normal((64, 64))
    assert np.isfinite(restore(*network, np.round(noise % 1) + sigma / 255 * noise)).all()


@pytest.mark.parametrize("scale", [0, -1, 0.5, 1.5, np.nan, np.inf, None, "2"])
def test_a_scale_that_is_no_whole_number_is_refused(network, scale):
    with pytest.raises(UserError, match="should be a whole number"):
        restore(*network, FRACTIONS, scale=scale)


@pytest.mark.parametrize("scale", [2.0, np.int64(2), np.float32(2)])
def test_a_whole_number_of_any_type_is_a_scale(network, scale):
    expected = restore(*network, FRACTIONS, scale=2)
    np.testing.assert_array_equal(restore(*network, FRACTIONS, scale=scale), expected)


@pytest.mark.parametrize("dtype", ["u1", ">u2", "f2", ">f8"])
def test_enlarging_alone_keeps_the_dtype(dtype):
    image = np.full((3, 4), 1, dtype)
    result = enlarge(image, 2)
    assert result.dtype == image.dtype
    np.testing.assert_array_equal(result, np.ones((6, 8)))


@pytest.mark.parametrize("patch, stride, batch", [(7, 8, 1), (7, 0, 1), (0, 1, 1), (7, 4, 0)])
def test_patches_that_would_leave_gaps_are_refused(network, patch, stride, batch):
    with pytest.raises(UserError, match="stride should be 1 to the side of a patch"):
        restore_patches(*network, FRACTIONS, patch, stride, batch)


@pytest.mark.parametrize("neighborhood", [0, -3, 4])
def test_a_window_that_has_no_centre_is_refused(network, neighborhood):
    with pytest.raises(ValueError, match="must be odd and positive"):
        restore(*network, FRACTIONS, neighborhood=neighborhood)
