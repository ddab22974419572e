"""The program compiles for a TPU without one, within its memory: needs libtpu (see launch/)."""

import functools
import importlib.util
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import SingleDeviceSharding
from operation import initial_correlation, respond

from configs import base
from nlrn_jax.network.build import build_model
from nlrn_jax.network.non_local import non_local
from nlrn_jax.training.state import create_state, train_step

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None, reason="pip install libtpu to compile for a TPU"
)
GIB = 2**30


@pytest.fixture(scope="module")
def chip():
    """One chip of a TPU v5e that does not exist."""
    os.environ["TPU_SKIP_MDS_QUERY"] = "1"  # or libtpu asks the cloud's metadata who it is
    os.environ["ALLOW_MULTIPLE_LIBTPU_LOAD"] = "1"  # there is no chip that only one may open
    from jax.experimental import topologies

    return topologies.get_topology_desc(platform="tpu", topology_name="v5e:2x2").devices[0]


def temporaries(chip, function, *arguments) -> int:
    """Compile for the chip; return the bytes of temporaries."""
    at_chip = jax.tree.map(
        lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=SingleDeviceSharding(chip)),
        arguments,
    )
    return jax.jit(function).lower(*at_chip).compile().memory_analysis().temp_size_in_bytes


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_windows_need_less_room_than_the_logits_they_carry(chip, dtype):
    side, window = 384, 45
    theta, phi, g = (jax.ShapeDtypeStruct((1, side, side, size), dtype) for size in (64, 64, 128))
    correlation = jax.eval_shape(lambda: initial_correlation(theta.shape, window))
    carried = functools.partial(non_local, neighborhood=window)

    def loss(theta, phi, g):
        return jnp.sum(respond(theta, phi, g, window).astype(jnp.float32) ** 2)

    logits = 4 * (45 + 7) * (45 + 15) * side**2  # 1.7 GiB; (HW)^2 would take 81
    assert temporaries(chip, carried, theta, phi, g, correlation) < logits / 2
    assert temporaries(chip, jax.grad(loss, (0, 1, 2)), theta, phi, g) < logits / 2


@pytest.mark.slow  # a minute for each compilation
@pytest.mark.parametrize(
    "model, limit",
    [
        ({}, 6.5),
        ({"remat": "correlation"}, 2.5),
        ({"remat": "states"}, 1.5),
        ({"remat": "states", "carry": "embeddings"}, 1.9),
    ],
)
def test_a_full_size_step_of_16_patches_fits(chip, model, limit):
    config = base.get_config()
    config.model.update(model)
    state = jax.eval_shape(lambda: create_state(config))
    patches = jax.ShapeDtypeStruct((16, 43, 43, 1), np.float32)
    step = functools.partial(train_step, build_model(config), config.train)
    used = temporaries(chip, step, state, {"input": patches, "target": patches})
    assert used < limit * GIB
