"""Freed memory stays with the process, so that the next step finds it without page faults."""

import subprocess
import sys

import pytest

PROGRAM = """
import resource
from nlrn_jax.allocator import keep_freed_memory

if {keep}:
    assert keep_freed_memory()

def touch():
    import numpy as np
    arrays = [np.ones(2**24, np.uint8) for _ in range(8)]
    return sum(int(a[-1]) for a in arrays)

touch()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(3):
    touch()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(keep: bool) -> int:
    command = [sys.executable, "-c", PROGRAM.format(keep=keep)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc is Linux's")
def test_memory_that_was_freed_is_found_again():
    assert faults(keep=False) > 1_000  # 3 x 128 MiB, by pages or huge pages
    assert faults(keep=True) < 100
