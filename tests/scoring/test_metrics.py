import math

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from nlrn_jax.scoring.metrics import psnr, ssim

rng = np.random.default_rng(0)


def pair(shape, noise=0.1):
    clean = rng.random(shape)
    return clean, clean + noise * rng.standard_normal(shape)


@pytest.mark.parametrize("shape", [(40, 53), (17, 12, 3), (1, 1), (2, 5, 6, 1)])
@pytest.mark.parametrize("max_value", [1.0, 255])
def test_psnr_is_that_of_scikit_image(shape, max_value):
    a, b = pair(shape)
    expected = peak_signal_noise_ratio(a * max_value, b * max_value, data_range=max_value)
    assert psnr(a * max_value, b * max_value, max_value) == pytest.approx(expected, abs=1e-9)


def test_psnr_of_one_grey_level_is_48_db():
    a = np.full((7, 5), 100, np.uint8)
    assert psnr(a, a + np.uint8(1), 255) == pytest.approx(48.1308, abs=1e-4)
    assert psnr(a + np.uint8(1), a, 255) == psnr(a, a + np.uint8(1), 255), "bytes wrapped around"


def test_equal_images_are_perfect():
    a, _ = pair((20, 11, 3))
    assert psnr(a, a) == math.inf
    assert ssim(a, a) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("shape", [(11, 11), (40, 53), (12, 31, 3), (64, 11, 1)])
@pytest.mark.parametrize("noise", [0.01, 0.2, 3.0])
@pytest.mark.parametrize("max_value", [1.0, 255])
def test_ssim_is_that_of_scikit_image(shape, noise, max_value):
    a, b = (image * max_value for image in pair(shape, noise))
    expected = structural_similarity(
        a, b, gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
        data_range=max_value, channel_axis=2 if len(shape) == 3 else None,
    )  # fmt: skip
    assert ssim(a, b, max_value) == pytest.approx(expected, abs=1e-9)


def test_ssim_of_the_negative_is_negative():
    a, _ = pair((30, 30))
    assert ssim(a, 1 - a) < -0.8


@pytest.mark.parametrize("metric", [psnr, ssim])
def test_unlike_images_are_not_compared(metric):
    with pytest.raises(ValueError, match=r"\(20, 20\) and \(20, 20, 1\)"):
        metric(np.zeros((20, 20)), np.zeros((20, 20, 1)))
    with pytest.raises(ValueError, match="max_value"):
        metric(np.zeros((20, 20), np.uint8), np.zeros((20, 20), np.uint8))


@pytest.mark.parametrize("shape", [(10, 40), (40, 10, 3), (121,)])
def test_ssim_needs_room_for_its_window(shape):
    with pytest.raises(ValueError, match="11x11"):
        ssim(np.zeros(shape), np.zeros(shape))
