"""The network equals its equations, has the published size and starts where training should."""

import functools
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from drawn import FEW, TINY, close, exact, images, randomized
from skimage import data
from skimage.metrics import peak_signal_noise_ratio

from nlrn_jax.network.dncnn import DnCNN
from nlrn_jax.network.model import NLRN

BATCH = (2, 5, 7, 1)


def restore(model, variables, x):
    """Apply the network with its running statistics."""
    return jax.jit(model.apply)(variables, x)


def train(model, variables, x):
    """Apply the network with the batch's statistics; return also the updated running ones."""
    apply = functools.partial(model.apply, train=True, mutable=["batch_stats"])
    return jax.jit(apply)(variables, x)


def close_trees(actual, expected, tolerance):
    """Assert `close` for every array of two trees."""
    jax.tree.map(lambda a, b: close(a, b, tolerance), actual, expected)


def count(tree):
    """Count the numbers in a tree."""
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


@pytest.fixture(scope="module")
def fresh():
    """Return a tiny model and the variables it starts from."""
    model = NLRN(steps=3, **TINY)
    return model, jax.jit(model.init)(jax.random.key(0), images(BATCH))


@pytest.mark.parametrize(
    "shape, steps, neighborhood, propagate",
    [
        (BATCH, 3, None, True),
        (BATCH, 3, None, False),
        (BATCH, 3, 3, True),
        ((2, 6, 3, 3), 2, None, True),
        ((1, 3, 8, 3), 2, 5, False),
        ((1, 5, 5, 1), 1, None, True),
        ((1, 1, 9, 1), 2, 3, True),
        ((1, 1, 1, 1), 2, None, True),
        ((1, 1, 1, 3), 2, 5, True),
        (BATCH, 12, None, True),
    ],
)
def test_restores_as_the_equations_do(shape, steps, neighborhood, propagate):
    x = images(shape)
    model = NLRN(shape[-1], steps=steps, neighborhood=neighborhood, propagate=propagate, **TINY)
    variables = randomized(model, x)
    expected, _ = reference.network(exact(x), exact(variables), steps, neighborhood, propagate)
    actual = restore(model, variables, x)
    assert actual.dtype == jnp.float32
    close(actual, expected)
    close(actual - x, expected - x)


@pytest.mark.parametrize(
    "shape, steps, neighborhood, propagate",
    [(BATCH, 3, None, True), ((2, 6, 3, 3), 3, 3, True), ((1, 7, 4, 1), 2, None, False)],
)
def test_trains_as_the_equations_do(shape, steps, neighborhood, propagate):
    x = images(shape)
    model = NLRN(shape[-1], steps=steps, neighborhood=neighborhood, propagate=propagate, **TINY)
    variables = randomized(model, x)
    actual, new = train(model, variables, x)
    expected, statistics = reference.network(
        exact(x), exact(variables), steps, neighborhood, propagate, train=True
    )
    close(actual, expected)
    close(actual - x, expected - x)
    close_trees(new["batch_stats"], statistics, FEW)

    # Only a hundredth of the batch's own reaches the running ones: compare that part alone.
    def part(after):
        return jax.tree.map(
            lambda a, b: a - 0.99 * b, exact(after), exact(variables["batch_stats"])
        )

    close_trees(part(new["batch_stats"]), part(statistics), 1e-3)


@pytest.mark.parametrize("neighborhood, propagate", [(None, True), (3, False)])
def test_states_with_their_own_weights_follow_the_equations(neighborhood, propagate):
    x = images(BATCH)
    model = NLRN(steps=3, neighborhood=neighborhood, propagate=propagate, share=False, **TINY)
    variables = randomized(model, x)
    for training in (False, True):
        expected, _ = reference.network(
            exact(x), exact(variables), 3, neighborhood, propagate, training, share=False
        )
        actual = train(model, variables, x)[0] if training else restore(model, variables, x)
        close(actual - x, expected - x)


