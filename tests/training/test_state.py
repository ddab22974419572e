"""The state of training and its step."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from drawn import FEW, ROUNDING

from nlrn_jax.network import layers, model
from nlrn_jax.network.build import build_model
from nlrn_jax.network.correlation import Carrier
from nlrn_jax.training.optim import rest_idle_biases
from nlrn_jax.training.state import (
    create_state,
    evaluated_variables,
    mean_squared_error,
    train_step,
)


def batch_for(config, key=0):
    shape = (config.train.batch, config.data.patch, config.data.patch, 1)
    target = np.random.default_rng(key).random(shape, np.float32)
    noise = np.random.default_rng(key + 1).standard_normal(shape, np.float32)
    return {"input": target + noise * 25 / 255, "target": target}


def stepper(config):
    return jax.jit(functools.partial(train_step, build_model(config), config.train))


def test_weights_depend_on_the_seed_only(tiny_config):
    first, again = create_state(tiny_config), create_state(tiny_config)
    jax.tree.map(np.testing.assert_array_equal, first, again)
    tiny_config.seed = 1
    kernels = [
        s.variables["params"]["input_conv"]["kernel"] for s in (first, create_state(tiny_config))
    ]
    assert not np.array_equal(*kernels)


def test_a_frozen_step_descends_the_loss_of_the_network_that_is_evaluated(tiny_config):
    model, batch = build_model(tiny_config), batch_for(tiny_config)
    state, _ = stepper(tiny_config)(create_state(tiny_config), batch)

    def evaluated(params):
        output = model.apply(state.variables | {"params": params}, batch["input"])
        return mean_squared_error(output, batch["target"], 0)

    step = functools.partial(train_step, model, tiny_config.train, frozen=True)
    after, loss = jax.jit(step)(state, batch)
    expected, gradients = jax.jit(jax.value_and_grad(evaluated))(state.variables["params"])
    np.testing.assert_allclose(loss, expected, rtol=FEW)
    norm = optax.tree.norm(rest_idle_biases(gradients))
    np.testing.assert_allclose(after.sums["grad_norm"] - state.sums["grad_norm"], norm, rtol=1e-4)
    jax.tree.map(
        np.testing.assert_array_equal,
        after.variables["batch_stats"],
        state.variables["batch_stats"],
    )


@pytest.mark.parametrize("crop", [0, 1, 4, 5, 9])
def test_the_loss_is_the_mean_square_in_grey_levels_over_the_central_square(crop):
    output, target = np.random.default_rng(0).random((2, 3, 9, 9, 1))
    start = (9 - crop) // 2 if crop else 0
    area = slice(start, start + (crop or 9))
    expected = np.mean((255 * (output - target))[:, area, area] ** 2)
    np.testing.assert_allclose(mean_squared_error(output, target, crop), expected, rtol=FEW)


@pytest.mark.parametrize("crop", [0, 5])
def test_a_step_knows_the_loss_of_its_input(tiny_config, crop):
    """By how much a run gains is seen against it."""
    tiny_config.train.loss_crop = crop
    batch, step = batch_for(tiny_config), stepper(tiny_config)
    state, _ = step(create_state(tiny_config), batch)
    before = mean_squared_error(batch["input"], batch["target"], crop)
    np.testing.assert_allclose(state.sums["baseline"], before, rtol=1e-5)
    state, _ = step(state, batch)
    np.testing.assert_allclose(state.sums["baseline"], 2 * before, rtol=1e-5)


def test_a_step_counts_and_sums_and_moves_every_tensor(tiny_config):
    state = create_state(tiny_config)
    after, loss = stepper(tiny_config)(state, batch_for(tiny_config))
    assert int(after.step) == 1
    assert float(after.sums["loss"]) == float(loss) > 0
    assert float(after.sums["steps"]) == 1
    # With g at zero nothing reaches theta and phi in the first step, as the authors start.
    unmoved = {
        "/".join(str(key.key) for key in path)
        for path, moved in jax.tree_util.tree_leaves_with_path(
            jax.tree.map(
                lambda a, b: not np.array_equal(a, b),
                state.variables["params"],
                after.variables["params"],
            )
        )
        if not moved
    }
    idle = {"input_conv", "cell/phi", "cell/g", "cell/conv_a", "cell/conv_b"}
    assert unmoved == {"cell/theta/kernel", "cell/theta/bias", "cell/phi/kernel"} | {
        f"{layer}/bias" for layer in idle
    }


@pytest.mark.parametrize("window", [None, 5])
@pytest.mark.parametrize("carry", ["logits", "embeddings"])
def test_only_biases_without_a_gradient_are_left_where_they_are(tiny_config, window, carry):
    """What autodiff gives for them is rounding, beside any other tensor's gradient."""
    tiny_config.model.update(neighborhood=window, carry=carry)
    model, batch = build_model(tiny_config), batch_for(tiny_config)
    variables = create_state(tiny_config).variables
    noise = np.random.default_rng(0)  # g is zero at first, and nothing would reach theta and phi
    params = jax.tree.map(
        lambda p: p + 0.1 * noise.standard_normal(p.shape, np.float32), variables["params"]
    )

    def loss(params):
        output, _ = model.apply(
            variables | {"params": params}, batch["input"], train=True, mutable="batch_stats"
        )
        return mean_squared_error(output, batch["target"], 0)

    gradients = jax.jit(jax.grad(loss))(params)
    sizes = [float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(gradients)]
    kept = [float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(rest_idle_biases(gradients))]
    dropped = [size for size, left in zip(sizes, kept, strict=True) if not left]
    assert len(dropped) == 5 and max(dropped) < 1e-5 * max(sizes)
    assert min(filter(None, kept)) > 10 * max(dropped)


