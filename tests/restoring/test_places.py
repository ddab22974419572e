"""Tiles side by side: each of them once, wherever it is computed, and with the same pixels."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import jax
import numpy as np
import pytest

from nlrn_jax.restoring.places import places, side_by_side

ROOT = Path(__file__).parents[2]
DEVICES = """
import sys
import jax, numpy as np
from nlrn_jax import NLRN, restore

model = NLRN(filters=4, embedding=2, steps=2, neighborhood=5)
image = np.random.default_rng(0).random((90, 140), np.float32)
variables = model.init(jax.random.key(0), image[None, ..., None])
restored = restore(model, variables, image, memory=2**20)
np.save(sys.argv[1], np.stack([restored, np.full_like(restored, jax.device_count())]))
"""


def test_every_core_of_a_cpu_is_a_place():
    assert len(places()) == len(os.sched_getaffinity(0))
    assert set(places()) == {jax.devices("cpu")[0]}


@pytest.mark.parametrize("at_most", [1, 2, 50])
def test_each_part_comes_back_once_with_its_result(at_most):
    done = dict(side_by_side(lambda part, place: (part**2, place), range(20), places()[:at_most]))
    assert {part: result for part, (result, _) in done.items()} == {n: n**2 for n in range(20)}
    assert {place for _, place in done.values()} <= set(places())


def test_no_more_are_at_work_than_is_allowed():
    working, most, lock = 0, 0, threading.Lock()

    def work(part, place):
        nonlocal working, most
        with lock:
            working += 1
            most = max(most, working)
        threading.Event().wait(0.01)
        with lock:
            working -= 1

    assert len(list(side_by_side(work, range(9), places()[:1]))) == 9
    assert most == 1


def test_a_failure_is_raised_and_ends_what_has_not_begun():
    begun = []

    def fail(part, place):
        begun.append(part)
        threading.Event().wait(0.01)
        raise OSError(f"part {part}")

    with pytest.raises(OSError, match="part"):
        list(side_by_side(fail, range(500), places()[:2]))
    assert len(begun) < 500


def test_a_caller_that_stops_leaves_the_rest():
    begun = []

    def work(part, place):
        begun.append(part)
        threading.Event().wait(0.01)

    parts = side_by_side(work, range(500), places()[:1])
    next(parts)
    parts.close()
    assert len(begun) < 500


def test_one_device_and_eight_restore_the_same_pixels(tmp_path):
    restored = {}
    for count in (1, 8):
        environment = os.environ | {
            "XLA_FLAGS": f"--xla_force_host_platform_device_count={count}", "JAX_PLATFORMS": "cpu",
        }  # fmt: skip
        path = tmp_path / f"{count}.npy"
        program = [sys.executable, "-c", DEVICES, str(path)]
        subprocess.run(program, cwd=ROOT, env=environment, check=True)
        restored[count], devices = np.load(path)
        assert (devices == count).all()
    assert np.array_equal(restored[1], restored[8])
