"""Scoring: examples that do not depend on order, tables with the baseline, pictures."""

import json

import jax
import numpy as np
import pytest
from PIL import Image as Pillow
from skimage.metrics import peak_signal_noise_ratio

from configs import base
from nlrn_jax.config import build_model
from nlrn_jax.evaluate import evaluate, example, read_benchmarks, score, validate
from nlrn_jax.sources import Image, read_images
from nlrn_jax.state import create_state


@pytest.fixture
def network(tiny_config):
    return build_model(tiny_config), create_state(tiny_config).variables


@pytest.fixture
def sr_config(tiny_config):
    tiny_config.task = "sr"
    return tiny_config


def test_the_noise_of_a_file_depends_on_its_name_and_the_seed_only(tiny_config, photographs):
    pixels = photographs[0].pixels

    def noisy(name):
        return example(Image(name, pixels), tiny_config, 25.0).input

    np.testing.assert_array_equal(noisy("a/01.png"), noisy("elsewhere/01.png"))
    assert not np.array_equal(noisy("01.png"), noisy("02.png"))
    before = noisy("01.png")
    tiny_config.seed = 1
    assert not np.array_equal(before, noisy("01.png"))


def test_noise_is_unclipped_and_of_its_level(tiny_config):
    black = Image("black.png", np.zeros((200, 200), np.uint8))
    noise = example(black, tiny_config, 25.0).input * 255
    assert noise.min() < -50
    np.testing.assert_allclose(noise.std(), 25, rtol=0.02)


def test_colour_is_scored_on_its_luma_and_grey_as_it_is(sr_config):
    rng = np.random.default_rng(0)
    colour = rng.integers(0, 256, (32, 31, 3), np.uint8)
    test = example(Image("c.png", colour), sr_config, 3)
    assert (test.low.shape, test.input.shape) == ((10, 10, 3), (30, 30))
    luma = (16 + colour[:30, :30] @ np.array([65.481, 128.553, 24.966]) / 255) / 255
    np.testing.assert_allclose(test.original, luma, atol=1e-6)
    grey = example(Image("g.png", colour[..., 0]), sr_config, 3)
    np.testing.assert_allclose(grey.original, colour[:30, :30, 0] / 255, atol=1e-6)


def test_colour_networks_see_three_channels(tiny_config):
    tiny_config.model.channels = 3
    grey = Image("g.png", np.full((9, 8), 50, np.uint8))
    assert example(grey, tiny_config, 25.0).original.shape == (9, 8, 3)


@pytest.mark.parametrize(("scale", "published"), [(2, 33.66), (3, 30.39), (4, 28.42)])
def test_bicubic_on_set5_is_the_published_baseline(shared_data, scale, published):
    config = base.get_config()
    config.task = "sr"
    images = read_images(f"folder:{shared_data / 'set5'}")
    tests = [example(image, config, scale) for image in images]
    mean = np.mean([score(t.input, t.original, "sr", scale)["psnr"] for t in tests])
    assert abs(mean - published) < 0.03


def test_denoising_is_scored_on_rounded_grey_levels(tiny_config, photographs):
    test = example(photographs[0], tiny_config, 25.0)
    rounded = [np.clip(np.rint(255 * a), 0, 255) for a in (test.original, test.input)]
    expected = peak_signal_noise_ratio(*rounded, data_range=255)
    assert score(test.input, test.original, "denoise", 25.0)["psnr"] == pytest.approx(expected)


def test_evaluation_prints_the_baseline_and_the_network_for_each_image_and_their_mean(
    network, tiny_config, photographs, tmp_path, capsys
):
    results = evaluate(*network, tiny_config, {"folder:x": photographs}, tmp_path)
    lines = capsys.readouterr().out.partition("folder:x, sigma 25\n")[2].splitlines()
    assert "noisy dB" in lines[0]
    assert [line.split()[0] for line in lines[1:]] == ["0.png", "1.png", "2.png", "3.png", "mean"]
    figures = results["folder:x, sigma 25"]
    assert f"{figures['baseline_psnr']:.2f}" in lines[-1]
    assert f"{figures['network_psnr']:.2f}" in lines[-1]
    assert json.loads((tmp_path / "results.json").read_text()) == results


def test_evaluation_leaves_a_picture_of_each_image(network, tiny_config, photographs, tmp_path):
    twins = [Image(f"{folder}/same.png", photographs[0].pixels) for folder in "ab"]
    evaluate(*network, tiny_config, {"folder:x/y": twins}, tmp_path)
    pictures = sorted((tmp_path / "folder_x_y" / "sigma_25").iterdir())
    assert [p.name for p in pictures] == ["same-2.png", "same.png"]
    height, width = photographs[0].pixels.shape
    with Pillow.open(pictures[0]) as picture:
        assert picture.width >= 3 * width
        assert picture.height > height


def test_several_levels_are_several_tables(network, tiny_config, photographs, tmp_path):
    tiny_config.degrade.sigma = (15.0, 50.0)
    results = evaluate(*network, tiny_config, {"x": photographs[:1]}, tmp_path)
    assert set(results) == {"x, sigma 15", "x, sigma 50"}
    assert results["x, sigma 15"]["baseline_psnr"] > results["x, sigma 50"]["baseline_psnr"] + 8


def test_validation_agrees_with_evaluation_on_images_no_larger_than_its_crop(
    network, tiny_config, photographs, tmp_path
):
    tiny_config.evaluate.stride = tiny_config.evaluate.patch // 2
    tiny_config.checkpoint.crop = 64
    means, pictures = validate(*network, tiny_config, photographs)
    results = evaluate(*network, tiny_config, {"x": photographs}, tmp_path)["x, sigma 25"]
    assert len(pictures) == len(photographs)
    assert means == {name: results[name] for name in means}


def test_without_benchmarks_the_held_out_images_are_scored(tiny_config, photographs):
    assert read_benchmarks(tiny_config, photographs) == {"held-out": photographs}
    assert read_benchmarks(tiny_config, []) == {}


def test_each_source_of_a_list_is_its_own_benchmark(tiny_config, tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
        Pillow.new("L", (20, 20)).save(tmp_path / name / "x.png")
    tiny_config.data.eval = f"folder:{tmp_path}/a, folder:{tmp_path}/b"
    assert list(read_benchmarks(tiny_config, [])) == [f"folder:{tmp_path}/{name}" for name in "ab"]


def test_a_restored_image_is_what_is_scored(tiny_config, photographs, tmp_path):
    """A network of random weights cannot score what its input does."""
    model = build_model(tiny_config)
    state = create_state(tiny_config)
    kernel = state.variables["params"]["output_conv"]["kernel"]
    state.variables["params"]["output_conv"]["kernel"] = kernel + jax.random.normal(
        jax.random.key(1), kernel.shape
    )
    figures = evaluate(model, state.variables, tiny_config, {"x": photographs[:1]}, tmp_path)
    figures = figures["x, sigma 25"]
    assert abs(figures["network_psnr"] - figures["baseline_psnr"]) > 0.1
