"""The seven protocols: what is degraded and compared, and the published figures of baselines."""

import math

import numpy as np
import pytest
from PIL import Image as Pillow
from scipy.stats import norm
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from nlrn_jax.data.camera import as_jpeg
from nlrn_jax.data.sources import Image, read_images
from nlrn_jax.scoring.protocols import Setting, example, least_side, score, score_baseline

rng = np.random.default_rng(0)

# Mean PSNR of the baseline in dB by set and level. Noise: what it was measured as by others on
# BSD68, and 20 log10(255 / sigma). Bicubic: as published with VDSR, DRCN and others. JPEG: as
# published with AR-CNN, TNRD and DnCNN.
GOLDENS = {
    ("denoise", "set12"): {15.0: 24.61, 25.0: 20.17, 50.0: 14.15},
    ("denoise", "bsd68"): {15.0: 24.61, 25.0: 20.18, 50.0: 14.15},
    ("denoise_clipped", "bsd68"): {15.0: 24.80, 25.0: 20.48, 50.0: 14.92},
    ("jpeg", "classic5"): {10: 27.82, 20: 30.12, 30: 31.48, 40: 32.43},
    ("sr_y", "set5"): {2: 33.66, 3: 30.39, 4: 28.42},
    ("sr_y", "set14"): {2: 30.24, 3: 27.55, 4: 26.00},
    ("sr_y_float", "set5"): {2: 33.66, 3: 30.39, 4: 28.42},
    ("sr_y_float", "set14"): {2: 30.24, 3: 27.55, 4: 26.00},
    ("sr_rgb", "set5"): {2: 31.79},
}
SSIM_OF_BICUBIC = {2: 0.9299, 3: 0.8682, 4: 0.8104}  # Set5, with the same methods


def figures(folder, protocol, level, channels=1):
    """Return the baseline's mean psnr and ssim on a folder."""
    tests = (example(i, Setting(protocol, channels, 0), level) for i in read_images(folder))
    scores = [score_baseline(test, protocol, level) for test in tests]
    return {name: np.mean([s[name] for s in scores]) for name in ("psnr", "ssim")}


@pytest.mark.parametrize(("protocol", "name"), GOLDENS)
def test_baselines_are_the_published_ones(shared_data, protocol, name):
    for level, published in GOLDENS[protocol, name].items():
        found = figures(f"folder:{shared_data / name}", protocol, level)
        assert abs(found["psnr"] - published) < (0.01 if protocol == "jpeg" else 0.03), level
        if (protocol, name) == ("sr_y_float", "set5"):
            assert abs(found["ssim"] - SSIM_OF_BICUBIC[level]) < 1e-4, level


@pytest.mark.parametrize("sigma", [15.0, 50.0])
def test_clipped_noise_on_set12_has_the_power_that_its_distribution_says(shared_data, sigma):
    """Of each grey value, the chance of each of the 256 outcomes, from the normal distribution."""
    values = np.arange(256.0)
    below = norm.cdf((values[None, :-1] + 0.5 - values[:, None]) / sigma)
    chances = np.diff(below, axis=1, prepend=0, append=1)
    power = (chances * (values[None] - values[:, None]) ** 2).sum(1)
    folder = f"folder:{shared_data / 'set12'}"
    means = [np.mean(power[image.pixels]) for image in read_images(folder)]
    expected = np.mean([10 * math.log10(255**2 / mean) for mean in means])
    assert abs(figures(folder, "denoise_clipped", sigma)["psnr"] - expected) < 0.03


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_bicubic_in_rgb_is_that_of_matlabs_own_low_resolution(shared_data, scale):
    folder = shared_data / "set5_matlab_lr"
    for path in sorted((folder / "hr").iterdir()):
        image = Image(path.name, np.asarray(Pillow.open(path).convert("RGB")))
        low = np.asarray(Pillow.open(folder / f"x{scale}" / f"{path.stem}x{scale}.png"))
        setting = Setting("sr_rgb", 1, 0)
        own, given = example(image, setting, scale), example(image, setting, scale, low)
        np.testing.assert_array_equal(own.low, low)
        np.testing.assert_array_equal(own.input, given.input)
        inside = (slice(scale, -scale),) * 2
        pair = [
            np.rint(np.clip(a, 0, 1) * 255).astype(np.uint8)[inside]
            for a in (own.original, own.input)
        ]
        expected = structural_similarity(
            *pair, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, channel_axis=2
        )
        found = score_baseline(own, "sr_rgb", scale)
        assert found["psnr"] == pytest.approx(peak_signal_noise_ratio(*pair), abs=1e-9)
        assert found["ssim"] == pytest.approx(expected, abs=1e-6)


