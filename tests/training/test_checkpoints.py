"""Checkpoints: what is saved comes back, whole; what cannot be saved harms nothing."""

import functools
import json
import resource

import jax
import numpy as np
import optax
import pytest

from nlrn_jax.config.record import to_json
from nlrn_jax.data.batches import batches
from nlrn_jax.errors import UserError
from nlrn_jax.network.build import build_model
from nlrn_jax.training.checkpoints import Checkpoints
from nlrn_jax.training.state import create_state, train_step


@pytest.fixture
def run(tiny_config, photographs, tmp_path):
    """A donated step, a state, an iterator and an open checkpoint folder."""
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
    assert_equal(checkpoints.read_state(1, create_state(tiny_config)), saved)
    assert_equal(checkpoints.read_state(6, create_state(tiny_config)), state)


def test_a_sum_that_an_earlier_version_did_not_keep_is_unknown(run, tiny_config):
    step, state, iterator, checkpoints = run
    state, _ = step(state, next(iterator))
    earlier = {name: sum_ for name, sum_ in state.sums.items() if name != "baseline"}
    checkpoints.save(state.replace(sums=earlier), tiny_config, psnr=None)
    read = checkpoints.read_state(1, create_state(tiny_config))
    assert np.isnan(read.sums["baseline"]) and read.sums.keys() == state.sums.keys()
    assert_equal(read.replace(sums=earlier), state.replace(sums=earlier))


def test_variables_are_had_whatever_optimiser_trained_them(run, tiny_config, tmp_path):
    step, state, iterator, checkpoints = run
    state, _ = step(state, next(iterator))
    other = optax.sgd(0.1, momentum=0.9).init(state.variables["params"])
    checkpoints.save(state.replace(optimizer=other), tiny_config, psnr=None)
    checkpoints.wait()
    assert_equal(checkpoints.read_variables(1, create_state(tiny_config)), state.variables)


def test_the_average_is_had_alone_where_the_run_keeps_one(run, tiny_config):
    step, state, iterator, checkpoints = run
    state, _ = step(state, next(iterator))
    average = jax.tree.map(lambda array: array + 1, state.variables)
    state = state.replace(average=average)
    checkpoints.save(state, tiny_config, psnr=None)
    checkpoints.wait()
    assert_equal(checkpoints.read_variables(1, state), average)


def test_the_newest_and_the_best_are_kept(run, tiny_config, tmp_path):
    step, state, iterator, checkpoints = run
    for psnr in (20.0, 29.0, 25.0, 24.0, 23.0):
        state, _ = step(state, next(iterator))
        checkpoints.save(state, tiny_config, psnr)
    assert (checkpoints.newest, checkpoints.ranked) == (5, [2, 4])  # 5 is being written
    checkpoints.__exit__()  # old ones go when the last write is done
    assert {int(p.name) for p in (tmp_path / "checkpoints").iterdir()} == {2, 4, 5}


def test_the_configuration_lies_in_the_checkpoint(run, tiny_config, tmp_path):
    step, state, iterator, checkpoints = run
    state, _ = step(state, next(iterator))
    checkpoints.save(state, tiny_config, psnr=None)
    checkpoints.__exit__()
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
        with pytest.raises(UserError, match=r"^[^\n]+/checkpoints: [^\n]+ intact\. [^\n]+$"):
            checkpoints.save(state, tiny_config, psnr=None)
            checkpoints.wait()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    with Checkpoints(tmp_path, keep=2, read_only=True) as again:
        assert again.newest == 1
        assert_equal(again.read_state(1, create_state(tiny_config)), saved)
