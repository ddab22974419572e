"""Let the C library ask for huge pages, for XLA's CPU backend asks for the same memory every step.

glibc gives a large block back to the system as soon as it is freed, and the system clears it anew,
4 KiB at a time, when it is asked for again: 650,000 page faults and a seventh of the time of a
training step of 64 filters and 8 states (tests/bench/training.py). In pages of 2 MiB the faults
all but vanish. Keeping the freed memory (mallopt) is as fast, but doubled the peak memory.
"""

import os
import platform
import sys
from pathlib import Path

HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")
SETTING = "glibc.malloc.hugetlb=1"  # since glibc 2.35; others ignore it


def use_huge_pages() -> None:
    """Start this program again with glibc's setting for huge pages, where that changes anything.

    glibc reads the setting only when a process starts. Where the system gives huge pages to all
    or to none, where the user has settings of glibc's already, and outside of Linux: nothing.
    """
    if "GLIBC_TUNABLES" in os.environ or platform.libc_ver()[0] != "glibc":
        return
    if not HUGE_PAGES.exists() or "[madvise]" not in HUGE_PAGES.read_text():
        return
    os.environ["GLIBC_TUNABLES"] = SETTING
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
