"""The whole form equals the plain one that autodiff differentiates, padded or not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn import ROUNDING
from operation import respond

from nlrn_jax.network.non_local import non_local

CARRIED = [True, False]


def embeddings(shape=(2, 5, 6), embedding=4, features=3):
    """Draw theta, phi, g and a correlation, and weights that make them and their carry a number."""
    rng = np.random.default_rng(0)
    pixels = shape[1] * shape[2]
    shapes = [(*shape, size) for size in (embedding, embedding, features)]
    shapes.append((shape[0], pixels, pixels))
    arrays = [rng.standard_normal(s).astype(np.float32) for s in shapes]
    onto = [rng.standard_normal(s).astype(np.float32) for s in shapes[2:]]
    return arrays, onto


def plain(theta, phi, g, correlation, seen=None):
    """Compute what `non_local` computes as one would write it down."""
    flat = [x.reshape(len(x), -1, x.shape[-1]) for x in (theta, phi, g)]
    correlation = correlation + jnp.einsum("nil,njl->nij", *flat[:2])
    visible = correlation if seen is None else jnp.where(seen.ravel(), correlation, -jnp.inf)
    response = jnp.einsum("nij,njm->nim", jax.nn.softmax(visible), flat[2])
    return response.reshape(g.shape), correlation


def gradients(operation, arrays, onto, carried):
    """Differentiate a projection of the response, and of the correlation where it is carried."""

    def project(theta, phi, g, correlation):
        response, after = operation(theta, phi, g, correlation)
        return jnp.sum(onto[0] * response) + (jnp.sum(onto[1] * after) if carried else 0)

    return jax.jit(jax.grad(project, argnums=(0, 1, 2, 3)))(*arrays)


def close(actual, expected, tolerance=ROUNDING):
    """Assert equality of arrays to a fraction of the largest expected value."""
    for a, e in zip(actual, expected, strict=True):
        a, e = np.asarray(a, np.float64), np.asarray(e, np.float64)
        np.testing.assert_allclose(a, e, rtol=0, atol=tolerance * abs(e).max())


def forget(theta, phi, g, correlation):
    """Apply `respond`, which carries nothing, to a correlation of zero."""
    return respond(theta, phi, g), correlation


@pytest.mark.parametrize("shape", [(2, 5, 6), (1, 1, 1), (3, 1, 7)])
def test_carried_gradients_equal_those_of_autodiff(shape):
    arrays, onto = embeddings(shape)
    close(gradients(non_local, arrays, onto, True), gradients(plain, arrays, onto, True))


def test_gradients_without_a_carry_equal_those_of_autodiff():
    arrays, onto = embeddings()
    arrays[3] = 0 * arrays[3]
    ours = gradients(forget, arrays, onto, False)
    close(ours[:3], gradients(plain, arrays, onto, False)[:3])


def test_positions_beyond_the_size_are_neither_seen_nor_changed_by_the_gradient():
    arrays, onto = embeddings()
    size, seen = jnp.array([4, 3]), np.zeros((5, 6), bool)
    seen[:4, :3] = True
    onto[0] = onto[0] * seen[..., None]  # what the padding answers has no meaning

    def of_size(*arrays):
        return non_local(*arrays, size=size)

    def expected(*arrays):
        return plain(*arrays, seen=seen)

    close(of_size(*arrays), expected(*arrays))
    ours, theirs = (gradients(way, arrays, onto, True) for way in (of_size, expected))
    close(ours, theirs)
    assert not ours[2][:, ~seen].any()


def test_gradients_pass_through_vmap():
    arrays, onto = embeddings((3, 4, 5))
    apart = [array[:, None] for array in arrays]

    def mapped(theta, phi, g, correlation):
        return jax.vmap(non_local)(theta, phi, g, correlation)

    one_by_one = gradients(mapped, apart, [x[:, None] for x in onto], True)
    close([g[:, 0] for g in one_by_one], gradients(non_local, arrays, onto, True))


def test_bfloat16_gradients_are_bfloat16_and_close_to_float32():
    arrays, onto = embeddings()
    halves = [jnp.asarray(a, jnp.bfloat16) for a in arrays[:3]] + arrays[3:]
    ours = gradients(non_local, halves, onto, True)
    assert [g.dtype for g in ours] == [*[jnp.bfloat16] * 3, jnp.float32]
    singles = [np.asarray(half, np.float32) for half in halves]
    close(ours, gradients(plain, singles, onto, True), 0.03)
