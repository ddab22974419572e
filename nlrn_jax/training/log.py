"""Say what a run does: a progress bar or plain lines, JSON lines, TensorBoard, tables.

`metrics.jsonl` is the record: one JSON object a line, `step` first, then named figures. A run that
was killed and resumed leaves the same file as one that was not. TensorBoard shows the same figures.
"""

import json
import math
import operator
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TextIO

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

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
      ValueError: steps out of order, or a line of `metrics.jsonl` that is not a step's figures.
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
        from tensorboardX import SummaryWriter  # not above: importing this module stays cheap

        if not 0 <= first_step <= last_step:
            raise ValueError(f"need 0 <= first_step <= last_step, got {first_step}, {last_step}")
        self.folder = folder = Path(workdir)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "metrics.jsonl"
        kept_step = first_step if first_step > 0 else -1
        dropped = _drop_lines_after(path, kept_step)

        self._last_step = last_step
        self._clock = clock
        self._pace = _Pace(clock)
        self._stream = stream or sys.stdout
        self._console = Console(file=self._stream)
        self._bar = _progress_bar(self._console) if _is_live(self._console) else None
        self._task = None
        self._printed_at = -math.inf
        self._unprinted = ""
        self._metrics = path.open("a", encoding="utf-8")
        self._tensorboard = SummaryWriter(
            str(folder / "tensorboard"),
            purge_step=kept_step + 1,
            flush_secs=10,
            max_queue=0,  # no limit: its thread may have ended, and a full queue would wait for it
            # tensorboardX names files by the second, and would overwrite one just written
            filename_suffix=f".{time.time_ns()}",
        )
        if dropped:
            self.say(f"{path}: dropped {dropped} lines written after step {first_step}")

    def __enter__(self) -> "Log":
        return self

    def __exit__(self, *_) -> None:
        if self._unprinted:
            self.say(self._unprinted)
        if self._task is not None:
            self._bar.stop()
        self._metrics.close()
        if _is_written(self._tensorboard):
            self._tensorboard.close()

    def write(self, step: int, figures: Mapping[str, float]) -> None:
        """Append the figures of a step to `metrics.jsonl` and TensorBoard.

        JSON has no NaN or infinity: they become null in the file, and stay as they are in
        TensorBoard. Raises ValueError if a figure is called `step`, OSError if the disk is full.
        """
        if "step" in figures:
            raise ValueError("a figure cannot be called 'step': that is the line's own field")
        values = {name: float(value) for name, value in figures.items()}
        finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
        self._metrics.write(json.dumps({"step": int(step)} | finite, allow_nan=False) + "\n")
        self._metrics.flush()  # a killed run loses nothing
        if not _is_written(self._tensorboard):
            raise OSError(f"{self._tensorboard.logdir}: cannot be written to any more; is it full?")
        for name, value in values.items():
            self._tensorboard.add_scalar(name, value, int(step))

    def image(self, step: int, name: str, picture: np.ndarray) -> None:
        """Show a uint8 picture [H, W] or [H, W, 3] in TensorBoard; ValueError if it is neither."""
        grey, colour = picture.ndim == 2, picture.ndim == 3 and picture.shape[2] == 3
        if picture.dtype != np.uint8 or not (grey or colour):
            raise ValueError(
                f"{name}: need uint8 [H, W] or [H, W, 3], got {picture.dtype} {picture.shape}"
            )
        layout = "HW" if grey else "HWC"
        self._tensorboard.add_image(name, np.asarray(picture), int(step), dataformats=layout)

    def progress(self, step: int, loss: float, note: str = "") -> None:
        """Show where training is: a bar on a terminal, else a line every ten seconds.

        The first and the last call always get their line.
        """
        status = _status(float(loss), self._pace.update(step), self._last_step - step, note)
        if self._bar is not None:
            self._draw(step, status)
            return
        digits = len(str(self._last_step))
        self._unprinted = f"step {step:>{digits}}/{self._last_step}  {status}"
        if step >= self._last_step or self._clock() - self._printed_at >= LINE_SECONDS:
            self.say(self._unprinted)
            self._printed_at = self._clock()
            self._unprinted = ""

    def say(self, text: str) -> None:
        """Print one line, above the bar if there is one."""
        if self._bar is not None:
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            print(text, file=self._stream, flush=True)

    def _draw(self, step: int, status: str) -> None:
        if self._task is None:
            self._task = self._bar.add_task("", total=self._last_step, status=status)
            self._bar.start()
        self._bar.update(self._task, completed=step, status=status)


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

    def say(self, text: str) -> None:
        """Say nothing."""


