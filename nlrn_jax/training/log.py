"""Say what a run does: a progress bar or plain lines, its record, and TensorBoard."""

import contextlib
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import TextIO

import numpy as np

from nlrn_jax.terminal import Progress, Work, spelt
from nlrn_jax.training.record import NAME, Record

LINE_SECONDS = 10.0  # between two plain progress lines
PACE_SECONDS = 60.0  # the memory of the smoothed speed


class Log:
    """Record and show a training run; a context manager, opened on construction like a file.

    Figures of a step are to be written before the checkpoint of that step is saved: whoever resumes
    at `first_step` keeps the lines up to and including it. With `first_step` 0 nothing is kept.

    Args:
      workdir: folder of the run, made if absent; gets `metrics.jsonl` and `tensorboard/`.
      first_step: step of the checkpoint resumed from, 0 for a fresh run.
      last_step: step at which training ends.
      stream: where bar and lines go; standard output if None.
      clock: seconds that only grow.

    Raises:
      ValueError: steps out of order.
      UserError: a line of `metrics.jsonl` is not a step's figures.
    """

    def __init__(
        self,
        workdir: str | os.PathLike,
        first_step: int,
        last_step: int,
        *,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        if not 0 <= first_step <= last_step:
            raise ValueError(f"need 0 <= first_step <= last_step, got {first_step}, {last_step}")
        self.folder = folder = Path(workdir)
        folder.mkdir(parents=True, exist_ok=True)
        kept_step = first_step if first_step > 0 else -1
        self._record = Record(folder, kept_step)
        self._tensorboard = TensorBoard(folder / "tensorboard", kept_step + 1)
        self._last_step = last_step
        self._clock = clock
        self._steps = _Steps(first_step, last_step, clock)
        self._progress = Progress(stream=stream, clock=clock, transient=False)
        self._open = contextlib.ExitStack()
        self._unprinted = False
        if self._record.dropped:
            lines = "line" if self._record.dropped == 1 else "lines"
            dropped = f"dropped {self._record.dropped} {lines} written after step {first_step}"
            self.say(f"{folder / NAME}: {dropped}")

    def __enter__(self) -> "Log":
        self._open.enter_context(self._progress)
        if self._steps.left:
            self._open.enter_context(self._progress.showing(self._steps))
        return self

    def __exit__(self, kind: type | None = None, *_) -> None:
        if self._unprinted:
            self._progress.speak()
        self._open.close()
        self._record.close()
        # after an error its own words matter, not that the rest could not be written either
        with contextlib.suppress(OSError) if kind else contextlib.nullcontext():
            self._tensorboard.close()

    def write(self, step: int, figures: Mapping[str, float]) -> None:
        """Append the figures of a step to `metrics.jsonl` and TensorBoard.

        JSON has no NaN or infinity: they become null in the file, and stay as they are in
        TensorBoard. Raises ValueError if a figure is called `step`, OSError if the disk is full.
        """
        if "step" in figures:
            raise ValueError("a figure cannot be called 'step': that is the line's own field")
        values = {name: float(value) for name, value in figures.items()}
        self._record.append(int(step), values)
        self._tensorboard.figures(int(step), values)

    def image(self, step: int, name: str, picture: np.ndarray) -> None:
        """Show a uint8 picture [H, W] or [H, W, 3] in TensorBoard; ValueError if it is neither."""
        grey, colour = picture.ndim == 2, picture.ndim == 3 and picture.shape[2] == 3
        if picture.dtype != np.uint8 or not (grey or colour):
            raise ValueError(
                f"{name}: need uint8 [H, W] or [H, W, 3], got {picture.dtype} {picture.shape}"
            )
        self._tensorboard.picture(int(step), name, picture)

    def progress(self, step: int, loss: float, note: str = "") -> None:
        """Show where training is: a bar on a terminal, else a line every ten seconds.

        The first and the last call always get their line.
        """
        self._steps.update(step, float(loss), note)
        recent = self._clock() - self._steps.told < LINE_SECONDS
        self._unprinted = step < self._last_step and recent
        if not self._unprinted:
            self._progress.speak()

    @contextlib.contextmanager
    def work(self, name: str) -> Iterator[Work]:
        """Show work other than steps that goes on within the `with`, such as compiling."""
        with self._progress.work(name) as work:
            yield work
        self._steps.go_on()

    def say(self, text: str) -> None:
        """Print one line, above the bar if there is one."""
        self._progress.say(text)


class Silent:
    """The log of a process that is not the first: shows and writes nothing."""

    folder = None

    def __enter__(self) -> "Silent":
        return self

    def __exit__(self, *_) -> None:
        pass

    def write(self, step: int, figures: Mapping[str, float]) -> None:
        """Drop the figures: every process has the same."""

    def image(self, step: int, name: str, picture: np.ndarray) -> None:
        """Drop a picture."""

    def progress(self, step: int, loss: float, note: str = "") -> None:
        """Show nothing."""

    @contextlib.contextmanager
    def work(self, name: str) -> Iterator[Work]:
        """Show no work."""
        yield Work(name)

    def say(self, text: str) -> None:
        """Say nothing."""


class TensorBoard:
    """A file of TensorBoard's events, written as they come.

    tensorboardX's own SummaryWriter writes in a thread, which ends unseen when the disk is full.

    Args:
      folder: made if absent.
      purge: TensorBoard forgets what earlier files of the folder say of this step and later ones.
    """

    def __init__(self, folder: Path, purge: int):
        from tensorboardX import event_file_writer, summary  # slow, and only runs need it
        from tensorboardX.proto.event_pb2 import Event, SessionLog

        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._event, self._summary = folder, Event, summary
        # by the second alone a file written just before would be overwritten
        suffix = f".{time.time_ns()}"
        self._file = event_file_writer.EventsWriter(str(folder / "events"), suffix)
        start = SessionLog(status=SessionLog.START)
        self._file.write_event(Event(step=purge, wall_time=time.time(), session_log=start))
        self._flush()

    def figures(self, step: int, values: Mapping[str, float]) -> None:
        """Write figures; raises OSError if the disk is full."""
        for name, value in values.items():
            self._write(step, self._summary.scalar(name, value))
        self._flush()

    def picture(self, step: int, name: str, pixels: np.ndarray) -> None:
        """Write a uint8 picture [H, W] or [H, W, 3]."""
        layout = "HW" if pixels.ndim == 2 else "HWC"
        self._write(step, self._summary.image(name, pixels, dataformats=layout))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, step: int, summary: object) -> None:
        event = self._event(step=step, wall_time=time.time(), summary=summary)
        self._file.write_event(event)

    def _flush(self) -> None:
        try:
            self._file.flush()
        except OSError as error:
            folder = self._folder
            raise OSError(f"{folder}: cannot be written to any more; is it full?") from error


