"""When a run is validated: within its share of the time, and where a resumed run would."""

import jax
import numpy as np
import pytest

from configs import base
from nlrn_jax.config import build_model
from nlrn_jax.data.sources import Image
from nlrn_jax.restoring import patches
from nlrn_jax.scoring.evaluate import validate
from nlrn_jax.scoring.validation import checkpoints_apart, is_due, multiply_adds, validated_pixels

SHARES = (0.01, 0.1, 0.3, 0.9)


def images(*shapes):
    return [Image(f"{k}.png", np.zeros(shape, np.uint8)) for k, shape in enumerate(shapes)]


def due(config, held_out):
    """Return the steps whose checkpoint is validated."""
    steps = range(config.checkpoint.every, config.train.steps + 1, config.checkpoint.every)
    return [step for step in {*steps, config.train.steps} if is_due(config, held_out, step)]


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


@pytest.mark.parametrize("task, levels", [("denoise", (25.0,)), ("denoise", (5.0, 50.0)),
                                          ("sr", (2, 3))])  # fmt: skip
def test_the_pixels_estimated_are_those_that_pass_the_network(
    task, levels, tiny_config, monkeypatch
):
    config, seen = tiny_config, []
    config.task = task
    config.degrade.update(sigma=levels) if task == "denoise" else config.degrade.update(
        scales=levels
    )
    config.checkpoint.crop = 36  # a multiple of every scale

    def count(model, variables, x, size=None):
        seen.append(x.size)
        return x

    monkeypatch.setattr(patches, "apply", count)
    held_out = images((48, 40), (36, 60), (54, 54))
    validate(build_model(config), {}, config, held_out)
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
    assert not due(tiny_config, [])
