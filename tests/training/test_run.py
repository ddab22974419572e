"""A run on disk: one configuration, and the checkpoint that is asked for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nlrn_jax import load
from nlrn_jax.config import differences
from nlrn_jax.errors import UserError
from nlrn_jax.network.model import build_model
from nlrn_jax.training.checkpoints import Checkpoints
from nlrn_jax.training.run import (
    claim_workdir,
    find_step,
    newest_step,
    read_config,
    require_same_run,
)
from nlrn_jax.training.state import create_state


def make_run(workdir, config, *scores):
    """Save steps 1, 2, ... with these PSNRs; return their states, each with weights of its own."""
    claim_workdir(workdir, config)
    fresh, states = create_state(config), {}
    with Checkpoints(workdir, keep=2) as checkpoints:
        for step, psnr in enumerate(scores, 1):
            variables = jax.tree.map(lambda leaf, step=step: leaf + step, fresh.variables)
            states[step] = fresh.replace(step=jnp.int32(step), variables=variables)
            checkpoints.save(states[step], config, psnr)
    return states


def assert_equal(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_load_brings_model_and_weights_together(tiny_config, tmp_path):
    states = make_run(tmp_path, tiny_config, 30.0, 20.0)
    model, variables = load(tmp_path)
    assert model == build_model(tiny_config)
    assert_equal(variables, states[2].variables)
    assert_equal(load(tmp_path, "best")[1], states[1].variables)


def test_load_takes_the_averaged_weights_where_the_run_keeps_them(tiny_config, tmp_path):
    tiny_config.train.ema = 0.5
    states = make_run(tmp_path, tiny_config, None)
    assert_equal(load(tmp_path)[1], states[1].average)
    with pytest.raises(AssertionError):
        assert_equal(states[1].average, states[1].variables)


def test_a_checkpoint_is_found_by_name_or_by_step(tiny_config, tmp_path):
    make_run(tmp_path, tiny_config, 20.0, 30.0, 25.0)
    names = ("newest", "best", 3, "2")
    assert [find_step(tmp_path, name) for name in names] == [3, 2, 3, 2]
    assert_equal(load(tmp_path, 2)[1], load(tmp_path, "best")[1])
    for wrong in (4, "4", "last", "-1"):
        with pytest.raises(UserError, match=f"no checkpoint {wrong}; .* steps 2, 3"):
            find_step(tmp_path, wrong)


def test_there_is_no_best_where_nothing_was_validated(tiny_config, tmp_path):
    make_run(tmp_path, tiny_config, None)
    with pytest.raises(UserError, match=r"no checkpoint best; there are newest and the steps 1$"):
        find_step(tmp_path, "best")


def test_the_newest_step_is_0_before_the_first_checkpoint(tiny_config, tmp_path):
    assert newest_step(tmp_path / "nowhere") == 0
    claim_workdir(tmp_path, tiny_config)
    assert newest_step(tmp_path) == 0
    make_run(tmp_path, tiny_config, None, None)
    assert newest_step(tmp_path) == 2
    assert not (tmp_path / "nowhere").exists()


def test_loading_what_is_no_run_says_so(tiny_config, tmp_path):
    with pytest.raises(UserError, match=r"config\.json: no such file"):
        load(tmp_path / "nowhere")
    claim_workdir(tmp_path, tiny_config)
    with pytest.raises(UserError, match="no newest checkpoint yet"):
        load(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UserError, match="not a configuration"):
        load(tmp_path)


def test_a_workdir_belongs_to_one_configuration(tiny_config, tmp_path):
    claim_workdir(tmp_path, tiny_config)
    assert differences(read_config(tmp_path), tiny_config) == []
    tiny_config.train.steps = 99  # going on for longer is the same run
    claim_workdir(tmp_path, tiny_config)
    assert read_config(tmp_path).train.steps == 99
    tiny_config.model.filters = 16
    for refuse in (claim_workdir, require_same_run):
        with pytest.raises(UserError, match=r"model\.filters: 8 there, 16 now"):
            refuse(tmp_path, tiny_config)
    assert read_config(tmp_path).model.filters == 8


def test_asking_claims_nothing(tiny_config, tmp_path):
    require_same_run(tmp_path / "new", tiny_config)
    assert not (tmp_path / "new").exists()