def read_figures(workdir: str | os.PathLike) -> list[dict]:
    """Read the lines of a run's `metrics.jsonl` in their order, {'step': ..., figures} each.

    A last line that is still being written is left out.

    Raises:
      OSError: there is no such file.
      ValueError: a line is not a step's figures.
    """
    path = Path(workdir) / "metrics.jsonl"
    return [figures for _, figures in _whole_lines(path, path.read_bytes().splitlines(True))]


def series(lines: Sequence[Mapping], name: str) -> tuple[list[int], list[float]]:
    """Return steps and values of a figure, from the lines that hold a finite one."""
    held = [line for line in lines if line.get(name) is not None]
    return [line["step"] for line in held], [line[name] for line in held]


def table(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    stream: TextIO | None = None,
) -> None:
    """Print a table: drawn on a terminal, aligned plain text elsewhere.

    The first column is flush left, the others flush right. Cells are shown by `str`, so round
    figures first. Raises ValueError if a row has not one cell for each column.
    """
    cells = [[str(cell) for cell in row] for row in rows]
    for row in cells:
        if len(row) != len(columns):
            raise ValueError(f"table {title!r}: {len(columns)} columns, but the row {row}")
    console = Console(file=stream or sys.stdout)
    if not _is_live(console):
        print(_plain_table(title, columns, cells), file=console.file, flush=True)
        return
    drawn = Table(title=Text(title), title_justify="left")
    for index, column in enumerate(columns):
        drawn.add_column(Text(column), justify="right" if index else "left")
    for row in cells:
        drawn.add_row(*map(Text, row))
    console.print(drawn)


def _plain_table(title: str, columns: Sequence[str], cells: list[list[str]]) -> str:
    lines = [list(columns), *cells]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    aligned = (
        [line[0].ljust(widths[0])]
        + [cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)]
        for line in lines
    )
    return "\n".join([title, *("  ".join(line).rstrip() for line in aligned)])


def _drop_lines_after(path: Path, step: int) -> int:
    """Rewrite JSON lines without the steps after `step`; return how many lines went.

    A last line that a kill cut short goes too. What stays, stays byte for byte.
    """
    if not path.exists():
        return 0
    lines = path.read_bytes().splitlines(keepends=True)
    kept = [
        line.rstrip(b"\n") + b"\n"
        for line, figures in _whole_lines(path, lines)
        if figures["step"] <= step
    ]
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_bytes(b"".join(kept))
    temporary.replace(path)
    return len(lines) - len(kept)


def _whole_lines(path: Path, lines: list[bytes]) -> list[tuple[bytes, dict]]:
    """Pair lines with what they hold; a last one that a kill cut short is left out."""
    whole = []
    for number, line in enumerate(lines, 1):
        try:
            figures = json.loads(line)
            operator.index(figures["step"])
            whole.append((line, figures))
        except (ValueError, KeyError, TypeError) as error:
            if line.endswith(b"\n"):  # whole, so no kill cut it
                raise ValueError(
                    f"{path}, line {number}: not a JSON object with a number 'step'; "
                    "mend or delete the line"
                ) from error
    return whole


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


def _status(loss: float, steps_a_second: float | None, steps_left: int, note: str) -> str:
    parts = [f"loss {loss:.4g}"]
    if steps_a_second is not None:
        digits = 2 if steps_a_second >= 1 else 4
        left = timedelta(seconds=round(steps_left / steps_a_second))
        parts += [f"{steps_a_second:.{digits}f} steps/s", f"left {left}"]
    return "  ".join(parts + [note] * bool(note))


def _progress_bar(console: Console) -> Progress:
    return Progress(
        TextColumn("step {task.completed}/{task.total}"),
        BarColumn(bar_width=20),
        TextColumn("{task.fields[status]}", markup=False),
        console=console,
        refresh_per_second=4,
    )


def _is_written(writer) -> bool:
    """Return whether TensorBoard's thread is at work: after an error it ends, and closing waits."""
    return writer.file_writer.event_writer._worker.is_alive()


def _is_live(console: Console) -> bool:
    # Not console.is_terminal: FORCE_COLOR, which build servers set, makes that true for a file
    return console.file.isatty() and not console.is_dumb_terminal
