"""The windowed form equals the loops and the dense form, in values, gradients and memory bounds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from drawn import FEW, ROUNDING, close
from operation import initial_correlation, respond

from nlrn_jax.network import grid, windowed
from nlrn_jax.network.non_local import non_local
from nlrn_jax.network.weighing import SOFTMAX

state = jax.jit(non_local, static_argnames="neighborhood")
alone = jax.jit(respond, static_argnames="neighborhood")

# One pixel, one row, one column, less than a tile, exact tiles, and several tiles with a rest.
CASES = [
    ((1, 1), 5),
    ((1, 37), 7),
    ((19, 1), 5),
    ((5, 7), 1),
    ((5, 7), 99),
    ((16, 32), 5),
    ((19, 37), 5),
    ((19, 37), 7),
]


def embeddings(seed, height, width, count=2, embedding=4, features=5):
    """Draw theta, phi [N, H, W, l] and g [N, H, W, m], float32."""
    rng = np.random.default_rng(seed)
    sizes = (embedding, embedding, features)
    return [rng.standard_normal((count, height, width, s)).astype(np.float32) for s in sizes]


def places(start, size, image):
    """List row by row the positions of a box in an image, and -1 for those outside of it."""
    rows = start[0] + np.arange(size[0])[:, None]
    columns = start[1] + np.arange(size[1])
    inside = (rows >= 0) & (rows < image[0]) & (columns >= 0) & (columns < image[1])
    return np.where(inside, rows * image[1] + columns, -1).ravel()


def layout(count, height, width, neighborhood):
    """Say what the correlation of all tiles holds: image, query, key, and which is seen.

    Positions are row * width + column, or -1 outside of the image.
    """
    reach = min(neighborhood // 2, max(height, width) - 1)
    rows, columns = grid.TILE
    corners = [
        (n, r, c)
        for n in range(count)
        for r in range(0, height, rows)
        for c in range(0, width, columns)
    ]
    keys = rows + 2 * reach, columns + 2 * reach
    image = np.array([n for n, _, _ in corners])[:, None, None]
    query = np.stack([places((r, c), (rows, columns), (height, width)) for _, r, c in corners])
    key = np.stack([places((r - reach, c - reach), keys, (height, width)) for _, r, c in corners])
    query, key = query[:, :, None], key[:, None, :]
    apart = np.maximum(abs(query // width - key // width), abs(query % width - key % width))
    return image, query, key, (query >= 0) & (key >= 0) & (apart <= reach)


def dense(theta, phi, g, carried, neighborhood):
    """Do what `non_local` does, by plain indexing of the (HW)^2 logits, for autodiff to follow."""
    image, query, key, seen = layout(*theta.shape[:3], neighborhood)
    flat = [x.reshape(len(x), -1, x.shape[-1]) for x in (theta, phi, g)]
    theta, phi, values = (jnp.pad(x, ((0, 0), (0, 1), (0, 0))) for x in flat)  # -1 finds zeros
    logits = jnp.einsum("nil,njl->nij", theta, phi)[image, query, key]
    correlation = logits if carried is None else logits + carried.reshape(logits.shape)
    visible = jnp.where(seen, correlation, -jnp.inf)
    weights = jnp.where(seen, jax.nn.softmax(jnp.where(query >= 0, visible, 0)), 0)
    tiles = jnp.einsum("tqk,tkm->tqm", weights, values[image[:, :, 0], key[:, 0]])
    response = jnp.zeros(values.shape).at[image[:, :, 0], query[:, :, 0]].add(tiles)
    correlation = correlation.reshape(len(g), -1, *correlation.shape[1:])
    return response[:, :-1].reshape(g.shape), correlation


@pytest.mark.parametrize("size, neighborhood", CASES)
def test_three_states_equal_the_loops(size, neighborhood):
    correlation = whole = None
    states = [embeddings(seed, *size) for seed in range(3)]
    image, query, key, seen = layout(2, *size, neighborhood)
    for theta, phi, g in states:
        response, correlation = state(theta, phi, g, correlation, neighborhood=neighborhood)
        expected, whole = reference.non_local(theta, phi, g, whole, neighborhood)
        close(response, expected)
        close(correlation.reshape(seen.shape)[seen], whole[image, query, key][seen])
    theta, phi, g = (np.concatenate(arrays, -1) for arrays in zip(*states, strict=True))
    close(alone(theta, phi, states[-1][2], neighborhood=neighborhood), expected)  # stacked


@pytest.mark.parametrize("size, neighborhood", CASES)
def test_one_state_without_a_carry_equals_the_loops(size, neighborhood):
    arrays = embeddings(3, *size)
    expected, _ = reference.non_local(*arrays, None, neighborhood)
    close(alone(*arrays, neighborhood=neighborhood), expected)


def test_equals_the_whole_form_with_a_mask_for_its_carry():
    height, width = 19, 37
    arrays = embeddings(4, height, width)
    row, column = np.divmod(np.arange(height * width), width)
    apart = np.maximum(abs(row - row[:, None]), abs(column - column[:, None]))
    mask = np.where(apart <= 3, 0, -1e30).astype(np.float32)
    expected, _ = non_local(*arrays, np.stack([mask, mask]))
    close(alone(*arrays, neighborhood=7), expected)


@pytest.mark.parametrize("together", [0, 3, 2**20])
def test_many_tiles_at_a_time_equal_one_after_another(together, monkeypatch):
    """As accelerators do it, here too: in groups of one, of three and a rest, and all at once."""
    theta, phi, g = embeddings(7, 19, 37)
    carried = windowed.zero(theta, 5)

    def forward(carried, kept):
        return windowed.forward(theta, phi, g, carried, None, 5, SOFTMAX, kept)

    one_by_one = forward(carried, True)
    undone = windowed.undo(theta, phi, one_by_one[2], 5)
    monkeypatch.setattr(jax.lax, "platform_dependent", lambda x, cpu, default: default(x))
    monkeypatch.setattr(grid, "TOGETHER", together * 4 * carried[0, 0].size)
    at_once = forward(carried, True)
    for mine, theirs in zip(at_once, one_by_one, strict=True):
        close(mine, theirs)
    close(windowed.undo(theta, phi, at_once[2], 5), undone)
    assert forward(None, True)[2] is None
    response, nothing, correlation = forward(carried, False)
    close(response, one_by_one[0])
    close(correlation, one_by_one[2])
    assert nothing is None


def test_the_correlation_starts_at_zero():
    arrays = embeddings(5, 9, 17)
    zero = initial_correlation(arrays[0].shape, 5)
    assert not zero.any()
    for given, omitted in zip(
        state(*arrays, zero, neighborhood=5), state(*arrays, neighborhood=5), strict=True
    ):
        np.testing.assert_array_equal(given, omitted)


@pytest.mark.parametrize("size, neighborhood", [((1, 1), 5), ((9, 19), 5), ((11, 3), 99)])
@pytest.mark.parametrize("carried", [True, False])
def test_gradients_equal_those_of_the_dense_form(size, neighborhood, carried):
    arrays = embeddings(6, *size)
    rng = np.random.default_rng(7)
    shape = initial_correlation(arrays[0].shape, neighborhood).shape
    onto = [rng.standard_normal(s).astype(np.float32) for s in (arrays[2].shape, shape)]
    correlation = rng.standard_normal(shape).astype(np.float32)

    def project(operation):
        def loss(*arrays):
            if carried:
                response, correlation = operation(*arrays, neighborhood)
                return (onto[0] * response).sum() + (onto[1] * correlation).sum()
            if operation is dense:
                return (onto[0] * dense(*arrays, None, neighborhood)[0]).sum()
            return (onto[0] * respond(*arrays, neighborhood)).sum()

        return jax.jit(jax.grad(loss, range(4 if carried else 3)))

    arguments = (*arrays, correlation) if carried else arrays
    for actual, expected in zip(
        project(non_local)(*arguments), project(dense)(*arguments), strict=True
    ):
        assert abs(expected).max() > 1e-3 or size == (1, 1)
        tolerance = ROUNDING * max(abs(expected).max(), 1)
        np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance)


def chain(states, operation):
    """Sum the responses of states after states, so that gradients reach through every carry."""
    correlation, total = None, 0.0
    for theta, phi, g in states:
        response, correlation = operation(theta, phi, g, correlation, 5)
        total += (response**2).sum()
    return total


def test_gradients_of_a_chain_equal_those_of_stacked_embeddings_and_of_the_dense_form():
    states = [embeddings(seed, 9, 18) for seed in (8, 9, 10)]

    def stacked(states):
        thetas, phis, gs = zip(*states, strict=True)
        return sum(
            (respond(jnp.concatenate(thetas[:t], -1), jnp.concatenate(phis[:t], -1), g, 5) ** 2)
            .sum()
            for t, g in enumerate(gs, 1)
        )  # fmt: skip

    expected = jax.jit(jax.grad(lambda states: chain(states, dense)))(states)
    carried = jax.jit(jax.grad(lambda states: chain(states, non_local)))(states)
    jax.tree.map(close, carried, expected)
    jax.tree.map(close, jax.jit(jax.grad(stacked))(states), expected)


def test_runs_under_vmap_and_its_gradient():
    states = [embeddings(seed, 9, 18, count=3) for seed in (11, 12)]
    apart = jax.tree.map(lambda array: array[:, None], states)

    def mapped(states):
        return jax.vmap(lambda states: chain(states, non_local))(states).sum()

    (value, gradient), (whole, expected) = (
        jax.jit(jax.value_and_grad(loss))(x)
        for loss, x in ((mapped, apart), (lambda s: chain(s, non_local), states))
    )
    close(value, whole, FEW)
    jax.tree.map(lambda a, b: close(a[:, 0], b, FEW), gradient, expected)
    each = jax.vmap(jax.grad(lambda states: chain(states, non_local)))(apart)
    jax.tree.map(lambda a, b: close(a[:, 0], b, FEW), each, expected)


def test_bfloat16_keeps_a_float32_correlation_and_its_own_gradients():
    first, second = (
        [jnp.asarray(array, jnp.bfloat16) for array in embeddings(seed, 9, 18)] for seed in (13, 14)
    )
    _, carried = state(*first, neighborhood=5)
    response, logits = state(*second, carried, neighborhood=5)
    assert response.dtype == jnp.bfloat16
    assert logits.dtype == jnp.float32
    _, whole = reference.non_local(*(np.asarray(a, np.float64) for a in first), None, 5)
    arrays = [np.asarray(a, np.float64) for a in second]
    expected, whole = reference.non_local(*arrays, whole, 5)
    close(response, expected, 0.02)
    image, query, key, seen = layout(2, 9, 18, 5)
    logits = logits.reshape(seen.shape)
    close(logits[seen], whole[image, query, key][seen])  # bfloat16 products summed in float32

    gradient = jax.jit(jax.grad(lambda *a: chain([a], non_local), (0, 1, 2)))
    for half, single in zip(
        gradient(*first), gradient(*(a.astype(jnp.float32) for a in first)), strict=True
    ):
        assert half.dtype == jnp.bfloat16
        close(half, single, 0.03)


def surrounded(arrays, shape, value):
    """Put images into the corner of larger ones that are full of large numbers."""
    rng = np.random.default_rng(15)
    garbage = [value * rng.standard_normal((len(a), *shape, a.shape[-1])) for a in arrays]
    for array, canvas in zip(arrays, garbage, strict=True):
        canvas[:, : array.shape[1], : array.shape[2]] = array
    return [canvas.astype(np.float32) for canvas in garbage]


@pytest.mark.parametrize("neighborhood", [None, 5, 99])
@pytest.mark.parametrize("size", [(19, 37), (5, 7), (1, 1), (24, 1)])
def test_padding_is_seen_by_no_one(size, neighborhood):
    height, width = size
    states = [embeddings(seed, height, width) for seed in (16, 17)]
    correlation = padded_correlation = None
    for arrays in states:
        padded = surrounded(arrays, (24, 40), 1e6)
        expected, correlation = state(*arrays, correlation, neighborhood=neighborhood)
        response, padded_correlation = state(
            *padded, padded_correlation, neighborhood=neighborhood, size=np.array(size)
        )
        assert np.isfinite(response).all()
        close(response[:, :height, :width], expected, FEW)
        response = alone(*padded, neighborhood=neighborhood, size=np.array(size))
        close(
            response[:, :height, :width], alone(*arrays, neighborhood=neighborhood), 1e-6
        )  # fmt: skip


@pytest.mark.parametrize("neighborhood", [None, 5])
def test_padding_has_no_gradient(neighborhood):
    arrays = embeddings(18, 9, 19)
    padded = surrounded(arrays, (16, 40), 1e3)

    def loss(*arrays, size=None):
        response, _ = non_local(*arrays, None, neighborhood, size)
        return (response[:, :9, :19] ** 2).sum()

    gradient = jax.jit(jax.grad(loss, (0, 1, 2)))
    expected = gradient(*arrays)
    for actual, inside in zip(gradient(*padded, size=np.array([9, 19])), expected, strict=True):
        close(actual[:, :9, :19], inside)
        assert not actual[:, 9:].any()
        assert not actual[:, :, 19:].any()


@pytest.mark.parametrize("operation", [state, alone])
def test_logits_of_thousands_neither_overflow_nor_drown(operation):
    theta, phi, g = embeddings(19, 9, 19)
    theta, phi = 40 * theta, 40 * phi
    response = operation(theta, phi, g, neighborhood=5)
    response = response[0] if operation is state else response
    exact = [array.astype(np.float64) for array in (theta, phi, g)]
    expected, logits = reference.non_local(*exact, None, 5)
    assert abs(logits).max() > 5000
    close(response, expected, 2e-3)  # a float32 of some thousands knows its logarithm to 5e-4


def test_gradients_of_logits_of_thousands_are_near_the_dense_ones_in_float64():
    arrays = embeddings(20, 9, 19)
    shape = initial_correlation(arrays[0].shape, 5).shape
    level = np.random.default_rng(20).uniform(-5000, 5000, (*shape[:3], 1))  # softmax ignores it
    arrays.append(np.broadcast_to(level, shape).astype(np.float32))

    def gradient(operation, arrays):
        def loss(*arrays):
            return (operation(*arrays, 5)[0] ** 2).sum()

        return jax.jit(jax.grad(loss, range(4)))(*arrays)

    actual = gradient(non_local, arrays)
    with jax.enable_x64(True):
        expected = gradient(dense, [array.astype(np.float64) for array in arrays])
        assert expected[0].dtype == jnp.float64
    for a, b in zip(actual, expected, strict=True):
        close(a, b, 2e-3)


def sizes(jaxpr):
    """Yield the number of elements of every array that a program computes, inner ones too."""
    for equation in jaxpr.eqns:
        yield from (int(np.prod(v.aval.shape)) for v in equation.outvars)
        for parameter in jax.tree.leaves(
            list(equation.params.values()), is_leaf=lambda p: hasattr(p, "eqns")
        ):
            inner = getattr(parameter, "jaxpr", parameter)
            if hasattr(inner, "eqns"):
                yield from sizes(inner)


def largest(function, *arrays):
    """Return the number of elements of the largest array that a function computes."""
    return max(sizes(jax.make_jaxpr(function)(*arrays).jaxpr))


def gradient_of(function, arguments):
    """Return the gradient of a function's first output's square sum, and its second's sum."""

    def loss(*arrays):
        return sum((x**2).sum() for x in jax.tree.leaves(function(*arrays)))

    return jax.grad(loss, range(arguments))