def test_bicubic_in_rgb_is_well_below_bicubic_luma(shared_data):
    """By 1.3 to 1.9 dB, as others measured it."""
    folder = f"folder:{shared_data / 'set14'}"
    luma, rgb = (figures(folder, protocol, 3)["psnr"] for protocol in ("sr_y", "sr_rgb"))
    assert 1.3 < luma - rgb < 1.9


@pytest.mark.parametrize("protocol", ["denoise", "denoise_clipped", "photo"])
def test_the_noise_of_a_file_depends_on_its_name_and_the_seed_only(protocol):
    pixels = rng.integers(0, 256, (20, 21), np.uint8)

    def noisy(name, seed=0):
        return example(Image(name, pixels), Setting(protocol, 1, seed), 25.0).input

    np.testing.assert_array_equal(noisy("a/01.png"), noisy("elsewhere/01.png"))
    assert not np.array_equal(noisy("01.png"), noisy("02.png"))
    assert not np.array_equal(noisy("01.png"), noisy("01.png", seed=1))


def test_a_name_that_is_no_text_has_its_noise_too():
    """Such as one in Shift-JIS, as Python spells it."""
    grey = np.full((40, 30), 128, np.uint8)
    odd, sound = (
        example(Image(name, grey), Setting("denoise", 1, 0), 25.0).input
        for name in ("1_\udc83.png", "1_.png")
    )
    assert odd.shape == sound.shape and not np.array_equal(odd, sound)


def test_noise_is_unclipped_and_of_its_level():
    black = Image("black.png", np.zeros((200, 200), np.uint8))
    noise = example(black, Setting("denoise", 1, 0), 25.0).input * 255
    assert noise.min() < -50
    np.testing.assert_allclose(noise.std(), 25, rtol=0.02)


def test_clipped_noise_is_the_same_noise_in_bytes():
    image = Image("x.png", rng.integers(0, 256, (40, 30), np.uint8))
    noisy = example(image, Setting("denoise", 1, 0), 50.0).input
    clipped = example(image, Setting("denoise_clipped", 1, 0), 50.0).input
    np.testing.assert_allclose(255 * clipped, np.rint(255 * noisy.clip(0, 1)), atol=1e-4)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("quality", [10, 40])
def test_the_protocol_jpeg_is_a_file_of_that_quality(channels, quality, tmp_path):
    colour = rng.integers(0, 256, (33, 30, 3), np.uint8)
    test = example(Image("c.png", colour), Setting("jpeg", channels, 0), quality)
    seen = np.rint(255 * test.original).astype(np.uint8)
    assert seen.ndim == (3 if channels == 3 else 2)
    Pillow.fromarray(seen).save(tmp_path / "c.jpg", quality=quality)
    expected = np.asarray(Pillow.open(tmp_path / "c.jpg"))
    np.testing.assert_allclose(255 * test.input, expected, atol=1e-4)
    found = score_baseline(test, "jpeg", quality)["psnr"]
    assert found == pytest.approx(peak_signal_noise_ratio(seen, expected), abs=1e-9)


