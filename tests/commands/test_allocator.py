"""The program starts itself again with huge pages, once, and touches memory with few faults."""

import os
import subprocess
import sys

import pytest

from nlrn_jax.commands.allocator import HUGE_PAGES

PROGRAM = """
import resource, sys
from nlrn_jax.commands.allocator import use_huge_pages

use_huge_pages()

before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(3):
    b"x" * 2**27
print(*sys.argv[1:], resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
HERE = HUGE_PAGES.exists() and "[madvise]" in HUGE_PAGES.read_text()


def run(**environment) -> list[str]:
    """Run the program with two arguments; return what it prints, the arguments and the faults."""
    kept = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}
    command = [sys.executable, "-c", PROGRAM, "an argument", "*"]
    answer = subprocess.run(
        command, capture_output=True, text=True, check=True, env=kept | environment
    )
    return answer.stdout.rsplit(maxsplit=1)


@pytest.mark.skipif(not HERE, reason=f"{HUGE_PAGES} does not leave huge pages to the program")
def test_memory_comes_in_huge_pages():
    arguments, faults = run()
    assert arguments == "an argument *"
    assert int(faults) < 10_000  # 3 x 128 MiB are 98,304 pages of 4 KiB


def test_the_settings_of_a_user_are_left_alone():
    arguments, faults = run(GLIBC_TUNABLES="glibc.malloc.hugetlb=0")
    assert arguments == "an argument *"
    assert not HERE or int(faults) > 90_000
