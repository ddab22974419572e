"""In bfloat16 every value and every gradient is that of float32, to bfloat16's own precision."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn import ROUNDING, images, randomized
from flax import linen as nn

from nlrn_jax.network.layers import Conv3x3, Kernel1x1, batch_norm, convolve_together
from nlrn_jax.network.model import NLRN
from nlrn_jax.training.state import mean_squared_error

EPSILON = 2.0**-8  # the rounding of a number to bfloat16, at most, relative
PATCHES = (16, 43, 43, 1)  # the published batch: 29,584 positions


class Together(nn.Module):
    """Two 1x1 convolutions as one, their outputs side by side."""

    features: int
    dtype: str

    @nn.compact
    def __call__(self, x):
        kernels = [Kernel1x1(self.features)(x.shape[-1]) for _ in range(2)]
        return jnp.concatenate(convolve_together(x, kernels, self.dtype), -1)


@pytest.mark.parametrize("layer", [Together, Conv3x3])
def test_the_gradients_of_a_layer_do_not_stick(layer):
    """Terms of one sign, as many as a batch has positions: a sum in bfloat16 ends at 256."""
    x = np.ones((*PATCHES[:3], 16), np.float32)
    gradients = {}
    for dtype in ("float32", "bfloat16"):
        module = layer(4, dtype)
        variables = module.init(jax.random.key(0), x)

        def loss(variables, x, module=module):
            return jnp.sum(module.apply(variables, x).astype(jnp.float32))

        gradients[dtype] = jax.jit(jax.grad(loss, argnums=(0, 1)))(variables, x)
    for path, gradient in jax.tree.leaves_with_path(gradients["bfloat16"][0]):
        if path[-1].key == "bias":
            np.testing.assert_array_equal(gradient, np.prod(PATCHES))
    for actual, expected in zip(*map(jax.tree.leaves, gradients.values()), strict=True):
        largest = abs(expected).max()
        np.testing.assert_allclose(actual, expected, rtol=0, atol=2 * EPSILON * largest)


def test_the_statistics_of_a_batch_norm_are_of_float32():
    x = jnp.asarray(40 + images(PATCHES), jnp.bfloat16)
    norm = batch_norm(use_running_average=False)
    variables = norm.init(jax.random.key(0), x)
    _, new = norm.apply(variables, x.astype(jnp.float32), mutable="batch_stats")
    exact = np.asarray(x, np.float64)
    found = new["batch_stats"]
    np.testing.assert_allclose(found["mean"], 0.01 * exact.mean(), rtol=ROUNDING)
    np.testing.assert_allclose(found["var"], 0.99 + 0.01 * exact.var(), rtol=ROUNDING)


def gradients_of(dtype):
    """Return what the network adds to a patch, and the gradients of training."""
    x = images((1, *PATCHES[1:]))
    target = images(x.shape, seed=1)
    model = NLRN(filters=16, embedding=8, steps=2, dtype=dtype)
    variables = randomized(model, x)

    def loss(params):
        state = variables | {"params": params}
        output, _ = model.apply(state, x, train=True, mutable="batch_stats")
        return mean_squared_error(output, target, 0), output - x

    gradients, residual = jax.jit(jax.grad(loss, has_aux=True))(variables["params"])
    return residual, gradients


def test_all_gradients_of_training_are_those_of_float32():
    """Through some ten layers, each of which rounds.

    The floor is the network's: a norm takes out what some biases add, so that their gradient is
    the rounding of large terms that cancel.
    """
    residual, expected = gradients_of("float32")
    half, actual = gradients_of("bfloat16")
    assert 0.1 * EPSILON < size(half - residual) / size(residual) < 4 * EPSILON
    largest = max(map(size, jax.tree.leaves(expected)))
    errors = jax.tree.map(lambda a, b: size(a - b), actual, expected)
    bounds = jax.tree.map(lambda b: 0.1 * size(b) + EPSILON / 8 * largest, expected)
    for (path, error), bound in zip(
        jax.tree_util.tree_leaves_with_path(errors), jax.tree.leaves(bounds), strict=True
    ):
        assert error < bound, jax.tree_util.keystr(path)


def size(array):
    """Return the length of all of an array as one vector."""
    return float(np.linalg.norm(np.asarray(array, np.float64)))