class _Pace:
    """Steps a second, the past forgotten exponentially; None until two steps have been seen."""

    def __init__(self, clock: Callable[[], float]):
        self._clock = clock
        self._seen: tuple[int, float] | None = None
        self._steps = self._seconds = 0.0

    def update(self, step: int) -> float | None:
        now = self._clock()
        # The first call only starts the count: before it lies compilation
        last_step, last_time = self._seen or (step, now)
        elapsed = now - last_time
        memory = math.exp(-elapsed / PACE_SECONDS)
        self._steps = memory * self._steps + step - last_step
        self._seconds = memory * self._seconds + elapsed
        self._seen = step, now
        return self._steps / self._seconds if self._steps > 0 and self._seconds > 0 else None


class _Steps:
    """The steps of a run, of the form `terminal.Shown`."""

    def __init__(self, first: int, last: int, clock: Callable[[], float]):
        self._step, self._last, self._clock = first, last, clock
        self._pace, self._speed = _Pace(clock), None
        self.told = -math.inf  # when a line was last asked for
        self._said: list[str] = []  # of the last step done: its loss first, its note at the end
        self._since = clock()

    @property
    def name(self) -> str:
        return f"step {self._step}/{self._last}"

    @property
    def done(self) -> float:
        return self._step / self._last

    @property
    def left(self) -> int:
        return self._last - self._step

    def update(self, step: int, loss: float, note: str) -> None:
        self._step, self._speed, self._since = step, self._pace.update(step), self._clock()
        self._said = [f"loss {loss:.4g}", *self._forecast(), *[note] * bool(note)]

    def go_on(self) -> None:
        """Let the next step begin now."""
        self._since = self._clock()

    def status(self) -> str:
        age = self._clock() - self._since
        running = f"step {self._step + 1} since {spelt(age)}"
        return "  ".join(self._said + [running] * (age >= LINE_SECONDS and self.left > 0))

    def line(self) -> str:
        self.told = self._clock()
        digits = len(str(self._last))
        return f"step {self._step:>{digits}}/{self._last}  {self.status()}".rstrip()

    def _forecast(self) -> list[str]:
        if self._speed is None:
            return []
        digits = 2 if self._speed >= 1 else 4
        left = timedelta(seconds=round(self.left / self._speed))
        return [f"{self._speed:.{digits}f} steps/s", f"left {left}"]
