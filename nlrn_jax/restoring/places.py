"""Where tiles are computed side by side: each accelerator is a place, and each core of a CPU.

XLA's CPU backend uses several cores for one tile, but little of each: two tiles at a time on two
cores take 0.7 of the time of one after the other (tests/bench/README.md). Which pixels come out
does not depend on the places: the tiles are chosen before.
"""

import concurrent.futures
import os
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import jax

Part = TypeVar("Part")
Result = TypeVar("Result")


def places() -> list[jax.Device]:
    """Return the device of each place of this process."""
    devices = jax.local_devices()
    if len(devices) > 1 or devices[0].platform != "cpu":
        return devices
    return devices * _cores()


def side_by_side(
    function: Callable[[Part, jax.Device], Result], parts: Sequence[Part], at: Sequence[jax.Device]
) -> Iterator[tuple[Part, Result]]:
    """Apply a function to parts and places, as many at a time as there are places in `at`.

    Yields each part with its result as soon as it is there. Where the caller stops, by an error or
    by Ctrl-C, parts that have not begun are left.
    """
    with concurrent.futures.ThreadPoolExecutor(len(at)) as pool:
        futures = {
            pool.submit(function, part, at[index % len(at)]): part
            for index, part in enumerate(parts)
        }
        try:
            for future in concurrent.futures.as_completed(futures):
                yield futures[future], future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
