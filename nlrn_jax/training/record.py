"""The record of a run, `metrics.jsonl`: one JSON object a line, `step` first, then named figures.

A run that was killed and resumed leaves the same file as one that was not.
"""

import json
import math
import operator
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from nlrn_jax import writing
from nlrn_jax.errors import UserError

NAME = "metrics.jsonl"


class Record:
    """The record of a workdir, open for new lines.

    Args:
      workdir: folder of the run.
      last: step up to which lines are kept, that of the checkpoint resumed from; -1: none are.

    Attributes:
      dropped: how many lines were written after it, and are gone.

    Raises:
      UserError: a line is not a step's figures.
    """

    def __init__(self, workdir: str | os.PathLike, last: int):
        path = Path(workdir) / NAME
        self.dropped = _drop_lines_after(path, last)
        self._file = path.open("a", encoding="utf-8")

    def append(self, step: int, figures: Mapping[str, float]) -> None:
        """Append the figures of a step; NaN and infinity, which JSON lacks, become null."""
        finite = {name: value if math.isfinite(value) else None for name, value in figures.items()}
        self._file.write(json.dumps({"step": step} | finite, allow_nan=False) + "\n")
        self._file.flush()  # a killed run loses nothing

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_record(workdir: str | os.PathLike) -> list[dict]:
    """Read the lines of a run's record in their order, {'step': ..., figures} each.

    A last line that is still being written is left out; without a record there are none.

    Raises:
      UserError: a line is not a step's figures.
    """
    path = Path(workdir) / NAME
    if not path.is_file():
        return []
    return [figures for _, figures in _whole_lines(path, path.read_bytes().splitlines(True))]


def series(lines: Sequence[Mapping], name: str) -> tuple[list[int], list[float]]:
    """Return steps and values of a figure, from the lines that hold a finite one."""
    held = [line for line in lines if line.get(name) is not None]
    return [line["step"] for line in held], [line[name] for line in held]


def gains(lines: Sequence[Mapping], of: str = "") -> tuple[list[int], list[float]]:
    """Return steps and gains of the network over its input, dB, from the lines that tell both.

    Args:
      lines: of the record.
      of: '' for the batches trained on, 'validation_' for the validation.
    """
    names = f"{of}psnr", f"{of}baseline"
    held = [line for line in lines if all(line.get(name) is not None for name in names)]
    return [line["step"] for line in held], [line[names[0]] - line[names[1]] for line in held]


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
    with writing.replaced(path) as temporary:
        temporary.write_bytes(b"".join(kept))
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
                raise UserError(
                    f"{path}, line {number}: not a JSON object with a number 'step'; "
                    "mend or delete the line"
                ) from error
    return whole