def test_states_with_their_own_weights_start_as_different_glorot_draws():
    x = images((1, 4, 4, 1))
    shapes = jax.eval_shape(NLRN(share=False).init, jax.random.key(0), x)
    f, l, states = 128, 64, 12  # noqa: E741
    cell = 2 * (f * l + l) + (f * f + f) + 2 * (9 * f * f + f)
    assert count(shapes["params"]) == 340_099 + (states - 1) * cell

    model = NLRN(filters=32, embedding=16, steps=3, share=False)
    variables = jax.jit(model.init)(jax.random.key(0), x)
    kernels = variables["params"]["cell"]["conv_a"]["kernel"]
    limit = np.sqrt(6 / (9 * 64))
    assert kernels.shape[0] == 3 and abs(kernels).max() <= limit
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert abs(np.corrcoef(kernels[one].ravel(), kernels[other].ravel())[0, 1]) < 0.1
    np.testing.assert_allclose(kernels.std(axis=(1, 2, 3, 4)), limit / np.sqrt(3), rtol=0.1)


def test_window_over_the_whole_image_changes_nothing():
    x = images(BATCH)
    variables = randomized(NLRN(steps=3, **TINY), x)
    whole = restore(NLRN(steps=3, **TINY), variables, x)
    confined = restore(NLRN(steps=3, neighborhood=13, **TINY), variables, x)
    close(confined, whole, FEW)


def test_runs_under_jit_and_vmap():
    x = images((3, 4, 5, 1))
    model = NLRN(steps=2, **TINY)
    variables = randomized(model, x)
    alone = jax.jit(jax.vmap(lambda image: model.apply(variables, image[None])[0]))
    close(alone(x), model.apply(variables, x))


@pytest.mark.parametrize(
    "steps, trainable, everything", [(12, 340_099, 349_573), (15, 342_403, None)]
)
def test_has_the_published_number_of_parameters(steps, trainable, everything):
    x = images((1, 4, 4, 1))
    shapes = jax.eval_shape(NLRN(steps=steps).init, jax.random.key(0), x)
    assert count(shapes["params"]) == trainable
    norms = [v for k, v in shapes["params"].items() if "norm" in k]
    assert trainable - count(norms) == 330_625
    assert everything is None or count(shapes) == everything


def test_kernels_start_glorot_uniform_and_biases_at_zero():
    x = images((1, 4, 4, 1))
    variables = jax.jit(NLRN(filters=32, embedding=16, steps=2).init)(jax.random.key(0), x)
    for path, array in jax.tree_util.tree_leaves_with_path(variables):
        *_, layer, name = (key.key for key in path)
        if name == "kernel" and layer != "g":
            receptive = np.prod(array.shape[:-2])
            limit = np.sqrt(6 / (receptive * (array.shape[-2] + array.shape[-1])))
            assert 0.95 * limit < abs(array).max() <= limit
            np.testing.assert_allclose(array.std(), limit / np.sqrt(3), rtol=0.1)
        else:
            expected = 1.0 if name in ("scale", "var") else 0.0
            np.testing.assert_array_equal(array, expected, err_msg=f"{layer}/{name}")


def test_a_fresh_non_local_module_is_the_identity(fresh):
    model, variables = fresh
    x = images(BATCH)
    cell = variables["params"]["cell"]
    others = jax.tree.map(lambda a: a + 1.0, {"theta": cell["theta"], "phi": cell["phi"]})

    def output(cell):
        return model.apply(variables | {"params": variables["params"] | {"cell": cell}}, x)

    np.testing.assert_array_equal(output(cell | others), output(cell))
    awake = cell | {"g": cell["g"] | {"kernel": np.eye(8, dtype=np.float32)}}
    assert abs(output(awake | others) - output(awake)).max() > 1e-3


def test_training_starts_at_the_noisy_image():
    rng = np.random.default_rng(0)
    camera = data.camera() / 255
    clean = np.stack([camera[r : r + 32, c : c + 32] for r, c in ((80, 200), (230, 60))])
    clean = clean[..., None].astype(np.float32)
    noisy = clean + rng.normal(0, 25 / 255, clean.shape).astype(np.float32)
    model = NLRN(filters=16, embedding=8)
    variables = jax.jit(model.init)(jax.random.key(0), noisy)
    restored, _ = train(model, variables, noisy)
    assert np.abs(restored - noisy).max() > 0
    before, after = (
        peak_signal_noise_ratio(clean, np.asarray(image), data_range=1)
        for image in (noisy, restored)
    )
    assert after >= 19.5
    assert abs(after - before) < 0.2


