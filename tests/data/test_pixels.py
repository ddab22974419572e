"""Pixels: of every dtype, grey and luma, turned and cropped."""

import numpy as np
import pytest
from skimage.color import rgb2ycbcr

from nlrn_jax.data.pixels import (
    crop_to_multiple,
    dihedral,
    grey,
    luma,
    network_channels,
    to_float,
    to_uint8,
    undo_dihedral,
)
from nlrn_jax.errors import UserError

rng = np.random.default_rng(0)
COLOUR = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)
GREY = COLOUR[..., 0]
EVERY_COLOUR = np.stack(np.meshgrid(*[np.arange(0, 256, 5)] * 3), -1).reshape(52, -1, 3)
EVERY_COLOUR = EVERY_COLOUR.astype(np.uint8)


def test_every_grey_level_survives_float():
    levels = np.arange(256, dtype=np.uint8)[None]
    assert to_float(levels).dtype == np.float32
    np.testing.assert_array_equal(to_uint8(to_float(levels)), levels)


def test_to_float_maps_white_to_one_and_passes_floats():
    assert to_float(np.array([[65535, 0]], np.uint16)).tolist() == [[1, 0]]
    passed = to_float(np.array([[-0.5, 7.0]]))
    assert passed.dtype == np.float32 and passed.tolist() == [[-0.5, 7]]
    with pytest.raises(ValueError, match="int64"):
        to_float(np.array([[1]]))


def test_to_uint8_clips_and_rounds():
    x = np.array([-0.1, 0.49 / 255, 0.51 / 255, 254.6 / 255, 1.7])
    assert to_uint8(x).tolist() == [0, 0, 1, 255, 255]
    with pytest.raises(ValueError, match="to_float"):
        to_uint8(GREY)


def test_grey_is_the_rounded_weighted_sum():
    exact = EVERY_COLOUR.astype(float) @ [0.299, 0.587, 0.114]
    ours = grey(EVERY_COLOUR)
    assert ours.dtype == np.uint8
    assert np.abs(ours - exact).max() <= 0.5 + 1e-9
    as_float = grey(to_float(EVERY_COLOUR))
    assert as_float.dtype == np.float32
    np.testing.assert_allclose(as_float, exact / 255, atol=1e-6)
    np.testing.assert_array_equal(grey(np.stack([GREY] * 3, -1)), GREY)


def test_luma_is_that_of_scikit_image():
    expected = rgb2ycbcr(EVERY_COLOUR)[..., 0]
    as_float = luma(to_float(EVERY_COLOUR))
    assert as_float.dtype == np.float32
    np.testing.assert_allclose(as_float * 255, expected, atol=1e-4)
    as_uint8 = luma(EVERY_COLOUR)
    assert as_uint8.dtype == np.uint8
    assert np.abs(as_uint8 - expected).max() <= 0.5 + 1e-4
    assert (as_uint8.min(), as_uint8.max()) == (16, 235)


@pytest.mark.parametrize("convert", [grey, luma])
def test_grey_pictures_pass_unchanged(convert):
    assert convert(GREY) is GREY


@pytest.mark.parametrize("image", [GREY, COLOUR], ids=["grey", "rgb"])
def test_there_are_eight_views_and_each_is_undone(image):
    views = [dihedral(image, k) for k in range(8)]
    assert len({(view.shape, view.tobytes()) for view in views}) == 8
    for k, view in enumerate(views):
        np.testing.assert_array_equal(undo_dihedral(view, k), image)
    with pytest.raises(ValueError, match="8"):
        dihedral(image, 8)


def test_crops_are_the_largest_multiples():
    assert crop_to_multiple(COLOUR, 3).shape == (3, 6, 3)
    np.testing.assert_array_equal(crop_to_multiple(GREY, 2), GREY[:4, :6])
    assert crop_to_multiple(GREY, 1).shape == GREY.shape
    with pytest.raises(ValueError, match=r"\[5, 7\]"):
        crop_to_multiple(GREY, 6)


def test_one_channel_is_grey_for_denoising_and_luma_for_super_resolution():
    levels = network_channels(COLOUR, "denoise", 1)
    assert levels.dtype == np.uint8 and levels.shape == COLOUR.shape[:2]
    np.testing.assert_allclose(levels, COLOUR @ [0.299, 0.587, 0.114], atol=0.5001)
    expected = rgb2ycbcr(COLOUR)[..., 0]
    np.testing.assert_allclose(network_channels(COLOUR, "sr", 1), expected, atol=0.5001)


@pytest.mark.parametrize("task", ["denoise", "sr"])
def test_channels_that_suit_pass_and_three_are_made_of_one(task):
    assert network_channels(COLOUR, task, 3) is COLOUR
    assert network_channels(GREY, task, 1) is GREY
    np.testing.assert_array_equal(network_channels(GREY, task, 3), np.dstack([GREY] * 3))


@pytest.mark.parametrize("dtype", ["<u2", ">u2"])
def test_sixteen_bits_have_the_grey_and_luma_of_their_fractions(dtype):
    sixteen = (COLOUR * np.uint16(257)).astype(dtype)
    np.testing.assert_array_equal(to_float(sixteen), to_float(COLOUR))
    for convert in (grey, luma):
        found = convert(sixteen)
        assert found.dtype == np.dtype(dtype)
        exact = convert(COLOUR / 255)
        np.testing.assert_allclose(found / 65535, exact, rtol=0, atol=0.501 / 65535 + 1e-6)


@pytest.mark.parametrize("convert", [grey, luma])
@pytest.mark.parametrize(
    "image", [COLOUR.astype(int), COLOUR > 9, COLOUR.astype(np.uint32), COLOUR[..., :2]]
)
def test_what_has_no_grey_or_luma_is_refused(convert, image):
    with pytest.raises(UserError, match="uint8, uint16 or float is needed"):
        convert(image)


def test_nan_is_no_grey_level():
    with pytest.raises(UserError, match="1 of 2 values are NaN"):
        to_uint8(np.array([np.nan, 1]))
    assert to_uint8([-np.inf, 1.0]).tolist() == [0, 255]
