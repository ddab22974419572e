"""Block and network inside `flax.nnx`, through its own bridge."""

import jax
import jax.numpy as jnp
import optax
import pytest
from drawn import FEW, TINY, close, images
from flax import nnx

from nlrn_jax import NLRN, NonLocal


def test_blocks_learn_inside_a_network_of_another():
    """Two blocks that hand on, between two convolutions, in `flax.nnx`."""

    class Restorer(nnx.Module):
        def __init__(self, image, rngs):
            self.first = nnx.Conv(1, 6, (3, 3), rngs=rngs)
            self.last = nnx.Conv(6, 1, (3, 3), rngs=rngs)
            features = self.first(image)
            self.looks = nnx.bridge.ToNNX(NonLocal(4, 5), rngs).lazy_init(features)
            self.again = nnx.bridge.ToNNX(NonLocal(4, 5), rngs).lazy_init(features)

        def __call__(self, image):
            features, correlation = self.looks(nnx.relu(self.first(image)))
            return image + self.last(nnx.relu(self.again(features, correlation)[0]))

    clean = images((2, 8, 9, 1))
    noisy = clean + 0.1 * images((2, 8, 9, 1), seed=1)
    network = Restorer(noisy, nnx.Rngs(0))
    optimizer = nnx.Optimizer(network, optax.adam(1e-2), wrt=nnx.Param)

    @nnx.jit
    def step(network, optimizer):
        loss, slope = nnx.value_and_grad(lambda n: jnp.mean((n(noisy) - clean) ** 2))(network)
        optimizer.update(network, slope)
        return loss

    losses = [step(network, optimizer) for _ in range(12)]
    assert losses[-1] < 0.7 * losses[0]
    assert abs(network.again.g["kernel"][...]).max() > 0


@pytest.fixture
def pair():
    """Four clean images, dark as fresh statistics want them, and noisy ones."""
    clean = images((4, 9, 10, 1)) / 100
    return clean, clean + 0.002 * images((4, 9, 10, 1), seed=1)


@pytest.mark.parametrize("window", [None, 5])
def test_the_whole_network_learns_and_its_running_statistics_move(pair, window):
    clean, noisy = pair
    model = NLRN(**TINY, steps=3, neighborhood=window)
    network = nnx.bridge.ToNNX(model, nnx.Rngs(0)).lazy_init(noisy)
    start = nnx.state(network, nnx.BatchStat)
    optimizer = nnx.Optimizer(network, optax.adam(1e-3), wrt=nnx.Param)

    @nnx.jit
    def step(network, optimizer):
        def loss_of(network):
            return jnp.mean((network(noisy, train=True, mutable=["batch_stats"]) - clean) ** 2)

        loss, slope = nnx.value_and_grad(loss_of)(network)
        optimizer.update(network, slope)
        return loss

    losses = [step(network, optimizer) for _ in range(12)]
    assert losses[-1] < losses[0]
    moved = jax.tree.map(lambda a, b: abs(a - b).max(), start, nnx.state(network, nnx.BatchStat))
    assert min(jax.tree.leaves(moved)) > 0


def test_a_step_of_nnx_is_that_of_linen(pair):
    clean, noisy = pair
    model, optimizer = NLRN(**TINY, steps=2), optax.sgd(1e-3)
    network = nnx.bridge.ToNNX(model, nnx.Rngs(0)).lazy_init(noisy)

    def pure(kind):
        return nnx.to_pure_dict(nnx.state(network, kind))

    def loss_of(params, statistics):
        variables = {"params": params, "batch_stats": statistics}
        output, updated = model.apply(variables, noisy, train=True, mutable=["batch_stats"])
        return jnp.mean((output - clean) ** 2), updated["batch_stats"]

    params = pure(nnx.Param)
    slope, statistics = jax.grad(loss_of, has_aux=True)(params, pure(nnx.BatchStat))
    updates, _ = optimizer.update(slope, optimizer.init(params))

    def loss(network):
        return jnp.mean((network(noisy, train=True, mutable=["batch_stats"]) - clean) ** 2)

    nnx.Optimizer(network, optimizer, wrt=nnx.Param).update(network, nnx.grad(loss)(network))
    assert_close(pure(nnx.Param), optax.apply_updates(params, updates))
    assert_close(pure(nnx.BatchStat), statistics)


def assert_close(tree, wanted):
    assert jax.tree.structure(tree) == jax.tree.structure(wanted)
    jax.tree.map(lambda a, b: close(a, b, FEW), tree, wanted)