def test_the_loss_falls_on_a_batch_seen_again_and_again(tiny_config):
    tiny_config.train.learning_rate, tiny_config.train.steps = 1e-2, 1000
    state, step, batch = create_state(tiny_config), stepper(tiny_config), batch_for(tiny_config)
    losses = []
    for _ in range(40):
        state, loss = step(state, batch)
        losses.append(float(loss))
    assert losses[-1] < 0.5 * losses[0]


def test_a_fresh_network_starts_near_its_input(tiny_config):
    _, loss = stepper(tiny_config)(create_state(tiny_config), batch_for(tiny_config))
    assert float(loss) < 1.25 * 25**2  # 20.2 dB is 625 grey levels squared


def test_the_average_follows_the_weights_by_its_decay(tiny_config):
    tiny_config.train.ema = 0.9
    state = create_state(tiny_config)
    after, _ = stepper(tiny_config)(state, batch_for(tiny_config))
    expected = jax.tree.map(lambda a, b: 0.9 * a + 0.1 * b, state.average, after.variables)
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=ROUNDING, atol=FEW),
        after.average,
        expected,
    )
    assert evaluated_variables(after) is after.average


def test_without_averaging_the_weights_themselves_are_evaluated(tiny_config):
    state = create_state(tiny_config)
    assert state.average is None
    assert evaluated_variables(state) is state.variables


def test_one_bad_pixel_shows_in_the_sums_until_they_are_read(tiny_config):
    batch, step = batch_for(tiny_config), stepper(tiny_config)
    batch["input"][0, 0, 0, 0] = np.nan
    state, _ = step(create_state(tiny_config), batch)
    state, _ = step(state, batch_for(tiny_config))
    assert not np.isfinite(state.sums["loss"])


def test_the_loss_crop_decides_what_is_learned(tiny_config):
    """Errors outside the central square change neither loss nor weights."""
    tiny_config.train.loss_crop = 4
    step, state, batch = stepper(tiny_config), create_state(tiny_config), batch_for(tiny_config)
    other = batch | {"target": batch["target"].copy()}
    other["target"][:, 0] += 0.5
    a, b = (step(state, one)[0].variables["params"] for one in (batch, other))
    jax.tree.map(np.testing.assert_array_equal, a, b)
    assert jnp.isfinite(step(state, batch)[1])


def test_fifty_steps_of_the_fast_forms_are_fifty_steps_of_the_plain_ones(tiny_config, monkeypatch):
    """The custom gradients of the convolution and of the non-local operation against autodiff."""

    def convolve(x, kernel):
        names = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=names)

    def respond(theta, phi, g, correlation, index, size):
        flat = [x.reshape(len(x), -1, x.shape[-1]) for x in (theta, phi, g)]
        correlation += jnp.einsum("nil,njl->nij", *flat[:2])
        response = jnp.einsum("nij,njm->nim", jax.nn.softmax(correlation), flat[2])
        return response.reshape(g.shape), correlation

    def start(features, width, dtype):
        count, height, width, _ = features.shape
        return jnp.zeros((count, height * width, height * width))

    carrier = Carrier(start, respond, finish=lambda features, correlation: features)

    def losses():
        state, step, found = create_state(tiny_config), stepper(tiny_config), []
        for key in range(50):
            state, loss = step(state, batch_for(tiny_config, key))
            found.append(float(loss))
        return found

    fast = losses()
    monkeypatch.setattr(layers, "convolve", convolve)
    monkeypatch.setattr(model, "carrier_of", lambda *_: carrier)
    plain = losses()
    assert fast != plain  # or the plain forms were not used
    np.testing.assert_allclose(fast, plain, rtol=10 * ROUNDING)


def gradients_of(config, batch):
    """Return the gradients of a step as its first moment shows them: Adam's mu is 0.1 of them."""
    config.train.clip, config.train.batch = 0.0, len(batch["input"])
    noise = np.random.default_rng(0)  # else g is zero at first, and nothing reaches theta and phi
    state = create_state(config)
    params = jax.tree.map(
        lambda p: p + 0.1 * noise.standard_normal(p.shape, np.float32), state.variables["params"]
    )
    state = state.replace(variables=state.variables | {"params": params})
    after, loss = stepper(config)(state, batch)
    return after.optimizer[1][0].mu, after.variables["batch_stats"], loss


def close(a, b):
    largest = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(b))
    check = functools.partial(
        np.testing.assert_allclose, rtol=10 * ROUNDING, atol=ROUNDING * largest
    )
    jax.tree.map(check, a, b)


def test_micro_batches_that_are_alike_are_one_batch(tiny_config):
    """With equal statistics there is nothing between accumulation and the plain step."""
    tiny_config.train.batch = 3
    one = batch_for(tiny_config)
    both = {name: np.repeat(rows, 2, axis=0) for name, rows in one.items()}  # 0 0 1 1 2 2
    plain = gradients_of(tiny_config, both)
    tiny_config.train.accumulate = 2
    close(gradients_of(tiny_config, both), plain)


def test_accumulation_is_the_mean_over_micro_batches(tiny_config):
    """Of gradients, running statistics and loss; rows are dealt out one by one."""
    tiny_config.train.batch = 6
    batch = batch_for(tiny_config)
    parts = [{name: rows[i::3] for name, rows in batch.items()} for i in range(3)]
    alone = [gradients_of(tiny_config, part) for part in parts]
    expected = jax.tree.map(lambda *leaves: sum(leaves) / 3, *alone)
    tiny_config.train.accumulate = 3
    close(gradients_of(tiny_config, batch), expected)
    tiny_config.train.accumulate = 1
    whole, _, _ = gradients_of(tiny_config, batch)
    with pytest.raises(AssertionError):  # other statistics than the whole batch's
        close(whole, expected[0])
