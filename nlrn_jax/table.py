"""A table in the terminal: drawn where somebody looks, aligned plain text elsewhere."""

import sys
from collections.abc import Sequence
from typing import TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text


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


def _plain(title: str, columns: Sequence[str], cells: list[list[str]]) -> str:
    lines = [list(columns), *cells]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    aligned = (
        [line[0].ljust(widths[0])]
        + [cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)]
        for line in lines
    )
    return "\n".join([title, *("  ".join(line).rstrip() for line in aligned)])