def test_memory_stays_within_its_bound(monkeypatch):
    monkeypatch.setattr(grid, "TOGETHER", 0)  # beside a CPU, too, one tile at a time
    q, arrays = 5, embeddings(21, 64, 64, count=1)
    positions, seen = 64 * 64, (q + 7) * (q + 15)
    carried = jnp.zeros(initial_correlation(arrays[0].shape, q).shape)

    def chained(theta, phi, g, correlation):
        return non_local(theta, phi, g, correlation, q)

    for function in (chained, gradient_of(chained, 4)):
        assert largest(function, *arrays, carried) == positions * seen

    def single(theta, phi, g):
        return respond(theta, phi, g, q)

    tile = np.prod(grid.TILE) * seen  # the logits of one tile: all that a lone state holds
    for function in (single, gradient_of(single, 3)):
        assert largest(function, *arrays) == tile
    whole = largest(lambda theta, phi, g: respond(theta, phi, g), *arrays)
    assert whole == positions**2  # which the count would have found


def test_memory_without_a_carry_is_linear_in_pixels(monkeypatch):
    monkeypatch.setattr(grid, "TOGETHER", 0)

    def single(theta, phi, g):
        return respond(theta, phi, g, 5)

    for function in (single, gradient_of(single, 3)):
        arrays = embeddings(22, 512, 256, count=1)
        tiles = (512 + 4) * (256 + 4) * 5  # g, with what its border needs
        assert largest(function, *arrays) == tiles


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 19, 37), (1, 8, 17), (3, 64, 48)])
def test_the_correlation_takes_the_stated_memory(shape):
    count, height, width = shape
    tiles = count * -(-height // 8) * -(-width // 16)
    q = 2 * min(2, max(height, width) - 1) + 1
    assert initial_correlation((*shape, 4), 5).size == tiles * 128 * (q + 7) * (q + 15)
