"""DnCNN equals its equations, with and without non-local blocks, and is the published one."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from drawn import FEW, close, exact, images, randomized

from nlrn_jax import restore
from nlrn_jax.network.build import count_parameters
from nlrn_jax.network.dncnn import DnCNN

SMALL = {"filters": 6, "depth": 5, "embedding": 4}
FORMS = [
    {},
    {"norms": False},
    {"channels": 3, "depth": 2},
    {"blocks": (2,)},
    {"blocks": (1, 3, 4), "neighborhood": 3},
    {"blocks": (1, 3), "propagate": False, "norms": False},
]


def build(fields, shape=(2, 6, 7)):
    """Return a network, drawn variables of its, and images."""
    model = DnCNN(**SMALL | fields)
    x = images((*shape, model.channels))
    return model, randomized(model, x), x


def of_equations(model, variables, x, train=False):
    return reference.dncnn(
        exact(x), exact(variables), model.depth, model.blocks, model.neighborhood,
        model.propagate, train,
    )  # fmt: skip


@pytest.mark.parametrize("fields", FORMS, ids=str)
def test_restores_as_the_equations_do(fields):
    model, variables, x = build(fields)
    expected, _ = of_equations(model, variables, x)
    actual = jax.jit(model.apply)(variables, x)
    assert actual.dtype == jnp.float32
    close(actual - x, expected - x)


@pytest.mark.parametrize("fields", FORMS[:1] + FORMS[4:5], ids=str)
def test_trains_as_the_equations_do(fields):
    model, variables, x = build(fields)
    apply = functools.partial(model.apply, train=True, mutable=["batch_stats"])
    actual, new = jax.jit(apply)(variables, x)
    expected, statistics = of_equations(model, variables, x, train=True)
    close(actual - x, expected - x)
    jax.tree.map(lambda a, b: close(a, b, FEW), new["batch_stats"], statistics)


def test_gradients_equal_differences_of_the_equations():
    model, variables, x = build(FORMS[4], (1, 4, 5))
    statistics = variables["batch_stats"]

    def loss(params):
        variables = {"params": params, "batch_stats": statistics}
        return jnp.sum(model.apply(variables, x, True, mutable=True)[0] ** 2)

    slopes = jax.tree.leaves(jax.jit(jax.grad(loss))(variables["params"]))
    largest = max(abs(slope).max() for slope in slopes)
    point = exact(variables)
    rng = np.random.default_rng(0)
    for array, slope in zip(jax.tree.leaves(point["params"]), slopes, strict=True):
        for index in rng.choice(array.size, min(2, array.size), replace=False):
            value, sides = array.flat[index], []
            for step in (1e-6, -1e-6):
                array.flat[index] = value + step
                sides.append(np.sum(of_equations(model, point, x, True)[0] ** 2))
            array.flat[index] = value
            difference = (sides[0] - sides[1]) / 2e-6
            error = abs(slope.ravel()[index] - difference)
            assert error < 1e-4 * abs(slope).max() + 1e-5 * largest


def test_it_has_the_published_size():
    """Of the authors' network of 17 layers whose norms are merged into the convolutions."""
    model = DnCNN(norms=False)
    params = jax.eval_shape(model.init, jax.random.key(0), images((1, 5, 5, 1)))["params"]
    assert count_parameters(params) == 555_137
    assert params["conv_16"]["kernel"].shape == (3, 3, 64, 64)
    assert "conv_17" not in params and params["output_conv"]["kernel"].shape == (3, 3, 64, 1)


def test_norms_merged_into_the_convolutions_are_the_same_network():
    """And the published sign and scale: they predict the noise, in [0, 1]."""
    model, variables, x = build({})
    params, statistics = exact(variables["params"]), exact(variables["batch_stats"])
    merged = {name: params[name] for name in ("input_conv", "output_conv")}
    for name, kernel in ((f"conv_{k}", params[f"conv_{k}"]["kernel"]) for k in (2, 3, 4)):
        norm = name.replace("conv", "norm")
        gain = params[norm]["scale"] / np.sqrt(statistics[norm]["var"] + 1e-3)
        bias = params[norm]["bias"] - gain * statistics[norm]["mean"]
        merged[name] = {"kernel": kernel * gain, "bias": bias}
    plain = model.clone(norms=False)
    close(plain.apply({"params": merged}, x), model.apply(variables, x), 1e-4)

    u = exact(x)
    for layer in ("input_conv", "conv_2", "conv_3", "conv_4"):
        u = reference.relu(reference.convolve(u, merged[layer]))
    published = {name: array / -255 for name, array in merged["output_conv"].items()}
    close(plain.apply({"params": merged}, x), x - reference.convolve(u, published))


@pytest.mark.parametrize("fields", FORMS, ids=str)
def test_padding_changes_no_pixel(fields):
    model, variables, x = build(fields)
    padded = np.full((2, 11, 9, model.channels), 7, np.float32)
    padded[:, :6, :7] = x
    answer = jax.jit(lambda v, x, size: model.apply(v, x, size=size))(
        variables, padded, np.array([6, 7], np.int32)
    )
    close(answer[:, :6, :7], model.apply(variables, x), FEW)


@pytest.mark.parametrize("fields", FORMS[:1] + FORMS[3:5], ids=str)
def test_tiles_that_overlap_by_its_reach_are_the_whole(fields):
    model, variables, _ = build(fields | {"neighborhood": 3})
    picture = images((90, 140))
    whole = model.apply(variables, picture[None, ..., None])[0, ..., 0]
    for exact_tiles in (True, False):  # through one window its halo is its reach
        if exact_tiles or model.looks < 2:
            close(restore(model, variables, picture, memory=2_000_000, exact=exact_tiles), whole)


def test_a_fresh_network_starts_near_its_input():
    model = DnCNN()
    x = images((1, 20, 20, 1))
    variables = model.init(jax.random.key(0), x)
    assert abs(model.apply(variables, x) - x).max() < 4 / 255


@pytest.mark.parametrize("fields", [{}, {"blocks": (2, 3), "neighborhood": 3}], ids=str)
def test_bfloat16_stays_near_float32(fields):
    model, variables, x = build(fields)
    half = model.clone(dtype="bfloat16").apply(variables, x)
    assert half.dtype == jnp.float32
    expected = model.apply(variables, x)
    close(half - x, expected - x, 0.05)


def test_what_does_not_suit_is_refused():
    model, variables, x = build({})
    with pytest.raises(ValueError, match="channels=1 wants"):
        model.apply(variables, x[0])
    with pytest.raises(ValueError, match="padding would enter the batch statistics"):
        model.apply(variables, x, True, np.array([3, 3], np.int32), mutable=True)


@pytest.mark.parametrize(
    "fields, culprit",
    [
        ({"depth": 1}, "depth=1 should be 2 or more"),
        ({"depth": 4, "blocks": (4,)}, r"blocks=\(4,\) should be a tuple of 1 to depth - 1 = 3"),
        ({"depth": 4, "blocks": (0, 1)}, r"blocks=\(0, 1\) should be"),
        ({"blocks": 2}, "blocks=2 should be a tuple"),
    ],
)
def test_layers_that_are_not_there_are_refused(fields, culprit):
    with pytest.raises(ValueError, match=culprit):
        DnCNN(**fields).init(jax.random.key(0), np.zeros((1, 4, 4, 1), np.float32))
