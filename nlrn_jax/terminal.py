"""What a terminal shows: how far long work is, and tables; elsewhere the same as plain lines."""

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TextIO

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

SILENCE_SECONDS = 10.0  # at most, while there is work
REDRAWN_SECONDS = 0.25  # between two looks at the time, where there is a bar


class Shown(Protocol):
    """What a bar or a line is about: its `name`, and the fraction `done` of it."""

    name: str
    done: float

    def status(self) -> str:
        """Say the rest of the bar."""

    def line(self) -> str:
        """Say all in one line."""


class Work:
    """Long work.

    Attributes:
      name: what is done, such as 'restoring photo.jpg'.
      done: the fraction of it; 0 as long as that is not known, as while a program is compiled.
    """

    def __init__(self, name: str, clock: Callable[[], float] = time.monotonic):
        self.name, self.done = name, 0.0
        self._clock, self._begin = clock, clock()
        self._first = self._last = None  # advances: time and fraction done

    def advance(self, fraction: float) -> None:
        """Say that so much more is done."""
        self.done = min(1.0, self.done + fraction)
        self._last = self._clock(), self.done
        if self.done:
            self._first = self._first or self._last

    def status(self) -> str:
        """Say for how long it goes on, or how much is done and how long the rest will take."""
        if not self.done:
            return spelt(self._clock() - self._begin)
        left = self._seconds_left()
        return _percent(self.done) + (f", {spelt(left)} left" if left is not None else "")

    def line(self) -> str:
        """Say all in one line."""
        return f"{self.name}{':' if self.done else ' ...'} {self.status()}"

    def _seconds_left(self) -> float | None:
        """Return what the pace since the first advance promises: before that lies compilation."""
        (begin, before), (end, done) = self._first, self._last
        if done <= before or done >= 1:
            return None
        whole = (1 - done) * (end - begin) / (done - before)
        return max(0.0, whole - (self._clock() - end))


class Progress:
    """Says how far work is: a bar on a terminal, elsewhere a line whenever it was silent for long.

    A context manager. A thread keeps the time, so it speaks while a program is compiled too. Of
    work that ends within `SILENCE_SECONDS` there is no line.

    Args:
      stream: where bar and lines go; standard output if None.
      clock: seconds that only grow.
      transient: the bar vanishes in the end.
    """

    def __init__(
        self,
        *,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
        transient: bool = True,
    ):
        self._stream, self._clock = stream or sys.stdout, clock
        self._console = Console(file=self._stream)
        self._bar = _bar(self._console, transient) if is_live(self._console) else None
        self._works: list[Shown] = []  # the last is what goes on now, within those before it
        self._heard = clock()
        self._lock = threading.RLock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep_time, daemon=True)

    def __enter__(self) -> "Progress":
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._ended.set()
        try:
            self._thread.join()
        finally:  # Ctrl-C here too leaves the terminal as it was
            if self._bar is not None:
                self._bar.stop()

    @contextlib.contextmanager
    def work(self, name: str) -> Iterator[Work]:
        """Show work that goes on within the `with`."""
        with self.showing(Work(name, self._clock)) as work:
            yield work

    @contextlib.contextmanager
    def showing(self, work: Shown) -> Iterator[Shown]:
        """Show work of another form."""
        self._works.append(work)
        try:
            self.redraw()
            yield work
        finally:
            self._works.remove(work)
            self.redraw()

    def say(self, text: str) -> None:
        """Print one line, above the bar if there is one."""
        with self._lock:
            self._heard = self._clock()
            if self._bar is not None:
                self._console.print(text, markup=False, highlight=False, soft_wrap=True)
            else:
                print(text, file=self._stream, flush=True)

    def speak(self) -> None:
        """Say now how far the work is."""
        if self._bar is not None:
            self.redraw()
        elif self._works:
            self.say(self._works[-1].line())

    def beat(self) -> None:
        """Say how far the work is, if all was silent for long."""
        with self._lock:
            if self._bar is not None:
                self.redraw()
            elif self._clock() - self._heard >= SILENCE_SECONDS:
                self._heard = self._clock()
                self.speak()

    def redraw(self) -> None:
        """Draw the bar of what goes on now, if this is a terminal."""
        with self._lock:
            if self._bar is None or not self._works:
                return
            work = self._works[-1]
            (task,) = self._bar.task_ids or [self._bar.add_task("", total=1.0)]
            self._bar.update(
                task, description=work.name, completed=work.done, status=work.status(), refresh=True
            )
            self._bar.start()

    def _keep_time(self) -> None:
        while not self._ended.wait(self._pause()):
            with contextlib.suppress(OSError, ValueError):  # who writes next is told
                self.beat()

    def _pause(self) -> float:
        if self._bar is not None:
            return REDRAWN_SECONDS
        return max(0.0, self._heard + SILENCE_SECONDS - self._clock())


@contextlib.contextmanager
def working(name: str) -> Iterator[Work]:
    """Show one piece of work that goes on within the `with`."""
    with Progress() as progress, progress.work(name) as work:
        yield work


def spelt(seconds: float) -> str:
    """Spell a time out in two figures or so: '40 s', '9 min', '2 h 5 min', '3 d 4 h'."""
    minutes = round(seconds / 60)
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    if minutes < 100:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    hours = round(minutes / 60)
    return f"{hours // 24} d {hours % 24} h"


def print_table(
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
    if not is_live(console):
        print(_plain(title, columns, cells), file=console.file, flush=True)
        return
    drawn = Table(title=Text(title), title_justify="left")
    for index, column in enumerate(columns):
        drawn.add_column(Text(column), justify="right" if index else "left")
    for row in cells:
        drawn.add_row(*map(Text, row))
    console.print(drawn)


def is_live(console: Console) -> bool:
    """Return whether somebody looks at a terminal that can draw."""
    # Not console.is_terminal: FORCE_COLOR, which build servers set, makes that true for a file
    return console.file.isatty() and not console.is_dumb_terminal


def _bar(console: Console, transient: bool) -> Bar:
    return Bar(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        TextColumn("{task.fields[status]}", markup=False),
        console=console,
        auto_refresh=False,  # the thread of `Progress` sees to that
        transient=transient,
    )


def _percent(fraction: float) -> str:
    percent = 100 * fraction
    return f"{percent:.0f}%" if percent >= 9.95 else f"{percent:.2g}%"


def _plain(title: str, columns: Sequence[str], cells: list[list[str]]) -> str:
    lines = [list(columns), *cells]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    aligned = (
        [line[0].ljust(widths[0])]
        + [cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)]
        for line in lines
    )
    return "\n".join([title, *("  ".join(line).rstrip() for line in aligned)])
