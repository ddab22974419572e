"""Checkpoints: what is saved comes back, whole, with the configuration that made it."""

import functools
import json
import resource

import jax
import numpy as np
import pytest

from nlrn_jax import load
from nlrn_jax.config import build_model, differences, to_json
from nlrn_jax.data.batches import batches
from nlrn_jax.training.checkpoints import (
    CheckpointError,
    Checkpoints,
    claim_workdir,
    find_step,
    read_config,
)
from nlrn_jax.training.state import create_state, train_step


@pytest.fixture
def run(tiny_config, photographs, tmp_path):
    """A donated step, a state, an iterator and an open checkpoint folder."""
    claim_workdir(tmp_path, tiny_config)
    step = functools.partial(train_step, build_model(tiny_config), tiny_config.train)
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        yield (
            jax.jit(step, donate_argnums=0),
            create_state(tiny_config),
            batches(photographs, tiny_config),
            checkpoints,
        )


def assert_equal(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_a_state_comes_back_though_steps_go_on_while_it_is_written(run, tiny_config):
    step, state, iterator, checkpoints = run
    state, _ = step(state, next(iterator))
    saved = jax.tree.map(np.array, state)
    checkpoints.save(state, tiny_config, psnr=None)
    for _ in range(5):
        state, _ = step(state, next(iterator))  # donates the buffers that are being written
    checkpoints.save(state, tiny_config, psnr=None)
    assert_equal(checkpoints.restore_state(1, create_state(tiny_config)), saved)
    assert_equal(checkpoints.restore_state(6, create_state(tiny_config)), state)


def test_the_newest_and_the_best_are_kept(run, tiny_config, tmp_path):
    step, state, iterator, checkpoints = run
    for psnr in (20.0, 29.0, 25.0, 24.0, 23.0):
        state, _ = step(state, next(iterator))
        checkpoints.save(state, tiny_config, psnr)
    assert (checkpoints.newest, checkpoints.best) == (5, 2)
    checkpoints.__exit__()  # old ones go when the last write is done
    assert {int(p.name) for p in (tmp_path / "checkpoints").iterdir()} == {2, 4, 5}


def test_load_brings_model_and_weights_together(run, tiny_config, tmp_path):
    step, state, iterator, checkpoints = run
    for psnr in (30.0, 20.0):
        state, _ = step(state, next(iterator))
        checkpoints.save(state, tiny_config, psnr)
        best = best if psnr < 30 else jax.tree.map(np.array, state.variables)  # noqa: F821
    checkpoints.__exit__()
    model, variables = load(tmp_path)
    assert model == build_model(tiny_config)
    assert_equal(variables, state.variables)
    assert_equal(load(tmp_path, "best")[1], best)


def test_load_takes_the_averaged_weights_where_the_run_keeps_them(
    tiny_config, photographs, tmp_path
):
    tiny_config.train.ema = 0.5
    claim_workdir(tmp_path, tiny_config)
    iterator = batches(photographs, tiny_config)
    step = functools.partial(train_step, build_model(tiny_config), tiny_config.train)
    state, _ = jax.jit(step)(create_state(tiny_config), next(iterator))
    with Checkpoints(tmp_path, keep=1) as checkpoints:
        checkpoints.save(state, tiny_config, psnr=None)
    assert_equal(load(tmp_path)[1], state.average)


def test_the_configuration_lies_in_the_workdir_and_in_the_checkpoint(run, tiny_config, tmp_path):
    step, state, iterator, checkpoints = run
    state, _ = step(state, next(iterator))
    checkpoints.save(state, tiny_config, psnr=None)
    checkpoints.__exit__()
    assert differences(read_config(tmp_path), tiny_config) == []
    stored = json.loads((tmp_path / "checkpoints" / "1" / "config" / "metadata").read_text())
    assert stored == json.loads(to_json(tiny_config))


def test_what_a_killed_save_left_behind_is_neither_loaded_nor_kept(run, tiny_config, tmp_path):
    step, state, iterator, checkpoints = run
    state, _ = step(state, next(iterator))
    checkpoints.save(state, tiny_config, psnr=None)
    checkpoints.__exit__()
    half = tmp_path / "checkpoints" / "2.orbax-checkpoint-tmp-1700000000"
    (half / "state").mkdir(parents=True)
    with Checkpoints(tmp_path, keep=2) as again:
        assert again.newest == 1
        state, _ = step(state, next(iterator))
        again.save(state, tiny_config, psnr=None)
    assert not half.exists()


def test_a_workdir_belongs_to_one_configuration(tiny_config, tmp_path):
    claim_workdir(tmp_path, tiny_config)
    tiny_config.train.steps = 99  # going on for longer is the same run
    claim_workdir(tmp_path, tiny_config)
    tiny_config.model.filters = 16
    with pytest.raises(CheckpointError, match=r"model\.filters: 8 there, 16 now"):
        claim_workdir(tmp_path, tiny_config)


def test_a_checkpoint_is_found_by_name_or_by_step(run, tiny_config, tmp_path):
    step, state, iterator, checkpoints = run
    for psnr in (20.0, 30.0, 25.0):
        state, _ = step(state, next(iterator))
        checkpoints.save(state, tiny_config, psnr=psnr)
    checkpoints.__exit__()
    names = ("newest", "best", 3, "2")
    assert [find_step(tmp_path, name) for name in names] == [3, 2, 3, 2]
    assert_equal(load(tmp_path, 2)[1], load(tmp_path, "best")[1])
    for wrong in (4, "4", "last", "-1"):
        with pytest.raises(CheckpointError, match=f"no checkpoint {wrong}; .* steps 2, 3"):
            find_step(tmp_path, wrong)


def test_loading_what_is_no_run_says_so(tiny_config, tmp_path):
    with pytest.raises(CheckpointError, match=r"config\.json: no such file"):
        load(tmp_path / "nowhere")
    claim_workdir(tmp_path, tiny_config)
    with pytest.raises(CheckpointError, match="no newest checkpoint yet"):
        load(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match="not a configuration"):
        load(tmp_path)


def test_a_save_that_fails_is_one_line_and_earlier_ones_are_intact(run, tiny_config, tmp_path):
    """Files may grow to 3000 bytes only, as on a disk that is almost full."""
    step, state, iterator, checkpoints = run
    state, _ = step(state, next(iterator))
    saved = jax.tree.map(np.array, state)
    checkpoints.save(state, tiny_config, psnr=None)
    checkpoints.wait()
    state, _ = step(state, next(iterator))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (3000, limits[1]))
        with pytest.raises(CheckpointError, match=r"^[^\n]+/checkpoints: [^\n]+ intact\. [^\n]+$"):
            checkpoints.save(state, tiny_config, psnr=None)
            checkpoints.wait()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    with Checkpoints(tmp_path, keep=2, read_only=True) as again:
        assert again.newest == 1
        assert_equal(again.restore_state(1, create_state(tiny_config)), saved)
