"""Pictures in folders: each found once, through links too, and what is passed over counted."""

import os
from collections import Counter, deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from nlrn_jax.errors import UserError
from nlrn_jax.pictures.formats import EXTENSIONS, USUAL

_RUN, _RESULT, _OUTPUT = "(of runs)", "(earlier results)", "(in the output folder)"

Identity = tuple[int, int]  # of a folder, by whatever name


class Found(NamedTuple):
    """The pictures of a folder, sorted, and how many files of which kind are passed over."""

    paths: list[Path]
    passed: Counter[str]


class _Folder(NamedTuple):
    path: Path
    apart: str  # why its pictures are passed over; '' where they are taken


def find_pictures(folder: str | Path) -> list[Path]:
    """List the pictures in a folder and below it, as `search` does."""
    return search(folder).paths


def search(
    folder: str | Path,
    without: Path | None = None,
    is_result: Callable[[Path], bool] = lambda path: False,
) -> Found:
    """Find the pictures in a folder and below it; what is hidden is skipped.

    Linked folders are entered, each folder once and by its own name where it has one here. The
    pictures of training runs (folders with `config.json` and `checkpoints`) are passed over.

    Args:
      folder: where to look.
      without: a folder that may lie in it, and is passed over.
      is_result: tells files and folders that an earlier run wrote, and that are passed over.

    Raises:
      UserError: the folder is missing, is no folder, or has no picture in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        reason = "is not a folder; name the one around it" if folder.exists() else "no such folder"
        raise UserError(f"{folder}: {reason}; a folder of pictures is needed")
    paths, passed = [], Counter()
    output = _identity(without) if without and without.is_dir() else None
    for here in _folders(folder, output, is_result, passed):
        for path in _files(here.path):
            reason = _reason(path, is_result)
            if not (reason or here.apart):
                paths.append(path)
            elif not here.apart:
                passed[reason] += 1
            elif path.suffix.lower() in EXTENSIONS:
                passed[here.apart] += 1
    if not paths:
        there = f" ({said(passed)})" if passed else ""
        raise UserError(f"{folder}: no picture in it{there}; put {' '.join(USUAL)} files there")
    return Found(sorted(paths), passed)


def said(passed: Counter[str]) -> str:
    """Say what was passed over, as 'passed over: 3 .heic, 1 .txt'."""
    counts = sorted(passed.items(), key=lambda item: (-item[1], item[0]))
    return "passed over: " + ", ".join(f"{count} {kind}" for kind, count in counts)


def _folders(
    top: Path, output: Identity | None, is_result: Callable[[Path], bool], passed: Counter[str]
) -> Iterator[_Folder]:
    """Yield each folder once, own ones before linked ones."""
    waiting, seen = deque([_Folder(top, "")]), _around(top)
    while waiting:
        here = waiting.popleft()
        if _identity(here.path) in seen:
            continue
        if _identity(here.path) == output and here.path != top:
            here = _Folder(here.path, _OUTPUT)
        seen.add(_identity(here.path))
        yield here
        for path in _entries(here.path, passed):
            if path.is_dir():
                apart = here.apart or (_RESULT if is_result(path) else _RUN * _is_run(path))
                next_one = waiting.append if path.is_symlink() else waiting.appendleft
                next_one(_Folder(path, apart))


def _files(folder: Path) -> list[Path]:
    return [path for path in _entries(folder, Counter()) if not path.is_dir()]


def _entries(folder: Path, passed: Counter[str]) -> list[Path]:
    """List what is not hidden in a folder, sorted."""
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError:
        passed["(unreadable folder)"] += 1
        return []


def _reason(path: Path, is_result: Callable[[Path], bool]) -> str:
    """Say why a file is passed over; '' where it is a picture to take."""
    if path.suffix.lower() not in EXTENSIONS:
        return path.suffix.lower() or "(no ending)"
    if not path.is_file():
        return "(broken link)" if path.is_symlink() else "(no file)"
    return _RESULT if is_result(path) else ""


def _is_run(folder: Path) -> bool:
    try:
        return (folder / "config.json").is_file() and (folder / "checkpoints").is_dir()
    except OSError:  # not to be entered: `_entries` says so
        return False


def _around(folder: Path) -> set[Identity]:
    """Return the folders around one: a link back to them is a loop."""
    return {_identity(parent) for parent in folder.resolve().parents}


def _identity(folder: Path) -> Identity:
    status = os.stat(folder)
    return status.st_dev, status.st_ino
