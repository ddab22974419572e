"""A network as a program: JAX alone runs it, for images of any size, with its gradient."""

import json
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn import close
from jax import export

from nlrn_jax.errors import UserError
from nlrn_jax.exchanging.file import Facts, Weights
from nlrn_jax.exchanging.stablehlo import PLATFORMS, program_of, write_program
from nlrn_jax.network.build import build_model
from nlrn_jax.training.state import create_state

SHAPES = [(1, 16, 16), (3, 13, 40), (1, 1, 1)]
ALONE = """
import sys
for name in ("flax", "optax", "orbax", "nlrn_jax"):
    sys.modules[name] = None  # to import it is an error
import numpy as np
from jax import export
restore = export.deserialize(bytearray(open(sys.argv[1], "rb").read())).call
arrays = np.load(sys.argv[2])
np.savez(sys.argv[3], **{name: restore(arrays[name]) for name in arrays})
"""


def drawn(shape, channels):
    """Draw images, dark: the running statistics are those of a fresh network, and the logits so."""
    rng = np.random.default_rng(sum(shape))
    return rng.random((*shape, channels), np.float32) / 100


@pytest.fixture(params=["colour", "embeddings", "dncnn"])
def weights(tiny_config, request):
    """Weights of 8 filters, none of them zero."""
    changes = {
        "colour": {"channels": 3},
        "embeddings": {"carry": "embeddings"},
        "dncnn": {"network": "dncnn", "depth": 4, "blocks": (1, 3)},
    }
    tiny_config.model.update(changes[request.param])
    fresh = create_state(tiny_config).variables
    key = jax.random.key(0)
    stirred = jax.tree.map(lambda a: a + 0.05 * jax.random.uniform(key, a.shape), fresh)
    return Weights(tiny_config, jax.device_get(stirred), Facts("0.1.0", 12, 3))


def restored(weights, window, x):
    model = build_model(weights.config).clone(neighborhood=window)
    return jax.jit(model.apply)(weights.variables, x)


@pytest.mark.parametrize("window", [None, 5])
def test_it_restores_images_of_any_size(weights, window):
    program = program_of(weights, window)
    assert program.platforms == PLATFORMS
    for shape in SHAPES:
        x = drawn(shape, weights.config.model.channels)
        close(program.call(x), restored(weights, window, x))


def test_jax_alone_runs_what_is_written(weights, tmp_path):
    file = write_program(tmp_path / "a.stablehlo", weights)
    channels = weights.config.model.channels
    arrays = {str(i): drawn(shape, channels) for i, shape in enumerate(SHAPES)}
    np.savez(tmp_path / "in.npz", **arrays)
    places = [str(file), str(tmp_path / "in.npz"), str(tmp_path / "out.npz")]
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    subprocess.run([sys.executable, "-c", ALONE, *places], check=True, env=environment)
    results, window = np.load(places[-1]), build_model(weights.config).window
    for name, x in arrays.items():
        close(results[name], restored(weights, window, x))


def test_its_gradient_is_in_it(weights, tmp_path):
    file = write_program(tmp_path / "a.stablehlo", weights)
    call = export.deserialize(bytearray(file.read_bytes())).call
    window = build_model(weights.config).window
    x = jnp.asarray(drawn((1, 9, 18), weights.config.model.channels))
    expected = jax.grad(lambda x: jnp.sin(3 * restored(weights, window, x)).sum())(x)
    close(jax.grad(lambda x: jnp.sin(3 * call(x)).sum())(x), expected)


def test_beside_it_stands_what_it_is(weights, tmp_path):
    write_program(tmp_path / "a.stablehlo", weights)
    assert {path.name for path in tmp_path.iterdir()} == {"a.stablehlo", "a.json"}
    told = json.loads((tmp_path / "a.json").read_text())
    assert told["jax"] == jax.__version__ and told["readable_until"] > "2026"
    assert told["channels"] == weights.config.model.channels
    assert told["window"] == build_model(weights.config).window
    assert told["nlrn_jax"]["steps"] == 12


@pytest.mark.parametrize(
    "there, output, message",
    [
        ("a.json", "a.stablehlo", "a.json: exists already"),
        ("a.stablehlo", "a.stablehlo", "a.stablehlo: exists already"),
        ("b", "a.bin", r"is called NAME\.stablehlo"),
    ],
)
def test_nothing_is_overwritten_or_misnamed(weights, tmp_path, there, output, message):
    (tmp_path / there).write_text("mine")
    with pytest.raises(UserError, match=message):
        write_program(tmp_path / output, weights)
    assert (tmp_path / there).read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == [there]
