"""End when told to, by SIGTERM or by SIGINT (Ctrl-C): at once, or between two training steps.

At once is by `os._exit`. An exception would be lost where Python ignores exceptions (in JAX's own
callbacks, say), would wait for the compiler, and the interpreter's orderly end crashes while
threads of XLA's compile. What is left behind is what `kill -9` leaves, but for temporary files.

In the training loop one process looks at what has reached it. Several must stop at the same step,
though the signal reaches only some of them, or at different moments: JAX's preemption service
agrees on the step.
"""

import atexit
import contextlib
import os
import signal
import threading
import time

from nlrn_jax import writing  # and nothing slow: this is there before the rest is imported

STATUSES = {
    signal.SIGTERM: 75,  # EX_TEMPFAIL of sysexits.h: run it again
    signal.SIGINT: 130,  # 128 + 2, by which shells know that the user wanted it
}
GRACE_SECONDS = 0.5  # the main thread has these to end the process, before another thread does


class Interrupted(Exception):  # noqa: N818
    """A run stopped because it was told to, after saving `step`; `status` is to be exited with."""

    def __init__(self, step: int, status: int):
        super().__init__(f"saved step {step}; the same command goes on from there")
        self.step, self.status = step, status


class _Ending:
    """The handler that ends the process at once; `words` are what it says."""

    def __init__(self):
        self.words = "interrupted; nothing was to be saved yet, the same command starts again"

    def __call__(self, kind: int, _=None) -> None:
        _say(self.words)
        writing.discard()
        os._exit(STATUSES[kind])


_ENDING = _Ending()  # one for the process, as its signals are


def hold() -> None:
    """Let signals wait until `listen`, also in the program that takes this one's place."""
    signal.pthread_sigmask(signal.SIG_BLOCK, STATUSES)


def listen() -> None:
    """End this process by one signal, from here on and at whatever moment it comes.

    Python calls handlers in the main thread, and not before what that does in C is done, such as
    compiling for a minute. A thread therefore reads the signals too.
    """
    arriving, noting = os.pipe()
    os.set_blocking(noting, False)
    signal.set_wakeup_fd(noting, warn_on_full_buffer=False)
    for kind in STATUSES:
        signal.signal(kind, _ENDING)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STATUSES)
    threading.Thread(target=_watch, args=(arriving,), daemon=True).start()
    atexit.register(_ignore)  # the first to be registered is the last to be called


def tell(words: str) -> None:
    """Say what is true from here on should a signal end the process at once."""
    _ENDING.words = words


class Interruption:
    """Take note of SIGTERM and SIGINT; a context manager, after which they end the process again.

    The second Ctrl-C ends it at once.
    """

    def __init__(self):
        self._told: signal.Signals | None = None
        self._before: dict = {}

    def __enter__(self) -> "Interruption":
        if threading.current_thread() is threading.main_thread():  # Python's rule for handlers
            self._before = {kind: signal.getsignal(kind) for kind in STATUSES}
        for kind in self._before:
            # With several processes SIGTERM belongs to the preemption service since they joined.
            if kind == signal.SIGINT or not _several():
                signal.signal(kind, self._note)
        return self

    def __exit__(self, *_) -> None:
        for kind, handler in self._before.items():
            signal.signal(kind, signal.SIG_DFL if handler is None else handler)

    def stops(self, step: int) -> bool:
        """Return whether to stop after this step; every process asks once, after every step."""
        if _several():
            from jax.experimental import multihost_utils

            return multihost_utils.reached_preemption_sync_point(step)
        return self._told is not None

    @property
    def told(self) -> bool:
        """Say whether a signal has reached this process, and no other has to agree."""
        return self._told is not None and not _several()

    @property
    def status(self) -> int:
        """Return the exit status; that of SIGTERM where another process was told to stop."""
        return STATUSES[self._told or signal.SIGTERM]

    def _note(self, kind: int, _) -> None:
        if self._told is not None:  # SIGTERM again: it is being obeyed
            return
        self._told = signal.Signals(kind)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        _say(f"{self._told.name}: saves after this step; Ctrl-C ends at once, without saving")
        if _several():
            os.kill(os.getpid(), signal.SIGTERM)


def _watch(arriving: int) -> None:
    while kinds := os.read(arriving, 1):
        if signal.getsignal(kinds[0]) is _ENDING:
            time.sleep(GRACE_SECONDS)
            _ENDING(kinds[0])


def _ignore() -> None:
    """Let the interpreter end in peace: all is done, and a moment later no handler is left."""
    for kind in STATUSES:
        signal.signal(kind, signal.SIG_IGN)


def _say(text: str) -> None:
    """Write a line to standard error; not by print(), which the signal may have interrupted."""
    with contextlib.suppress(OSError):  # nobody reads it any more
        if os.isatty(1):
            os.write(1, b"\r\x1b[K\x1b[?25h")  # no half bar, and the cursor that it hides
        os.write(2, f"{text}\n".encode(errors="backslashreplace"))


def _several() -> bool:
    import jax

    return jax.process_count() > 1
