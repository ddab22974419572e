"""How long a large picture will take, said as soon as the first part of it is done."""

import contextlib
import time
from collections.abc import Callable, Iterator

import jax
import numpy as np

from nlrn_jax.restoring.restore import Advance
from nlrn_jax.restoring.way import Restorer
from nlrn_jax.terminal import spelt

LONG_SECONDS = 20.0  # less is waited for without a word


def forecasting(
    restore: Restorer,
    name: str,
    say: Callable[[str], None],
    clock: Callable[[], float] = time.monotonic,
) -> Restorer:
    """Return what restores as before, and says after the first part how long the whole will take.

    Args:
      restore: advances by the fraction that each of its parts is, and by 0 before the first.
      name: of the picture.
      say: gets the line; nothing where the picture takes less than `LONG_SECONDS`.
      clock: seconds that only grow.
    """

    def told(pixels: np.ndarray, advance: Advance | None = None) -> np.ndarray:
        begin, done = clock(), 0.0

        def restart() -> None:  # of what lies before, the other parts have nothing
            nonlocal begin
            begin = clock()

        def first(fraction: float) -> None:
            nonlocal done
            if not fraction:
                restart()
            elif not done and fraction < 1:
                _tell(name, pixels, fraction, clock() - begin, say)
            done += fraction
            if advance:
                advance(fraction)

        with when_compiled(restart):
            return restore(pixels, first)

    return told


def _tell(
    name: str, pixels: np.ndarray, fraction: float, seconds: float, say: Callable[[str], None]
) -> None:
    whole = seconds / fraction
    if whole > LONG_SECONDS:
        height, width = pixels.shape[:2]
        parts = round(1 / fraction)
        say(f"{name}: {width} x {height} pixels in {parts} parts, about {spelt(whole)}")


@contextlib.contextmanager
def when_compiled(call: Callable[[], None]) -> Iterator[None]:
    """Call a function whenever JAX has compiled a program within the `with`."""

    def listen(event: str, *_: object, **__: object) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            call()

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
