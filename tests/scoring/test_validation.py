"""When a run is validated, and on what: in its share of the time, where a resumed run would be."""

import functools

import jax
import numpy as np
import pytest

from configs import base
from nlrn_jax.data.sources import Image
from nlrn_jax.errors import UserError
from nlrn_jax.network.build import build_model
from nlrn_jax.restoring import memory, patches, way
from nlrn_jax.scoring.benchmarks import Benchmark, tables, tables_to_score
from nlrn_jax.scoring.evaluate import evaluate
from nlrn_jax.scoring.methods import Method, baseline, restore_example, way_of
from nlrn_jax.scoring.protocols import example, score_baseline, setting_of
from nlrn_jax.scoring.validation import (
    Validator,
    checkpoints_apart,
    multiply_adds,
    validated_pixels,
)
from nlrn_jax.training.state import create_state

SHARES = (0.01, 0.1, 0.3, 0.9)


def images(*shapes):
    return [Image(f"{k}.png", np.zeros(shape, np.uint8)) for k, shape in enumerate(shapes)]


def due(config, held_out):
    """Return the steps whose checkpoint is validated."""
    steps = range(config.checkpoint.every, config.train.steps + 1, config.checkpoint.every)
    validator = Validator(config, held_out)
    return [step for step in {*steps, config.train.steps} if validator.due(step)]


@pytest.mark.parametrize("neighborhood", [None, 5])
def test_a_pixel_costs_what_the_compiler_counts(neighborhood):
    """The ratio of two patches; what both leave out, norms and softmax, is a tenth or less."""
    config = base.get_config()
    config.model.steps, config.model.neighborhood = 1, neighborhood
    model = build_model(config)

    def flops(side):
        x = jax.ShapeDtypeStruct((1, side, side, 1), np.float32)
        variables = jax.eval_shape(model.init, jax.random.key(0), x)
        return jax.jit(model.apply).lower(variables, x).cost_analysis()["flops"]

    if neighborhood is None:
        expected = (flops(43) / 43**2) / (flops(24) / 24**2)
        ratio = multiply_adds(config, 43) / multiply_adds(config, 24)
        np.testing.assert_allclose(ratio, expected, rtol=0.05)
        np.testing.assert_allclose(2 * 43**2 * multiply_adds(config, 43), flops(43), rtol=0.1)
    else:
        assert multiply_adds(config, 43) == multiply_adds(config, 24)


@pytest.mark.parametrize(
    "task, field, level",
    [("denoise", "sigma", (25.0,)), ("denoise", "sigma", (0.0, 30.0)), ("sr", "scales", (2, 3))],
)
def test_the_pixels_estimated_are_those_that_pass_the_network(
    task, field, level, tiny_config, monkeypatch
):
    config, seen = tiny_config, []
    config.task, config.degrade[field] = task, level
    config.checkpoint.crop = 36  # a multiple of every scale

    def count(model, variables, x, size=None):
        seen.append(x.size)
        return x

    monkeypatch.setattr(patches, "apply", count)
    held_out = images((48, 40), (36, 60), (54, 54))
    Validator(config, held_out).score({})
    assert sum(seen) == validated_pixels(config, held_out)


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("every", [5, 50])
@pytest.mark.parametrize("whole", [False, True])
def test_validation_keeps_its_share_and_wastes_less_than_half_of_it(share, every, whole):
    config = base.quick(base.get_config())
    config.checkpoint.update(every=every, validation_share=share)
    config.train.steps = 20_000
    config.evaluate.whole = whole
    held_out = images((200, 150), (100, 300))
    counted = [step for step in due(config, held_out) if step < config.train.steps]

    side = config.data.patch + 1 if whole else config.evaluate.patch
    one = validated_pixels(config, held_out) * multiply_adds(config, side)
    step = 2 * config.train.batch * config.data.patch**2
    trained = config.train.steps * step * multiply_adds(config, config.data.patch)
    spent = len(counted) * one
    assert spent / (spent + trained) <= share
    apart = checkpoints_apart(config, held_out)
    assert apart == 1 or spent / (spent + trained) > share / 2


