"""What a camera does: noise of counted light, by its laws; JPEG, as others code it."""

import imagecodecs
import numpy as np
import pytest
from PIL import Image as Pillow

from nlrn_jax.data import camera
from nlrn_jax.data.camera import LONGEST, Camera, add_poisson_noise, as_jpeg
from nlrn_jax.data.degrade import add_noise
from nlrn_jax.data.pixels import to_float, to_uint8
from nlrn_jax.errors import UserError

ALWAYS = (1.0, 1.0, 1.0)
SHAPES = [(1, 1), (1, 9), (7, 5), (8, 8), (16, 16), (17, 33), (50, 41)]
rng = np.random.default_rng(0)


def picture(*shape):
    """Draw float32 whole grey levels / 255 that JPEG leaves much of: a ramp and some noise."""
    ramps = np.add.outer(np.linspace(30, 150, shape[0]), np.linspace(0, 60, shape[1]))
    ramps = ramps.reshape(*ramps.shape, *[1] * (len(shape) - 2)) + rng.uniform(0, 40, shape)
    return to_float(ramps.astype(np.uint8))


@pytest.mark.parametrize("sigma", [2.0, 10.0, 40.0, 150.0])
@pytest.mark.parametrize("grey", [0.02, 0.3, 1.0])
def test_light_has_the_mean_of_the_pixel_and_a_variance_that_grows_with_it(sigma, grey):
    """Four standard errors: of a mean, and of a variance, whose kurtosis is 1 / (x lam) more."""
    count, photons = 250_000, (255 / sigma) ** 2
    noisy = add_poisson_noise(np.full((500, 500), grey), sigma, np.random.default_rng(1))
    assert noisy.dtype == np.float32
    noisy, variance = noisy.astype(np.float64), grey * (sigma / 255) ** 2
    assert abs(noisy.mean() - grey) < 4 * np.sqrt(variance / count)
    error = np.sqrt((2 + 1 / (grey * photons)) / count)
    assert abs(noisy.var() / variance - 1) < 4 * error


def test_at_white_the_noise_is_as_strong_as_it_is_called():
    noise = add_poisson_noise(np.ones((400, 400)), 25.0, np.random.default_rng(2)) - 1
    assert 255 * noise.std() == pytest.approx(25, rel=0.01)
    assert noise.max() > 0.3, "not clipped"


def test_light_is_counted_pixel_by_pixel():
    noisy = add_poisson_noise(np.full((100, 100, 3), 0.5), 51.0, np.random.default_rng(3))
    np.testing.assert_allclose(25 * noisy, np.rint(25 * noisy), atol=1e-5)  # (255 / 51)^2 photons
    for other in (noisy[1:, :, 0], noisy[:-1, :, 1]):
        assert abs(np.corrcoef(noisy[:-1, :, 0].ravel(), other.ravel())[0, 1]) < 0.04


def test_black_and_no_noise_change_nothing():
    black = np.zeros((9, 8), np.float32)
    np.testing.assert_array_equal(add_poisson_noise(black, 40.0, rng), black)
    image = picture(9, 8)
    for sigma in (0.0, 1e-12, 1e-4):
        np.testing.assert_array_equal(add_poisson_noise(image, sigma, rng), image)
    np.testing.assert_allclose(add_poisson_noise(image, 0.01, rng), image, atol=6 * 0.01 / 255)


def test_light_of_bytes_is_refused():
    with pytest.raises(ValueError, match="to_float"):
        add_poisson_noise(np.zeros((4, 4), np.uint8), 25.0, rng)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("channels", [(), (3,)], ids=["grey", "colour"])
@pytest.mark.parametrize("quality", [1, 10, 40, 75, 100])
def test_jpeg_is_what_pillow_writes_to_a_file_by_itself(shape, channels, quality, tmp_path):
    image = picture(*shape, *channels)
    Pillow.fromarray(np.rint(255 * image).astype(np.uint8)).save(
        tmp_path / "x.jpg", quality=quality
    )
    with Pillow.open(tmp_path / "x.jpg") as opened:
        expected = np.asarray(opened)
    found = as_jpeg(image, quality)
    assert found.dtype == np.float32 and found.shape == image.shape
    np.testing.assert_array_equal(np.rint(255 * found), expected)
    np.testing.assert_allclose(255 * found, expected, atol=1e-4)


