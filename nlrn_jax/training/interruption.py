"""Stop a training run between two steps when it is told to: by SIGTERM, or by SIGINT (Ctrl-C).

One process looks at what has reached it. Several must stop at the same step, though the signal
reaches only some of them, or at different moments: JAX's preemption service agrees on the step.
"""

import os
import signal
import threading

import jax
from jax.experimental import multihost_utils

STATUSES = {
    signal.SIGTERM: 75,  # EX_TEMPFAIL of sysexits.h: all is saved, run it again
    signal.SIGINT: 130,  # 128 + 2, by which shells know that the user wanted it
}


class Interrupted(Exception):  # noqa: N818
    """A run stopped because it was told to, after saving `step`; `status` is to be exited with."""

    def __init__(self, step: int, status: int):
        super().__init__(f"saved step {step}; the same command goes on from there")
        self.step, self.status = step, status


class Interruption:
    """Take note of SIGTERM and SIGINT; a context manager, after which they end the process again.

    The second Ctrl-C ends it at once.
    """

    def __init__(self):
        self._told: signal.Signals | None = None
        self._before: dict = {}

    def __enter__(self) -> "Interruption":
        # With several processes SIGTERM belongs to the preemption service since they joined.
        kinds = [signal.SIGINT] if jax.process_count() > 1 else list(STATUSES)
        if threading.current_thread() is not threading.main_thread():
            kinds = []  # Python hands signals to the main thread only
        for kind in kinds:
            self._before[kind] = signal.signal(kind, self._note)
        return self

    def __exit__(self, *_) -> None:
        for kind, handler in self._before.items():
            signal.signal(kind, handler)
        if jax.process_count() > 1:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def stops(self, step: int) -> bool:
        """Return whether to stop after this step; every process asks after every step."""
        if jax.process_count() > 1:
            return multihost_utils.reached_preemption_sync_point(step)
        return self._told is not None

    @property
    def status(self) -> int:
        """Return the exit status; that of SIGTERM where another process was told to stop."""
        return STATUSES[self._told or signal.SIGTERM]

    def _note(self, kind: int, _) -> None:
        self._told = signal.Signals(kind)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        # Not print(): the signal may have come in the middle of one.
        text = f"\n{self._told.name}: saves after this step; Ctrl-C ends at once, without saving\n"
        os.write(2, text.encode())
        if jax.process_count() > 1:
            os.kill(os.getpid(), signal.SIGTERM)
