"""How a program around sets JAX up changes nothing: 64 bits, strict dtypes, strict ranks."""

import contextlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from nlrn_jax import bicubic_resize, load, restore
from nlrn_jax.looking.insight import look
from nlrn_jax.network.mesh import data_mesh
from nlrn_jax.planning import flops
from nlrn_jax.restoring.patches import restore_patches
from nlrn_jax.training.record import read_record
from nlrn_jax.training.state import create_state, trace_step

# Of a line's figures, what is measured, and what is told in float64 where there is float64.
OTHER = ("steps_per_second", "patches_per_second", "loader_wait", "learning_rate")


@contextlib.contextmanager
def strictest():
    """Set up what users are known to set up, all at once."""
    with (
        jax.enable_x64(True),
        jax.numpy_dtype_promotion("strict"),
        jax.numpy_rank_promotion("raise"),
    ):
        yield


def run_and_use(config, folder):
    """Train, validate and report, then load, restore and look inside."""
    state = tiny.train(config, folder)
    lines = [{name: value for name, value in line.items() if name not in OTHER}
             for line in read_record(folder)]  # fmt: skip
    model, variables = load(folder)
    image = tiny.photographs()[3].pixels
    pixels = (image / 255).astype(np.float32)[..., None]
    made = (
        restore(model, variables, image, scale=2),
        restore_patches(model, variables, image, patch=9, stride=4),
        *look(model.clone(neighborhood=5), variables, pixels, (3, 4))[::2],
        bicubic_resize(jnp.asarray(pixels), 1.5),
        bicubic_resize(jnp.asarray(image), 0.5),
    )
    return jax.device_get(state), lines, made


def test_training_and_its_uses_give_the_same_numbers(tiny_config, tmp_path):
    """To the last bit, in float32 and int32 alone, through several reports: two whole runs."""
    tiny_config.train.ema = 0.9
    plain = run_and_use(tiny_config, tmp_path / "plain")
    with strictest():
        strict = run_and_use(tiny_config, tmp_path / "strict")
    assert {str(leaf.dtype) for leaf in jax.tree.leaves(strict[0])} == {"float32", "int32"}
    jax.tree.map(np.testing.assert_array_equal, strict, plain)


FORMS = [
    {},
    {"neighborhood": 5},
    {"neighborhood": 5, "propagate": False},
    {"remat": "correlation"},
    {"neighborhood": 5, "carry": "embeddings", "share": False},
    {"neighborhood": 5, "dtype": "bfloat16"},
    {"dtype": "bfloat16", "remat": "states", "carry": "embeddings"},
    {"neighborhood": 5, "distance": "embedded_dot_product"},
    {"distance": "euclidean", "carry": "embeddings"},
    {"network": "dncnn", "depth": 4, "blocks": (1, 2), "neighborhood": 5},
]


@pytest.mark.parametrize("fields", FORMS, ids=str)
def test_a_step_has_no_other_types_and_no_more_arithmetic(tiny_config, fields):
    """Of every form of the network: as it is traced, since faults would show there."""
    tiny_config.model.update(fields)
    tiny_config.train.accumulate = 2

    def traced():
        state = jax.eval_shape(lambda: create_state(tiny_config))
        return trace_step(tiny_config, data_mesh(), state)

    with strictest():
        strict = traced()
    types = {str(leaf.dtype) for leaf in jax.tree.leaves(strict.out_info)}
    assert types == {"float32", "int32"}
    assert "f64[" not in str(strict.jaxpr)
    assert flops.count(strict.jaxpr, None) == flops.count(traced().jaxpr, None)
