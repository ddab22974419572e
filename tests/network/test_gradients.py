"""The gradient of the network is that of its equations, in all forms that save memory.

These programs are large, and what is asked of them is the same however they are compiled.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from drawn import TINY, close, exact, images, randomized

from nlrn_jax.network.model import NLRN

BATCH = (2, 5, 7, 1)


def train(model, variables, x):
    """Apply the network with the batch's statistics; return also the updated running ones."""
    return functools.partial(model.apply, train=True, mutable=["batch_stats"])(variables, x)


@pytest.mark.parametrize("neighborhood, propagate", [(None, True), (3, True), (None, False)])
def test_gradients_equal_differences_of_the_equations(neighborhood, propagate):
    x = images((2, 4, 5, 1))
    model = NLRN(steps=3, neighborhood=neighborhood, propagate=propagate, **TINY)
    variables = randomized(model, x)
    statistics = variables["batch_stats"]

    def loss(params):
        y, _ = model.apply({"params": params, "batch_stats": statistics}, x, True, mutable=True)
        return jnp.sum(y**2)

    gradients = jax.jit(jax.grad(loss))(variables["params"])
    paths, tree = jax.tree_util.tree_flatten_with_path(gradients)
    largest = max(abs(gradient).max() for _, gradient in paths)
    parameters = exact(variables)

    def loss_of_equations():
        arguments = exact(x), parameters, 3, neighborhood, propagate, True
        return np.sum(reference.network(*arguments)[0] ** 2)

    rng = np.random.default_rng(0)
    leaves = tree.flatten_up_to(parameters["params"])
    for (path, gradient), array in zip(paths, leaves, strict=True):
        for index in rng.choice(array.size, min(4, array.size), replace=False):
            value, sides = array.flat[index], []
            for step in (1e-6, -1e-6):
                array.flat[index] = value + step
                sides.append(loss_of_equations())
            array.flat[index] = value
            difference = (sides[0] - sides[1]) / 2e-6
            error = abs(gradient.ravel()[index] - difference)
            # Biases before a batch norm have no gradient, so the floor is the network's.
            bound = 1e-4 * abs(gradient).max() + 1e-6 * largest
            assert error <= bound, (jax.tree_util.keystr(path), int(index), difference)


def test_the_gradient_of_shared_weights_is_the_sum_over_the_states():
    x = images(BATCH)
    shared = NLRN(steps=3, **TINY)
    variables = randomized(shared, x)
    cell = jax.tree.map(lambda a: jnp.stack([a] * 3), variables["params"]["cell"])
    copies = variables | {"params": variables["params"] | {"cell": cell}}

    def gradient(model, variables):
        tree = jax.jit(jax.grad(lambda v: jnp.sum(train(model, v, x)[0] ** 2)))(variables)
        return tree["params"]["cell"]

    together = gradient(shared, variables)
    summed = jax.tree.map(lambda a: a.sum(0), gradient(shared.clone(share=False), copies))
    flat = (
        jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(g)]) for g in (summed, together)
    )
    close(*flat)


def answer_and_gradient(model, variables, x):
    """Return the answer in training and its gradient, all of it in one array.

    That of a bias before a batch norm is zero but for rounding, and cannot be compared alone.
    """

    def loss(variables):
        answer, _ = train(model, variables, x)
        return jnp.sum(answer**2), answer

    tree, answer = jax.jit(jax.grad(loss, has_aux=True))(variables)
    return answer, jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(tree["params"])])


@pytest.fixture(scope="module", params=[None, 3], ids=["whole", "window"])
def plain(request):
    """A network that saves no memory: itself, variables, an image, its answer, its gradient."""
    x = images(BATCH)
    model = NLRN(steps=3, neighborhood=request.param, **TINY)
    variables = randomized(model, x)
    return model, variables, x, *answer_and_gradient(model, variables, x)


@pytest.mark.parametrize(
    "other",
    [
        {"carry": "embeddings"},
        {"remat": "correlation"},
        {"remat": "states"},
        {"carry": "embeddings", "remat": "states"},
    ],
)
def test_memory_is_saved_and_the_function_stays_the_same(plain, other):
    model, variables, x, answer, slope = plain
    sparing_answer, sparing_slope = answer_and_gradient(model.clone(**other), variables, x)
    close(sparing_answer, answer)
    close(sparing_slope, slope, 1e-4)