def test_a_larger_share_never_validates_less(tiny_config):
    held_out = images((64, 64))
    tiny_config.train.steps = 200
    counts = []
    for share in (0.0, *SHARES, 1.0):
        tiny_config.checkpoint.validation_share = share
        counts.append(len(due(tiny_config, held_out)))
    assert counts == sorted(counts)
    assert counts[0] == 0 and counts[-1] == 200 // tiny_config.checkpoint.every


def test_the_last_step_is_validated_however_small_the_share(tiny_config):
    tiny_config.checkpoint.validation_share = 1e-6
    assert due(tiny_config, images((64, 64))) == [tiny_config.train.steps]


def test_nothing_held_out_is_never_due(tiny_config):
    assert not due(tiny_config, []) and not Validator(tiny_config, [])


def test_a_validator_is_true_where_something_is_ever_validated(tiny_config):
    assert Validator(tiny_config, images((64, 64)))
    tiny_config.checkpoint.validation_share = 0.0
    assert not Validator(tiny_config, images((64, 64)))


@pytest.mark.parametrize("task, least", [("denoise", 11), ("sr", 18)])
def test_images_too_small_to_score_are_refused_beforehand(task, least, tiny_config):
    tiny_config.task, tiny_config.degrade.scales = task, (2, 3)
    Validator(tiny_config, images((least, least)))
    with pytest.raises(UserError, match=rf"0\.png: {least} x {least - 1} pixels .*scoring"):
        Validator(tiny_config, images((least - 1, least)))


@pytest.fixture
def network(tiny_config):
    """Variables of the tiny denoiser, whose output is not its input."""
    variables = create_state(tiny_config).variables
    return jax.tree.map(lambda a: a + 0.02, variables)


def test_validation_agrees_with_evaluation_on_images_no_larger_than_its_crop(
    network, tiny_config, photographs, tmp_path
):
    tiny_config.evaluate.stride = tiny_config.evaluate.patch // 2
    tiny_config.checkpoint.crop = 64
    restore = functools.partial(
        restore_example, build_model(tiny_config), network, way_of(tiny_config)
    )
    methods = [baseline("denoise"), Method("NLRN", "network", restore)]
    scored = tables([Benchmark("x", photographs)], (25.0,), setting_of(tiny_config))
    means = evaluate(methods, tiny_config, scored, tmp_path, "command")["tables"][0]["means"]
    assert Validator(tiny_config, photographs).score(network).figures == {
        "validation_psnr": means["NLRN"]["psnr"],
        "validation_baseline": means["noisy"]["psnr"],
    }


def test_validation_does_not_depend_on_what_is_evaluated_at_the_end(
    network, tiny_config, photographs
):
    """Else a resumed run could not be compared with its past."""
    expected = Validator(tiny_config, photographs[:1]).score(network).figures
    tiny_config.evaluate.update(protocol="denoise_clipped", levels=(50.0,), ensemble=True, stride=3)
    assert Validator(tiny_config, photographs[:1]).score(network).figures == expected


def test_a_validation_says_how_far_it_is(network, tiny_config, photographs):
    tiny_config.degrade.sigma, done = (25.0, 50.0), []
    Validator(tiny_config, photographs).score(network, done.append)
    assert sum(done) == pytest.approx(1) and max(done) <= 1 / 8  # of two levels of four images


def test_the_centre_of_each_image_is_scored(network, tiny_config, photographs):
    tiny_config.checkpoint.crop = 12
    expected = Validator(tiny_config, photographs).score(network).figures
    for image in photographs:
        image.pixels[:6] = image.pixels[18:] = 0
        image.pixels[:, :4] = image.pixels[:, 16:] = 255
    assert Validator(tiny_config, photographs).score(network).figures == expected
    for image in photographs:
        image.pixels[6, 4] ^= 128
    assert Validator(tiny_config, photographs).score(network).figures != expected


def test_of_each_image_there_is_one_picture_whatever_the_levels(network, tiny_config, photographs):
    tiny_config.checkpoint.crop = 64
    expected = Validator(tiny_config, photographs).score(network).pictures
    assert list(expected) == [image.name for image in photographs]
    tiny_config.degrade.sigma = (20.0, 50.0)
    pictures = Validator(tiny_config, photographs).score(network).pictures
    for name, picture in pictures.items():
        assert picture.dtype == np.uint8 and picture.shape[1] >= 3 * 20
        np.testing.assert_array_equal(picture, expected[name])