def test_bfloat16_stays_near_float32():
    x = images(BATCH)
    single, half = NLRN(steps=3, **TINY), NLRN(steps=3, dtype="bfloat16", **TINY)
    variables = randomized(single, x)
    trained, new = train(half, variables, x)
    pairs = [
        (restore(half, variables, x), restore(single, variables, x)),
        (trained, train(single, variables, x)[0]),
    ]
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves((pairs, new)))
    for actual, expected in pairs:
        assert abs(actual - expected).max() > 1e-5  # bfloat16 was really used
        close(actual - x, expected - x, 0.05)


@pytest.mark.parametrize("shape", [(5, 7, 1), (2, 5, 7, 3), (2, 5, 7)])
def test_an_input_of_another_shape_is_refused(fresh, shape):
    model, variables = fresh
    with pytest.raises(ValueError, match="channels=1"):
        model.apply(variables, images(shape))


@pytest.mark.parametrize("network", [NLRN(steps=1, **TINY), DnCNN(depth=3, filters=4)], ids=str)
@pytest.mark.parametrize(
    "x, culprit",
    [
        (np.zeros(BATCH, np.uint8), "floats from 0 to 1, not uint8"),
        (np.zeros(BATCH, np.complex64), "floats from 0 to 1, not complex64"),
        (images((0, 5, 7, 1)), r"not \(0, 5, 7, 1\)"),
        (images((2, 5, 0, 1)), r"not \(2, 5, 0, 1\)"),
    ],
)
def test_what_is_no_image_is_refused(network, x, culprit):
    with pytest.raises(ValueError, match=culprit):
        network.init(jax.random.key(0), x)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_images_of_half_precision_come_back_as_they_went(fresh, dtype):
    model, variables = fresh
    x = jnp.asarray(images(BATCH), dtype)
    restored = restore(model, variables, x)
    assert restored.dtype == dtype
    close(restored.astype(jnp.float32), restore(model, variables, x.astype(jnp.float32)), 0.01)


def test_float64_of_numpy_is_taken_as_float32_without_a_word(fresh):
    model, variables = fresh
    x = images(BATCH)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        restored = model.apply(variables, x.astype(np.float64))
    close(restored, restore(model, variables, x), FEW)


def test_an_even_neighborhood_is_refused():
    with pytest.raises(ValueError, match="neighborhood"):
        NLRN(steps=1, neighborhood=4, **TINY).init(jax.random.key(0), images(BATCH))


@pytest.mark.parametrize("window", [None, 5])
@pytest.mark.parametrize("carry", ["logits", "embeddings"])
def test_padding_changes_no_pixel_and_one_compilation_serves_many_sizes(window, carry):
    model = NLRN(steps=3, neighborhood=window, carry=carry, **TINY)
    variables = randomized(model, images((1, 4, 4, 1)))
    padded_apply = jax.jit(lambda v, x, size: model.apply(v, x, size=size))
    for height, width in [(9, 21), (12, 5), (1, 1), (16, 24)]:
        x = images((1, height, width, 1))
        padded = np.full((1, 16, 24, 1), 7.0, np.float32)  # not even zero
        padded[:, :height, :width] = x
        answer = padded_apply(variables, padded, np.array([height, width], np.int32))
        close(answer[:, :height, :width], restore(model, variables, x))
    assert padded_apply._cache_size() == 1


def test_a_size_in_training_an_unknown_carry_and_an_unknown_remat_are_refused():
    x = images(BATCH)
    model = NLRN(steps=1, **TINY)
    variables = randomized(model, x)
    with pytest.raises(ValueError, match="batch statistics"):
        model.apply(variables, x, train=True, size=jnp.array([3, 3]), mutable=["batch_stats"])
    with pytest.raises(ValueError, match="carry='stack'"):
        model.clone(carry="stack").apply(variables, x)
    with pytest.raises(ValueError, match="steps=0 should be 1 or more"):
        model.clone(steps=0).apply(variables, x)
    with pytest.raises(ValueError, match="remat=True"):
        model.clone(remat=True).apply(variables, x)
