"""A step that cannot fit is refused before it is compiled, and none that can."""

import jax
import pytest
import tiny

from nlrn_jax.errors import UserError
from nlrn_jax.network.mesh import data_mesh
from nlrn_jax.training import memory
from nlrn_jax.training.state import create_state, trace_step

FORMS = [
    {},
    {"remat": "correlation"},
    {"remat": "states"},
    {"carry": "embeddings"},
    {"neighborhood": 9},
    {"dtype": "bfloat16", "propagate": False},
]


@pytest.mark.parametrize("fields", FORMS, ids=str)
def test_the_least_is_less_than_the_compiler_takes(tiny_config, fields):
    tiny_config.model.update(fields | {"steps": 4})
    tiny_config.data.patch = 24
    state = jax.eval_shape(lambda: create_state(tiny_config))
    analysis = trace_step(tiny_config, data_mesh(), state).lower().compile().memory_analysis()
    least = memory.least_bytes(tiny_config, jax.device_count())
    assert 0.02 * analysis.temp_size_in_bytes < least < analysis.temp_size_in_bytes


def test_a_step_for_which_there_is_no_room_is_refused_before_anything_is_made(
    tiny_config, tmp_path
):
    tiny_config.train.batch, tiny_config.data.patch = 64, 2000
    with pytest.raises(UserError, match=r"data\.patch=2000 needs .* GiB a device or more") as error:
        tiny.train(tiny_config, tmp_path / "run")
    assert "\n" not in str(error.value) and "accumulate" in str(error.value)
    assert not (tmp_path / "run").exists()


def test_the_published_step_is_let_through(tiny_config, monkeypatch):
    tiny_config.model.update(filters=128, embedding=64, steps=12)
    tiny_config.data.patch, tiny_config.train.batch = 43, 16
    monkeypatch.setattr(memory, "_memory_of_a_device", lambda: 16 * 2**30)
    memory.require_memory(tiny_config)
    monkeypatch.setattr(memory, "_memory_of_a_device", lambda: 2 * 2**30)
    with pytest.raises(UserError, match=r"and 2\.0 GiB are free"):
        memory.require_memory(tiny_config)
    tiny_config.train.accumulate = 4
    memory.require_memory(tiny_config)
