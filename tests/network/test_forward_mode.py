"""Forward derivatives equal JAX's own of the plain operation, differences, and reverse ones."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn import close

from nlrn_jax import NLRN
from nlrn_jax.network import whole, windowed
from nlrn_jax.network.forward_mode import with_jvp
from nlrn_jax.network.non_local import non_local
from nlrn_jax.network.weighing import SOFTMAX

FORMS = [
    {},
    {"neighborhood": 3},
    {"neighborhood": 3, "carry": "embeddings"},
    {"remat": "correlation"},
    {"remat": "states"},
    {"propagate": False},
]


@functools.cache
def subject(**form):
    """Return a network as a function of images, dark as its fresh statistics want, and a tangent.

    And the same with forward derivatives.
    """
    model = NLRN(filters=4, embedding=2, steps=2, **form)
    keys = jax.random.split(jax.random.key(0), 4)
    x = jax.random.uniform(keys[0], (2, 5, 6, 1), maxval=0.01)
    tangent = jax.random.normal(keys[1], x.shape)
    fresh = jax.jit(model.init)(keys[2], x)
    variables = jax.tree.map(lambda a: a + 0.1 * jax.random.uniform(keys[3], a.shape), fresh)
    apply = functools.partial(model.apply, variables)
    return apply, with_jvp(apply), x, tangent


@pytest.fixture(params=FORMS, ids=str)
def network(request):
    return subject(**request.param)


@pytest.mark.parametrize("window", [None, 5])
def test_of_the_operation_it_is_that_of_its_plain_form(window):
    rng = np.random.default_rng(0)
    shapes = [(2, 9, 18, size) for size in (3, 3, 4)]
    arrays = [jnp.asarray(rng.standard_normal(shape), jnp.float32) for shape in shapes]
    tangents = [jnp.asarray(rng.standard_normal(shape), jnp.float32) for shape in shapes]

    def plain(theta, phi, g):
        carried = whole.zero(theta) if window is None else windowed.zero(theta, window)
        if window is None:
            return whole.forward(theta, phi, g, carried, None, SOFTMAX)[0]
        return windowed.forward(theta, phi, g, carried, None, window, SOFTMAX, True)[0]

    ours = with_jvp(lambda *arrays: non_local(*arrays, neighborhood=window)[0])
    for mine, expected in zip(
        jax.jvp(ours, arrays, tangents), jax.jvp(plain, arrays, tangents), strict=True
    ):
        close(mine, expected)


def test_it_is_the_slope_along_the_tangent(network):
    apply, both, x, tangent = network
    value, slope = jax.jit(lambda x, t: jax.jvp(both, (x,), (t,)))(x, tangent)
    apply = jax.jit(apply)
    close(value, apply(x))
    step = 1e-6  # of images that reach 0.01, whose rectifiers it does not turn
    close(slope, (apply(x + step * tangent) - apply(x - step * tangent)) / (2 * step), 1e-2)


def test_columns_equal_rows(network):
    apply, both, x, _ = network
    close(jax.jit(jax.jacfwd(both))(x), jax.jit(jax.jacrev(apply))(x))


def test_linearized_and_compiled_it_is_the_same(network):
    _, both, x, tangent = network
    expected = jax.jvp(both, (x,), (tangent,))[1]
    close(jax.linearize(both, x)[1](tangent), expected)
    close(jax.jit(lambda t: jax.jvp(both, (x,), (t,))[1])(tangent), expected)
    batch = jnp.stack([tangent, -tangent])
    close(jax.vmap(lambda t: jax.jvp(both, (x,), (t,))[1])(batch)[1], -expected)


def test_gradients_and_second_derivatives_stay_right(network):
    apply, both, x, tangent = network

    def slope(function, x):
        return jax.grad(lambda x: jnp.sin(3 * function(x)).sum())(x)

    once = jax.jit(functools.partial(slope, apply))(x)
    twice = jax.jit(jax.grad(lambda x: jnp.vdot(slope(apply, x), tangent)))(x)  # by reverse alone
    for function in (both, apply):
        of = functools.partial(slope, function)
        first, second = jax.jit(lambda x, of=of: jax.jvp(of, (x,), (tangent,)))(x)
        close(first, once)
        close(second, twice)


def test_weights_move_and_whole_numbers_stay():
    model = NLRN(filters=4, embedding=2, steps=2)
    x = jnp.full((1, 5, 6, 1), 0.5)
    variables = jax.jit(model.init)(jax.random.key(0), x)
    size = jnp.array([4, 4], jnp.int32)

    def apply(variables, x, size):
        return {"restored": model.apply(variables, x, size=size)}

    ones = jax.tree.map(jnp.ones_like, variables)
    still = np.zeros(2, jax.dtypes.float0)
    primals, tangents = (variables, x, size), (ones, 0 * x, still)
    result, slope = jax.jit(functools.partial(jax.jvp, with_jvp(apply)))(primals, tangents)
    close(result["restored"], apply(*primals)["restored"])
    assert abs(slope["restored"]).max() > 0


def test_newton_and_implicit_adjoints_of_optimistix_work():
    """The picture that stays as it is under some steps towards what the network makes of it."""
    optimistix = pytest.importorskip("optimistix", reason="needs optimistix")
    apply, both, x, tangent = subject()

    def change(y, share):
        return y - x - share * (both(y) - y)

    def solution(share):
        solver = optimistix.Newton(rtol=1e-5, atol=1e-6)
        return optimistix.root_find(change, solver, x, share, max_steps=30).value

    share = jnp.float32(0.02)
    y = solution(share)
    close(y - x, share * (apply(y) - y), 1e-3)
    near = (solution(1.05 * share) - solution(0.95 * share)) / (0.1 * share)
    slope = jax.grad(lambda share: jnp.vdot(solution(share), tangent))(share)  # implicit
    np.testing.assert_allclose(slope, jnp.vdot(near, tangent), rtol=2e-2)