def test_a_range_of_noise_is_validated_inside_it(network, tiny_config, photographs):
    """At the published levels: without noise there is nothing to gain, and PSNR is infinite."""
    tiny_config.checkpoint.crop = 64
    alone = []
    for level in (15.0, 25.0, 50.0):
        tiny_config.degrade.sigma = (level,)
        alone.append(Validator(tiny_config, photographs).score(network).figures)
    tiny_config.degrade.sigma = (0.0, 55.0)
    found = Validator(tiny_config, photographs).score(network).figures
    for name, value in found.items():
        assert value == pytest.approx(np.mean([figures[name] for figures in alone]))
    assert 10 < found["validation_baseline"] < 30


@pytest.mark.parametrize(
    "degrade, protocol, levels",
    [
        ({"poisson": (0.0, 20.0), "sigma": (0.0, 9.0), "jpeg": (40, 90)}, "photo", (10.0, 20.0)),
        ({"sigma": (0.0,), "jpeg": (10, 25)}, "jpeg", (10, 20)),
    ],
)
def test_a_network_is_validated_by_its_own_protocol_whatever_it_is_evaluated_by(
    degrade, protocol, levels, network, tiny_config, photographs
):
    tiny_config.degrade.update(degrade)
    found = Validator(tiny_config, photographs[:2]).score(network).figures
    setting = setting_of(tiny_config)
    assert setting.protocol == protocol
    centres = [Image(name, pixels[4:20, 2:18]) for name, pixels in photographs[:2]]
    baselines = [
        score_baseline(example(image, setting, level), protocol, level)["psnr"]
        for level in levels for image in centres
    ]  # fmt: skip
    assert found["validation_baseline"] == pytest.approx(np.mean(baselines))
    tiny_config.evaluate.update(protocol="denoise", levels=(50.0,))
    assert Validator(tiny_config, photographs[:2]).score(network).figures == found


@pytest.fixture
def enlarger(tiny_config):
    """The configuration of a network that enlarges twice, and its variables."""
    tiny_config.task, tiny_config.degrade.scales, tiny_config.checkpoint.crop = "sr", (2,), 64
    return tiny_config, jax.tree.map(lambda a: a + 0.02, create_state(tiny_config).variables)


def test_a_plain_picture_which_bicubic_enlarges_without_fault_is_left_out(enlarger, photographs):
    config, network = enlarger
    plain = Image("plain.png", np.full((24, 20), 90, np.uint8))
    expected = Validator(config, photographs).score(network).figures
    found = Validator(config, [plain, *photographs]).score(network)
    assert found.figures == expected and all(map(np.isfinite, expected.values()))
    assert "plain.png" in found.pictures


def test_where_every_input_is_perfect_the_network_still_has_a_figure(enlarger):
    config, network = enlarger
    plain = [Image("plain.png", np.full((24, 20), 90, np.uint8))]
    figures = Validator(config, plain).score(network).figures
    assert np.isinf(figures["validation_baseline"]) and np.isfinite(figures["validation_psnr"])
    nothing = jax.tree.map(np.zeros_like, network)
    assert Validator(config, plain).score(nothing).figures["validation_psnr"] == 100


@pytest.mark.parametrize("whole", [True, False])
def test_what_does_not_fit_the_memory_is_refused_before_training(
    whole, tiny_config, photographs, monkeypatch
):
    tiny_config.evaluate.update(whole=whole, patch=500, stride=7)
    Validator(tiny_config, photographs)
    for place in (way, memory):
        monkeypatch.setattr(place, "default_memory", lambda: 2**14)
    with pytest.raises(UserError, match=r"16KiB allowed: .*raise the memory"):
        Validator(tiny_config, photographs)
    with pytest.raises(UserError, match=r"16KiB allowed: .*raise the memory"):
        tables_to_score(tiny_config, (25.0,), photographs)
    assert tables_to_score(tiny_config, (25.0,), []) == []