@pytest.mark.parametrize("level", [10.0, 30.0])
def test_a_photo_is_noise_of_light_and_of_half_its_strength_then_a_file(level):
    """Far from black and white, by its power before JPEG, which is what JPEG of 100 would leave."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nlrn_jax.scoring.protocols.PHOTO_QUALITY", 100)
        for grey in (100, 150):
            image = Image("x.png", np.full((300, 300), grey, np.uint8))
            test = example(image, Setting("photo", 1, 0), level)
            power = (255 * (test.input - test.original)).var()
            expected = level**2 * grey / 255 + (level / 2) ** 2 + 1 / 12
            assert power == pytest.approx(expected, rel=0.03)


def test_a_photo_is_a_jpeg_of_quality_70():
    """What is coded already with its quality changes little when it is coded again."""
    image = Image("x.png", rng.integers(90, 160, (64, 64), np.uint8))
    test = example(image, Setting("photo", 1, 0), 20.0)
    changes = {q: np.square(as_jpeg(test.input, q) - test.input).mean() for q in (65, 70, 75)}
    assert changes[70] < 0.1 * min(changes[65], changes[75])


def test_the_luma_of_colour_is_enlarged_and_grey_is_used_as_it_is():
    colour = rng.integers(0, 256, (32, 31, 3), np.uint8)
    test = example(Image("c.png", colour), Setting("sr_y", 1, 0), 3)
    assert (test.low.shape, test.input.shape) == ((10, 10, 3), (30, 30))
    luma = (16 + colour[:30, :30] @ np.array([65.481, 128.553, 24.966]) / 255) / 255
    np.testing.assert_allclose(test.original, luma, atol=1e-6)
    grey = example(Image("g.png", colour[..., 0]), Setting("sr_y", 1, 0), 3)
    np.testing.assert_allclose(grey.original, colour[:30, :30, 0] / 255, atol=1e-6)


def test_the_low_resolution_of_sr_y_float_is_not_in_bytes():
    colour = rng.integers(0, 256, (32, 31, 3), np.uint8)
    test = example(Image("c.png", colour), Setting("sr_y_float", 1, 0), 2)
    assert test.low.shape == (16, 15) and test.input.shape == (32, 30)
    np.testing.assert_allclose(255 * test.original, np.rint(255 * test.original), atol=1e-4)
    assert abs(255 * test.low - np.rint(255 * test.low)).max() > 0.3


def test_colour_networks_see_three_channels():
    grey = Image("g.png", np.full((12, 12), 50, np.uint8))
    assert example(grey, Setting("denoise", 3, 0), 25.0).original.shape == (12, 12, 3)
    assert example(grey, Setting("sr_y", 3, 0), 2).input.shape == (12, 12, 3)


@pytest.mark.parametrize("protocol", ["sr_y", "sr_rgb"])
def test_a_grey_picture_scores_the_same_by_networks_of_one_and_of_three_channels(protocol):
    grey = Image("g.png", rng.integers(0, 256, (30, 30), np.uint8))
    one, three = (
        score_baseline(example(grey, Setting(protocol, channels, 0), 2), protocol, 2)
        for channels in (1, 3)
    )
    assert three == pytest.approx(one, abs=1e-6)


@pytest.mark.parametrize("protocol", ["denoise", "denoise_clipped", "jpeg", "photo"])
@pytest.mark.parametrize("shape", [(30, 25), (30, 25, 3)])
def test_denoised_images_are_scored_in_clipped_and_rounded_bytes(protocol, shape):
    original, output = rng.integers(0, 256, (2, *shape), dtype=np.uint8)
    assert score(original / 255 + 0.4 / 255, original / 255, protocol, 25.0)["psnr"] == math.inf
    white = np.ones(shape)
    assert score(white + 0.3, white, protocol, 25.0) == {"psnr": math.inf, "ssim": 1.0}
    found = score(output / 255, original / 255, protocol, 25.0)
    assert found["psnr"] == pytest.approx(peak_signal_noise_ratio(original, output), abs=1e-9)
    expected = structural_similarity(
        original, output, gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
        channel_axis=2 if len(shape) == 3 else None,
    )  # fmt: skip
    assert found["ssim"] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("protocol", ["sr_y", "sr_y_float", "sr_rgb"])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_super_resolution_shaves_scale_pixels_and_no_more(protocol, scale):
    original = np.full((31, 26), 0.4)
    output = original.copy()
    border = np.ones_like(original, bool)
    border[scale:-scale, scale:-scale] = False
    output[border] = 1
    assert score(output, original, protocol, scale)["psnr"] == math.inf
    output[scale, -scale - 1] = 1
    inside = (31 - 2 * scale) * (26 - 2 * scale)
    expected = 10 * math.log10(inside / 0.6**2)
    assert score(output, original, protocol, scale)["psnr"] == pytest.approx(expected, abs=1e-9)


def test_colour_is_compared_as_luma_or_in_all_channels():
    original, output = rng.integers(0, 256, (2, 30, 25, 3), dtype=np.uint8)
    inside = (slice(2, -2),) * 2
    luma = [np.rint(16 + a @ np.array([65.481, 128.553, 24.966]) / 255) for a in (original, output)]
    expected = {
        "sr_y": peak_signal_noise_ratio(*(a[inside] for a in luma), data_range=255),
        "sr_rgb": peak_signal_noise_ratio(original[inside], output[inside]),
    }
    for protocol, psnr in expected.items():
        found = score(output / 255, original / 255, protocol, 2)["psnr"]
        assert found == pytest.approx(psnr, abs=1e-6)


@pytest.mark.parametrize("protocol", ["denoise", "jpeg", "photo", "sr_y", "sr_y_float", "sr_rgb"])
@pytest.mark.parametrize("scale", range(2, 9))
def test_the_least_image_to_score_is_enough_and_a_smaller_one_is_not(protocol, scale):
    side = least_side(protocol, scale)

    def scored(side):
        image = Image("", np.zeros((side, side), np.uint8))
        return score_baseline(example(image, Setting(protocol, 1, 0), scale), protocol, scale)

    scored(side)
    with pytest.raises(ValueError, match="11x11"):
        scored(side - 1)
