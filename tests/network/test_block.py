"""The non-local block equals its equations by every distance, and fits into any network."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from drawn import FEW, close, exact, images, randomized
from flax import linen as nn

from nlrn_jax import NLRN, NonLocal
from nlrn_jax.config.checks import CHOICES
from nlrn_jax.network.block import DISTANCES

SHAPE = (2, 5, 6, 5)


def block_of(distance="embedded_gaussian", window=None, **fields):
    """Return a block, drawn variables of its, and features."""
    block = NonLocal(3, window, distance, **fields)
    features = 2 * images(SHAPE) - 1
    return block, randomized(block, features), features


def test_the_distances_are_those_that_a_configuration_may_name():
    assert set(DISTANCES) == set(CHOICES["model.distance"])


def test_a_fresh_block_returns_its_input():
    features = images(SHAPE)
    (same, _), variables = NonLocal(4).init_with_output(jax.random.key(0), features)
    np.testing.assert_array_equal(same, features)
    assert jax.tree.map(jnp.shape, variables["params"]) == {
        "theta": {"kernel": (5, 4), "bias": (4,)},
        "phi": {"kernel": (5, 4), "bias": (4,)},
        "g": {"kernel": (5, 5), "bias": (5,)},
    }


@pytest.mark.parametrize("window", [None, 3])
@pytest.mark.parametrize("distance", DISTANCES)
def test_two_blocks_that_hand_on_equal_the_equations(distance, window):
    block, variables, features = block_of(distance, window)
    other = randomized(block, features, seed=1)
    apply = jax.jit(block.apply)
    once, correlation = apply(variables, features)
    twice, correlation = apply(other, once, correlation)
    u, expected = reference.block(
        exact(features), exact(variables["params"]), None, window, distance
    )
    close(once, u)
    u, expected = reference.block(u, exact(other["params"]), expected, window, distance)
    close(twice - features, u - features)
    assert correlation.origin == (5, 6, window, distance)
    if window is None:
        close(correlation.logits, expected)


@pytest.mark.parametrize("window", [None, 3])
@pytest.mark.parametrize("distance", DISTANCES)
def test_gradients_equal_differences_of_the_equations(distance, window):
    block, variables, features = block_of(distance, window)
    onto = 2 * images(SHAPE, seed=2) - 1

    def project(apply, params, features):
        once, correlation = apply(params, features, None)
        return (onto * apply(params, once, correlation)[0]).sum()

    def apply(params, *inputs):
        return block.apply({"params": params}, *inputs)

    def of_equations(params, *inputs):
        return reference.block(*inputs[:1], params, *inputs[1:], window, distance)

    found = jax.jit(jax.grad(functools.partial(project, apply), (0, 1)))(
        variables["params"], features
    )
    points = exact((variables["params"], features))
    leaves, slopes = jax.tree.leaves(points), jax.tree.leaves(found)
    rng = np.random.default_rng(0)
    for array, slope in zip(leaves, slopes, strict=True):
        for index in rng.choice(array.size, min(5, array.size), replace=False):
            value, sides = array.flat[index], []
            for step in (1e-5, -1e-5):
                array.flat[index] = value + step
                sides.append(project(of_equations, *points))
            array.flat[index] = value
            expected = (sides[0] - sides[1]) / 2e-5
            assert abs(slope.ravel()[index] - expected) < 1e-3 * abs(slope).max() + 1e-4


@pytest.mark.parametrize("window", [None, 3])
@pytest.mark.parametrize("distance", DISTANCES)
def test_the_recurrent_network_compares_by_each_distance(distance, window):
    """And carries it as embeddings, or undone: the same function."""
    x = images((2, 5, 7, 1))
    model = NLRN(steps=3, filters=6, embedding=4, distance=distance, neighborhood=window)
    variables = randomized(model, x)
    expected, _ = reference.network(exact(x), exact(variables), 3, window, distance=distance)
    for form in ({}, {"carry": "embeddings"}, {"remat": "correlation"}):
        close(jax.jit(model.clone(**form).apply)(variables, x) - x, expected - x)


@pytest.mark.parametrize("window", [None, 3])
@pytest.mark.parametrize("distance", ["embedded_gaussian", "dot_product"])
def test_padding_is_seen_and_counted_by_no_one(distance, window):
    block, variables, features = block_of(distance, window)
    padded = np.full((2, 9, 11, 5), np.nan, np.float32)
    padded[:, :5, :6] = features
    inside, _ = block.apply(variables, padded, size=np.array([5, 6], np.int32))
    close(inside[:, :5, :6], block.apply(variables, features)[0], FEW)


@pytest.mark.parametrize("distance", DISTANCES)
def test_handing_nothing_on_changes_nothing_but_memory(distance):
    block, variables, features = block_of(distance, 3)

    def loss(block, variables):
        return jnp.sum(jnp.sin(block.apply(variables, features)[0]))

    alone = block.clone(propagate=False)
    assert alone.apply(variables, features)[1] is None
    value_and_slope = jax.jit(jax.value_and_grad(loss, 1), static_argnums=0)
    value, slope = value_and_slope(block, variables)
    other_value, other_slope = value_and_slope(alone, variables)
    close(other_value, value, FEW)
    jax.tree.map(lambda a, b: close(a, b, 1e-4), other_slope, slope)


@pytest.mark.parametrize("distance", DISTANCES)
def test_bfloat16_stays_near_float32_and_keeps_a_float32_correlation(distance):
    block, variables, features = block_of(distance)
    half, correlation = block.apply(variables, jnp.asarray(features, jnp.bfloat16))
    assert (half.dtype, correlation.logits.dtype) == (jnp.bfloat16, jnp.float32)
    close(half.astype(jnp.float32), block.apply(variables, features)[0], 0.03)
    mixed, _ = block.clone(dtype="bfloat16").apply(variables, features)
    assert mixed.dtype == jnp.float32
    close(mixed, block.apply(variables, features)[0], 0.03)


class Deep(nn.Module):
    """Blocks in a row with the same weights, whose correlation is carried by a scan."""

    remat: bool
    count: int = 3

    @nn.compact
    def __call__(self, features):
        def step(block, carry, _):
            return block(*carry), None

        kind = nn.remat(NonLocal, prevent_cse=False) if self.remat else NonLocal
        block = kind(4, 3, name="block")
        scanned = nn.scan(
            step, variable_broadcast="params", split_rngs={"params": False}, length=self.count - 1
        )
        carry = block(features)  # the first has no correlation to add to
        return scanned(block, carry, None)[0][0]


def test_scanned_and_rematerialised_blocks_are_blocks_in_a_row():
    features = 2 * images(SHAPE) - 1
    variables = randomized(Deep(False), features)
    block = {"params": variables["params"]["block"]}

    def in_a_row(variables):
        u, correlation = NonLocal(4, 3).apply(variables, features)
        for _ in range(2):
            u, correlation = NonLocal(4, 3).apply(variables, u, correlation)
        return jnp.sum(u**3)

    def joined(tree):
        return jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(tree)])

    value, slope = jax.jit(jax.value_and_grad(in_a_row))(block)
    for deep in (Deep(False), Deep(True)):

        def loss(variables, deep=deep):
            return jnp.sum(deep.apply(variables, features) ** 3)

        scanned, gradient = jax.jit(jax.value_and_grad(loss))(variables)
        close(scanned, value)
        close(joined(gradient), joined(slope), 1e-4)


@pytest.mark.parametrize("window", [None, 3])
def test_mapped_over_images_it_is_the_batch(window):
    block, variables, features = block_of(window=window)
    mapped = jax.vmap(lambda image: block.apply(variables, image[None])[0][0])(features)
    close(mapped, block.apply(variables, features)[0], FEW)


@pytest.mark.parametrize(
    "fields, culprit",
    [
        ({"neighborhood": 4}, "neighborhood=4 must be odd"),
        ({"neighborhood": 7.0}, r"neighborhood=7\.0 must be odd"),
        ({"neighborhood": "5"}, "neighborhood='5' must be odd"),
        ({"distance": "cosine"}, "distance='cosine' should be one of embedded_gaussian"),
        ({"dtype": "int32"}, "dtype='int32' should be one of float32"),
        ({"dtype": "bf16"}, "dtype='bf16' should be one of float32"),
        ({"propagate": "False"}, "propagate='False' should be True or False"),
        ({"embedding": 0}, "embedding=0 should be a whole number, 1 or more"),
        ({"embedding": 4.0}, r"embedding=4\.0 should be a whole number"),
        ({"embedding": True}, "embedding=True should be a whole number"),
    ],
)
def test_a_block_that_cannot_be_is_refused_by_name(fields, culprit):
    with pytest.raises(ValueError, match=culprit):
        NonLocal(**{"embedding": 4} | fields).init(jax.random.key(0), images(SHAPE))
    NonLocal(4, 7).init(jax.random.key(0), images(SHAPE))  # which 7.0 must not spoil


@pytest.mark.parametrize(
    "features, culprit",
    [
        (images(SHAPE[1:]), r"\[N, H, W, m\] of a floating type, .* not float32 \(5, 6, 5\)"),
        (np.zeros(SHAPE, np.uint8), "of a floating type, .* not uint8"),
        (np.zeros(SHAPE, np.complex64), "of a floating type, .* not complex64"),
        (images(SHAPE[1:]), r"give one image as features\[None\]"),
        ((images(SHAPE), None), "features are a tuple: of what a block returns give the first"),
        (images((0, 5, 6, 5)), r"none of them 0, not float32 \(0, 5, 6, 5\)"),
        (images((1, 0, 6, 5)), r"none of them 0, not float32 \(1, 0, 6, 5\)"),
        (images((1, 5, 6, 0)), r"none of them 0, not float32 \(1, 5, 6, 0\)"),
    ],
)
@pytest.mark.parametrize("propagate", [True, False])
def test_features_that_are_none_are_refused(features, culprit, propagate):
    with pytest.raises(ValueError, match=culprit):
        NonLocal(4, 3, propagate=propagate).init(jax.random.key(0), features)


@pytest.mark.parametrize(
    "fields, given, culprit",
    [
        ({}, lambda c: c.replace(logits=c.logits[:1]), "is of 1 images, the features of 2"),
        ({}, lambda c: c.replace(logits=c.logits[..., :1]), r"not belong to theta \(2, 5, 6, 3\)"),
        ({}, lambda c: c.replace(logits=c.logits.astype("bfloat16")), "should be .*, float32"),
        ({}, lambda c: c.logits, "the second of what an earlier block returned"),
        ({}, lambda c: (images(SHAPE), c), "the second of what an earlier block returned"),
        ({"neighborhood": 5}, lambda c: c, "is of height 5, width 6, neighborhood=3, .* =5, "),
        ({"distance": "gaussian"}, lambda c: c, "this block has .* distance='gaussian'"),
    ],
)
def test_a_correlation_of_another_origin_is_refused(fields, given, culprit):
    block, variables, features = block_of(window=3)
    _, correlation = block.apply(variables, features)
    with pytest.raises(ValueError, match=culprit.replace(" =5, ", " neighborhood=5, ")):
        block.clone(**fields).apply(variables, features, given(correlation))


def test_a_correlation_of_other_features_is_refused():
    """Of fewer rows, though as many tiles cover them."""
    block, variables, features = block_of(window=3)
    _, correlation = block.apply(variables, features)
    with pytest.raises(ValueError, match=r"is of height 5, width 6, .* this block has height 4"):
        block.apply(variables, features[:, :4], correlation)


@pytest.mark.parametrize("size", [[5, 6, 7], [5], 5, [5.5, 6.5], np.ones((2, 2), np.int32)])
def test_a_size_that_is_none_is_refused(size):
    block, variables, features = block_of(window=3)
    with pytest.raises(ValueError, match="size should be rows and columns"):
        block.apply(variables, features, size=np.asarray(size))


@pytest.mark.parametrize("size", [(5, 6), [5, 6], 5, "5"])
def test_a_size_that_is_no_array_is_refused(size):
    block, variables, features = block_of(window=3)
    with pytest.raises(ValueError, match=r"size should be .*: give jnp\.array\(\[H, W\]\)"):
        block.apply(variables, features, size=size)


@pytest.mark.parametrize("window", [None, 3])
def test_the_last_of_a_row_may_hand_nothing_on(window):
    block, variables, features = block_of(window=window)
    _, correlation = block.apply(variables, features)

    def response(block, variables):
        return block.apply(variables, features, correlation)[0]

    last = block.clone(propagate=False)
    assert last.apply(variables, features, correlation)[1] is None
    np.testing.assert_array_equal(response(last, variables), response(block, variables))
    slopes = (
        jax.grad(lambda v, b=b: jnp.sin(response(b, v)).sum())(variables) for b in (last, block)
    )
    jax.tree.map(close, *slopes)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.dtype("bfloat16"), "bfloat16", "float16"])
def test_a_dtype_is_given_as_flax_takes_it(dtype):
    block, variables, features = block_of(window=3)
    restored, _ = block.clone(dtype=dtype).apply(variables, features)
    assert restored.dtype == jnp.float32
    close(restored, block.apply(variables, features)[0], 3e-2)


def test_an_embedding_may_be_numpys_and_is_not_asked_for_where_there_is_none():
    for fields in ({"embedding": np.int32(4)}, {"embedding": 0, "distance": "gaussian"}):
        NonLocal(**fields).init(jax.random.key(0), images(SHAPE))


@pytest.mark.parametrize("window", [None, 3])
def test_of_a_correlation_the_first_axis_is_the_images(window):
    block, variables, features = block_of(window=window)
    once, correlation = block.apply(variables, features)
    turned = jax.tree.map(lambda x: x[::-1], (once, correlation))
    expected, _ = block.apply(variables, once, correlation)
    close(block.apply(variables, *turned)[0], expected[::-1], FEW)


def test_what_all_positions_have_in_common_does_not_drown_their_differences():
    block, variables, features = block_of("euclidean")
    expected, _ = block.apply(variables, features)
    shifted, _ = block.apply(variables, features + 1024)
    close(shifted - 1024 - features, expected - features + 1024 * gain_of(variables), 1e-3)


def gain_of(variables):
    """Return by how much the response grows with a shift of all features: g is linear."""
    return np.sum(variables["params"]["g"]["kernel"], 0)