@pytest.mark.parametrize("channels", [(), (3,)], ids=["grey", "colour"])
def test_another_library_codes_alike(channels):
    """With the same tables and the same halved chroma; transforms may round by a level or two."""
    image = picture(64, 48, *channels)
    coded = imagecodecs.jpeg8_encode(to_uint8(image), level=30, subsampling="420")
    difference = 255 * as_jpeg(image, 30) - imagecodecs.jpeg8_decode(coded).astype(np.float64)
    assert abs(difference).max() < 3
    full = imagecodecs.jpeg8_encode(to_uint8(image), level=30, subsampling="444")
    full = 255 * as_jpeg(image, 30) - imagecodecs.jpeg8_decode(full).astype(np.float64)
    assert (abs(full).max() > 6) == bool(channels), "chroma is halved"


def test_jpeg_is_of_clipped_and_rounded_bytes():
    image = 3 * picture(20, 20) - 1
    whole = to_float(to_uint8(image))
    assert image.min() < 0 and image.max() > 1
    np.testing.assert_array_equal(as_jpeg(image, 50), as_jpeg(whole, 50))


def test_a_better_quality_leaves_more():
    image = picture(64, 64, 3)
    errors = [np.square(as_jpeg(image, quality) - image).mean() for quality in (5, 20, 50, 80, 100)]
    assert errors == sorted(errors, reverse=True) and errors[-1] > 0


def test_what_is_too_long_for_jpeg_is_refused():
    as_jpeg(np.zeros((1, LONGEST)), 50)
    with pytest.raises(UserError, match="65500 pixels a side"):
        as_jpeg(np.zeros((1, LONGEST + 1)), 50)


def test_light_comes_before_electronics_and_the_file_last():
    image = picture(20, 30, 3)
    found = Camera((20.0,), (10.0,), (60,), ALWAYS).take(image, np.random.default_rng(4))
    generator = np.random.default_rng(4)
    lit = add_poisson_noise(image, generator.uniform(20, 20), generator)
    noisy = add_noise(lit, generator.uniform(10, 10), generator)
    np.testing.assert_array_equal(found, as_jpeg(noisy, 60))


def test_gaussian_noise_alone_is_neither_clipped_nor_rounded():
    noisy = Camera((), (30.0,), (), ALWAYS).take(np.tile([0.0, 1.0], (30, 30)), rng)
    assert noisy.dtype == np.float32 and noisy.min() < 0 and noisy.max() > 1
    assert (abs(255 * noisy - np.rint(255 * noisy)) > 1e-3).mean() > 0.9


@pytest.mark.parametrize("jpeg, chance", [((), 1.0), ((90,), 0.0), ((90,), 1.0)])
def test_what_a_camera_gives_is_a_file_whether_of_jpeg_or_not(jpeg, chance):
    taking = Camera((20.0,), (30.0,), jpeg, (1.0, 1.0, chance))
    taken = taking.take(np.tile([0.0, 1.0], (30, 30)), rng)
    assert taken.dtype == np.float32 and taken.min() == 0 and taken.max() == 1
    np.testing.assert_allclose(255 * taken, np.rint(255 * taken), atol=1e-4)


def happened(chances, count=600):
    """Return how often each of the three happened, caught where they are called."""
    calls = []
    with pytest.MonkeyPatch.context() as patch:
        for name in ("add_poisson_noise", "add_noise", "as_jpeg"):
            patch.setattr(camera, name, lambda image, *_, name=name: calls.append(name) or image)
        taking = Camera((0.0, 40.0), (0.0, 20.0), (40, 100), chances)
        generator = np.random.default_rng(5)
        for _ in range(count):
            taking.take(np.zeros((1, 1)), generator)
    return [calls.count(name) / count for name in ("add_poisson_noise", "add_noise", "as_jpeg")]


def test_each_happens_by_its_chance():
    assert happened((1.0, 0.0, 1.0)) == [1, 0, 1]
    for found, chance in zip(happened((0.9, 0.5, 0.7)), (0.9, 0.5, 0.7), strict=True):
        assert abs(found - chance) < 4 * np.sqrt(chance * (1 - chance) / 600)


def test_qualities_span_their_range_evenly_both_ends_with_it(monkeypatch):
    seen = []
    monkeypatch.setattr(camera, "as_jpeg", lambda image, quality: seen.append(quality) or image)
    taking = Camera((), (0.0,), (40, 42), ALWAYS)
    for _ in range(300):
        taking.take(np.zeros((1, 1)), rng)
    # 300 draws, chance 1/3 each: 100, standard deviation 8.2
    assert all(abs(seen.count(quality) - 100) < 4 * 8.2 for quality in (40, 41, 42))


@pytest.mark.parametrize("nothing", [(), (0.0,)])
def test_a_camera_of_nothing_changes_nothing_and_draws_nothing(nothing):
    image, generator = picture(5, 6), np.random.default_rng(6)
    found = Camera(nothing, nothing, (), ALWAYS).take(image, generator)
    np.testing.assert_array_equal(found, image)
    assert generator.random() == np.random.default_rng(6).random()
