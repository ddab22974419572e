"""Handing on the correlation without keeping it has the gradient of keeping it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn import ROUNDING, close

from nlrn_jax.network.correlation import carrier_of
from nlrn_jax.network.non_local import form_of, non_local

SHAPE, STATES, EMBEDDING, FEATURES = (2, 5, 6), 3, 4, 3


def draw(dtype="float32"):
    """Draw theta, phi and g of all states, [T, N, H, W, C]."""
    rng = np.random.default_rng(0)
    sizes = EMBEDDING, EMBEDDING, FEATURES
    return [jnp.asarray(rng.standard_normal((STATES, *SHAPE, s)), dtype) for s in sizes]


def keeping(states, size, window, weights):
    """Chain the states by `non_local`, whose every correlation is kept for the gradient."""
    total, correlation = 0, None
    for theta, phi, g in zip(*states, strict=True):
        response, correlation = non_local(theta, phi, g, correlation, window, size, weights)
        total = total + jnp.sin(response)
    return total


def handing_on(form, states, size, window, weights):
    """Chain them by scanning with a carrier that keeps nothing."""
    carrier = carrier_of(window, True, form, "correlation", weights)

    def step(carry, x):
        total, correlation = carry
        index, (theta, phi, g) = x
        response, correlation = carrier.respond(theta, phi, g, correlation, index, size)
        return (total + jnp.sin(response), correlation), None

    total = jnp.zeros(states[2].shape[1:], states[2].dtype)
    start = carrier.start(states[0][0], STATES * EMBEDDING, states[0].dtype)
    (total, correlation), _ = jax.lax.scan(step, (total, start), (jnp.arange(STATES), states))
    return carrier.finish(total, correlation)


def loss_and_gradient(chain, states, size, window, weights="softmax"):
    onto = jnp.asarray(np.random.default_rng(1).standard_normal((*SHAPE, FEATURES)))
    if size is not None:
        onto = onto.at[:, size[0] :].set(0).at[:, :, size[1] :].set(0)
    project = jax.value_and_grad(
        lambda states: jnp.sum(onto * chain(states, size, window, weights))
    )
    return jax.jit(project)(states)


@pytest.mark.parametrize("form", ["logits", "embeddings"])
@pytest.mark.parametrize("window", [None, 3])
@pytest.mark.parametrize(
    "size, weights", [(None, "softmax"), ((4, 5), "softmax"), ((4, 5), "mean")]
)
def test_the_gradient_is_that_of_keeping_every_correlation(form, window, size, weights):
    size = None if size is None else np.array(size, np.int32)
    chain = functools.partial(handing_on, form)
    loss, gradient = loss_and_gradient(chain, draw(), size, window, weights)
    kept_loss, kept_gradient = loss_and_gradient(keeping, draw(), size, window, weights)
    np.testing.assert_allclose(loss, kept_loss, rtol=ROUNDING)
    for ours, kept in zip(gradient, kept_gradient, strict=True):
        close(ours, kept)
        assert abs(kept).max() > 0.1


@pytest.mark.parametrize("form", ["logits", "embeddings"])
def test_in_bfloat16_the_gradient_stays_near_that_of_float32(form):
    chain = functools.partial(handing_on, form)
    _, half = loss_and_gradient(chain, draw("bfloat16"), None, None)
    _, single = loss_and_gradient(chain, draw(), None, None)
    for ours, expected in zip(half, single, strict=True):
        assert ours.dtype == jnp.bfloat16
        np.testing.assert_allclose(
            ours.astype(np.float32), expected, atol=0.05 * abs(expected).max()
        )


@pytest.mark.parametrize("window", [None, 3])
def test_undoing_a_state_gives_the_correlation_before_it(window):
    theta, phi, g = (x[0] for x in draw())
    _, before = non_local(phi, theta, g, None, window)
    form = form_of(window)
    _, _, after = form.forward(theta, phi, g, before, None)
    assert abs(after - before).max() > 1
    close(form.undo(theta, phi, after), before)


def test_a_further_state_costs_no_further_logits():
    side, pixels = 16, 16**2

    def temporaries(states):
        shapes = [jax.ShapeDtypeStruct((states, 1, side, side, 4), jnp.float32)] * 3
        carrier = carrier_of(None, True, "logits", "correlation")

        def loss(states):
            def step(carry, x):
                response, correlation = carrier.respond(*x, carry[1], None, None)
                return (carry[0] + response, correlation), None

            start = carrier.start(states[0][0], 4, "float32")
            (total, correlation), _ = jax.lax.scan(step, (states[2][0], start), states)
            return jnp.sum(carrier.finish(total, correlation) ** 2)

        compiled = jax.jit(jax.grad(loss)).lower(shapes).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    assert temporaries(20) - temporaries(10) < 4 * pixels**2


@pytest.mark.parametrize(
    "wrong, culprit",
    [
        ({"carry": "stack"}, "carry='stack'"),
        ({"remat": "all"}, "remat='all'"),
        ({"neighborhood": 4}, "neighborhood=4"),
        ({"weights": "max"}, "weights='max' should be one of softmax, mean"),
    ],
)
def test_a_carrier_that_there_is_not_is_refused(wrong, culprit):
    right = {"neighborhood": None, "propagate": True, "carry": "logits", "remat": "nothing"}
    with pytest.raises(ValueError, match=culprit):
        carrier_of(**right | wrong)


def test_carriers_are_chosen_once_so_that_programs_are_shared():
    assert carrier_of(5, True, "logits", "nothing") is carrier_of(5, True, "logits", "nothing")
