"""The non-local operation equals its loops, and keeps its laws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from drawn import FEW, close
from operation import respond

from nlrn_jax.network.non_local import non_local

SIZES = [(5, 7), (8, 3), (1, 1), (1, 6), (6, 1)]


def embeddings(seed, height, width, count=2, embedding=4, features=5):
    """Draw theta, phi [N, H, W, l], g [N, H, W, m] and a correlation [N, HW, HW], float32."""
    rng = np.random.default_rng(seed)
    pixels = height * width
    shapes = [(count, height, width, size) for size in (embedding, embedding, features)]
    arrays = [rng.standard_normal(shape) for shape in (*shapes, (count, pixels, pixels))]
    return [array.astype(np.float32) for array in arrays]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("carried", [False, True])
def test_the_whole_input_equals_loops(size, carried):
    theta, phi, g, correlation = embeddings(0, *size)
    arguments = (theta, phi, g, correlation if carried else None)
    actual, expected = non_local(*arguments), reference.non_local(*arguments)
    close(actual[0], expected[0])
    close(actual[1], expected[1])


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("neighborhood", [1, 3, 5, 99])
def test_windows_equal_loops(size, neighborhood):
    arrays = embeddings(0, *size)[:3]
    expected, _ = reference.non_local(*arrays, None, neighborhood)
    close(non_local(*arrays, None, neighborhood)[0], expected)
    close(respond(*arrays, neighborhood), expected)


def test_window_over_the_whole_image_changes_nothing():
    arrays = embeddings(1, 4, 6)[:3]
    close(non_local(*arrays, None, 11)[0], non_local(*arrays)[0], FEW)


def test_window_of_one_returns_g():
    theta, phi, g, _ = embeddings(2, 4, 5)
    close(non_local(theta, phi, g, None, 1)[0], g, FEW)


def test_equal_logits_average_the_window():
    theta, phi, g, _ = embeddings(3, 5, 6, count=1)
    response, _ = non_local(0 * theta, phi, g, neighborhood=3)
    close(response[0, 2, 3], g[0, 1:4, 2:5].mean(axis=(0, 1)))
    close(response[0, 0, 0], g[0, :2, :2].mean(axis=(0, 1)))  # cut at the border, not padded
    close(response[0, 4, 2], g[0, 3:, 1:4].mean(axis=(0, 1)))


def test_carried_correlation_is_a_product_of_stacked_embeddings():
    theta_1, phi_1, g_1, _ = embeddings(4, 4, 5)
    theta_2, phi_2, g_2, _ = embeddings(5, 4, 5)
    _, correlation = non_local(theta_1, phi_1, g_1, neighborhood=3)
    chained = non_local(theta_2, phi_2, g_2, correlation, neighborhood=3)
    theta, phi = np.concatenate([theta_1, theta_2], -1), np.concatenate([phi_1, phi_2], -1)
    for actual, expected in zip(chained, non_local(theta, phi, g_2, None, 3), strict=True):
        close(actual, expected)
    close(respond(theta, phi, g_2, 3), chained[0])


def test_large_logits_neither_overflow_nor_drown():
    theta, phi, g, correlation = embeddings(6, 4, 5)
    arguments = (100 * theta, 100 * phi, g, 1e4 * correlation)
    close(non_local(*arguments)[0], reference.non_local(*arguments)[0], 1e-4)


def test_gradients_equal_differences_of_the_loops():
    arrays = embeddings(7, 3, 4, count=1, embedding=2, features=3)
    rng = np.random.default_rng(8)
    onto = [rng.standard_normal(arrays[i].shape).astype(np.float32) for i in (2, 3)]

    def project(operation, *arrays):
        response, correlation = operation(*arrays)
        return (onto[0] * response).sum() + (onto[1] * correlation).sum()

    gradients = jax.grad(project, argnums=(1, 2, 3, 4))(non_local, *arrays)
    exact = [array.astype(np.float64) for array in arrays]
    for array, gradient in zip(exact, gradients, strict=True):
        differences = np.zeros_like(array)
        for index in np.ndindex(array.shape):
            value, sides = array[index], []
            for step in (1e-5, -1e-5):
                array[index] = value + step
                sides.append(project(reference.non_local, *exact))
            array[index] = value
            differences[index] = (sides[0] - sides[1]) / 2e-5
        close(gradient, differences)


def test_bfloat16_keeps_a_float32_correlation():
    theta, phi, g, correlation = embeddings(9, 5, 4)
    halves = [jnp.asarray(array, jnp.bfloat16) for array in (theta, phi, g)]
    response, logits = non_local(*halves, correlation)
    assert response.dtype == jnp.bfloat16
    assert logits.dtype == jnp.float32
    expected = reference.non_local(*(np.asarray(h, np.float64) for h in halves), correlation)
    close(logits, expected[1])  # products of bfloat16 numbers are summed in float32
    close(response, expected[0], 0.02)


@pytest.mark.parametrize("neighborhood", [None, 3])
def test_runs_under_jit_and_vmap(neighborhood):
    arrays = embeddings(10, 4, 5, count=3)[:3]
    expected, _ = non_local(*arrays, None, neighborhood)
    apart = [array[:, None] for array in arrays]
    mapped, _ = jax.jit(jax.vmap(lambda *a: non_local(*a, None, neighborhood)))(*apart)
    close(mapped[:, 0], expected)


@pytest.mark.parametrize("neighborhood", [0, 2, 44, -3])
def test_a_neighborhood_without_a_centre_is_refused(neighborhood):
    with pytest.raises(ValueError, match="neighborhood"):
        non_local(*embeddings(11, 3, 3)[:3], None, neighborhood)


def test_shapes_that_do_not_match_are_refused():
    theta, phi, g, correlation = embeddings(12, 3, 4)
    with pytest.raises(ValueError, match="theta and phi"):
        non_local(theta, phi[..., :2], g)
    with pytest.raises(ValueError, match="theta and phi"):
        non_local(theta, phi, g[:, :2])
    with pytest.raises(ValueError, match="theta and phi"):
        non_local(theta[0], phi[0], g[0])
    with pytest.raises(ValueError, match="correlation"):
        non_local(theta, phi, g, correlation[:1])
    with pytest.raises(ValueError, match="correlation"):
        non_local(theta, phi, g, correlation[:, :-1, :-1])
