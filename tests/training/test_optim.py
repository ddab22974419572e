"""The optimiser against its definitions in NumPy: the clip, the schedule, Adam."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn import FEW, ROUNDING

from configs import base
from nlrn_jax.training.optim import clip_each_tensor, learning_rate, optimizer


@pytest.fixture
def train():
    """The published recipe's `train` section."""
    return base.get_config().train


def gradients(seed=0):
    """Return tensors of several ranks and norms from 0 to some hundreds, float32."""
    rng = np.random.default_rng(seed)
    shapes = {"kernel": (3, 3, 4, 5), "bias": (5,), "scale": (), "nothing": (2, 2)}
    scales = {"kernel": 30.0, "bias": 0.3, "scale": 4.0, "nothing": 0.0}
    return {
        name: np.float32(scales[name] * rng.standard_normal(shape))
        for name, shape in shapes.items()
    }


def clipped(gradient, norm):
    """Return min(1, norm / |g|) g in float64; without a norm, g."""
    gradient = np.float64(gradient)
    length = np.sqrt(np.sum(gradient**2))
    return gradient * min(1.0, norm / length) if norm and length else gradient


def updates(chain, sequence):
    """Return the updates that a chain makes of a sequence of gradients."""
    params = jax.tree.map(np.zeros_like, sequence[0])
    state, made = chain.init(params), []
    for gradient in sequence:
        update, state = chain.update(gradient, state, params)
        made.append(update)
    return made


@pytest.mark.parametrize("norm", [0.1, 2.5, 1e4])
def test_each_tensor_is_clipped_by_its_own_norm(norm):
    before = gradients()
    (after,) = updates(clip_each_tensor(norm), [before])
    for name in before:
        np.testing.assert_allclose(after[name], clipped(before[name], norm), rtol=FEW)


def test_tensors_below_the_norm_are_left_alone_whatever_the_others_are():
    before = {"small": np.float32([1.5, 2.0]), "large": np.float32([300.0, 400.0])}
    (after,) = updates(clip_each_tensor(2.5), [before])
    np.testing.assert_array_equal(after["small"], before["small"])
    np.testing.assert_allclose(after["large"], [1.5, 2.0], rtol=FEW)


def test_zero_turns_the_clip_off():
    before = gradients()
    (after,) = updates(clip_each_tensor(0.0), [before])
    for name in before:
        np.testing.assert_array_equal(after[name], before[name])


@pytest.mark.parametrize("steps", [500_000, 5_000, 50])
def test_the_rate_is_halved_at_each_fraction_of_the_run(train, steps):
    train.steps = steps
    schedule = learning_rate(train)
    halvings = [steps * tenths // 10 for tenths in (2, 4, 6, 8, 9)]
    around = [halving + offset for halving in halvings for offset in (-1, 0, 1)]
    for step in (0, 1, *around, steps - 1, steps, 2 * steps):
        passed = sum(step >= halving for halving in halvings)
        assert float(schedule(step)) == pytest.approx(1e-3 * 0.5**passed, rel=1e-6), step


def test_without_halvings_the_rate_stays(train):
    train.halve_at = ()
    assert [float(learning_rate(train)(step)) for step in (0, 499_999)] == [pytest.approx(1e-3)] * 2


def test_cosine_falls_from_the_rate_to_zero(train):
    train.schedule, train.steps = "cosine", 200
    steps = np.arange(201)
    rates = np.array([learning_rate(train)(step) for step in steps])
    np.testing.assert_allclose(rates, 1e-3 * (1 + np.cos(np.pi * steps / 200)) / 2, atol=1e-3 * FEW)
    assert rates[0] == np.float32(1e-3) and rates[-1] == 0
    assert learning_rate(train)(300) == 0, "nor does it rise afterwards"


@pytest.mark.parametrize("schedule", ["halve", "cosine"])
def test_the_rate_depends_on_the_step_only(train, schedule):
    train.schedule, train.steps = schedule, 40
    one, other = learning_rate(train), jax.jit(learning_rate(train))
    steps = np.random.default_rng(0).permutation(45)
    in_some_order = {int(step): float(other(step)) for step in steps}
    for step in range(45):
        assert float(one(step)) == pytest.approx(in_some_order[step], rel=1e-6, abs=1e-10)


@pytest.mark.parametrize("clip", [2.5, 0.0])
@pytest.mark.parametrize("schedule", ["halve", "cosine"])
def test_three_updates_are_adam_s_of_the_clipped_gradients(train, clip, schedule):
    """Kingma and Ba 2015, algorithm 1, in float64; a halving falls on the third update."""
    train.clip, train.schedule, train.steps, train.halve_at = clip, schedule, 4, (0.5,)
    rates = [1e-3, 1e-3, 5e-4]
    if schedule == "cosine":
        rates = [1e-3 * (1 + np.cos(np.pi * t / 4)) / 2 for t in range(3)]
    sequence = [gradients(seed) for seed in range(3)]
    made = updates(optimizer(train), sequence)
    for name in sequence[0]:
        m = v = 0.0
        for t, rate in enumerate(rates, start=1):
            g = clipped(sequence[t - 1][name], clip)
            m = 0.9 * m + 0.1 * g
            v = 0.999 * v + 0.001 * g**2
            expected = -rate * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
            np.testing.assert_allclose(made[t - 1][name], expected, rtol=ROUNDING, atol=1e-9)


def test_a_resumed_optimiser_goes_on_with_the_schedule(train):
    """Of a constant gradient Adam makes steps of the learning rate, whatever its size."""
    train.steps = 10
    chain, params = optimizer(train), {"w": jnp.zeros(3)}
    gradient = {"w": jnp.float32([0.5, -1.0, 2.0])}
    state, lengths = chain.init(params), []
    for _ in range(10):
        update, state = chain.update(gradient, state, params)
        lengths.append(np.abs(update["w"]))
        copy = jax.tree.map(np.array, state)
        chain, state = optimizer(train), jax.tree.map(jnp.asarray, copy)
    expected = 1e-3 * 0.5 ** np.repeat([0, 1, 2, 3, 4, 5], [2, 2, 2, 2, 1, 1])
    np.testing.assert_allclose(lengths, np.repeat(expected[:, None], 3, axis=1), rtol=1e-4)
