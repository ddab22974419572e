"""Let the C library keep freed memory, for XLA's CPU backend asks for the same memory every step.

glibc gives a large block back to the system as soon as it is freed, and the system clears it page
by page when it is asked for again: 670,000 page faults and a fifth of the time of a training step
of 64 filters and 8 states (tests/bench_training.py). Other systems are left as they are.
"""

import ctypes
import sys

# <malloc.h> of glibc
M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8


def keep_freed_memory() -> bool:
    """Keep freed memory in this process, in one arena; return whether the C library can.

    Call it once, before the first computation: threads that exist keep the arenas they have.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # musl has none
        return False
    settings = ((M_ARENA_MAX, 1), (M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, -1))
    return all([mallopt(name, value) for name, value in settings])
