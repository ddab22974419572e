"""A file whole or not at all: written under a temporary name beside its own, then renamed."""

import contextlib
import errno
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from nlrn_jax.errors import UserError

_unfinished: set[Path] = set()  # files being written now: only a dying process asks


@contextlib.contextmanager
def replaced(path: str | Path) -> Iterator[Path]:
    """Give a temporary path to write to, which then takes the place of `path`.

    After an error `path` is what it was, and the temporary file is gone. Parent folders are made.
    """
    with _temporary(Path(path)) as temporary:
        yield temporary
        os.replace(temporary, path)


@contextlib.contextmanager
def created(path: str | Path) -> Iterator[Path]:
    """Give a temporary path to write to, which then becomes `path`, if nothing is there.

    Raises:
      FileExistsError: something is there by then; it stays as it is.
    """
    path = Path(path)
    with _temporary(path) as temporary:
        yield temporary
        path.touch(exist_ok=False)  # claims the name; hard links could, but memory cards have none
        _unfinished.add(path)
        try:
            os.replace(temporary, path)
        except BaseException:
            path.unlink()
            raise
        finally:
            _unfinished.discard(path)


def write_text(path: str | Path, text: str) -> None:
    """Write a text as UTF-8; what it lacks, such as parts of a name that is no text, is escaped."""
    with replaced(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_json(path: str | Path, tree: object) -> None:
    """Write JSON, indented for people. NaN and infinity, which JSON lacks, raise a ValueError."""
    write_text(path, json.dumps(tree, indent=2, allow_nan=False) + "\n")


def require_place(path: str | Path) -> None:
    """Refuse a file where none can be written, before work is spent on it.

    Raises:
      UserError: the nearest folder that is there is none, or may not be written to.
    """
    place = next((p for p in Path(path).parents if os.path.lexists(p)), Path(path).parent)
    if not place.is_dir():
        raise UserError(f"{path}: {place} is no folder; name another place")
    if not os.access(place, os.W_OK | os.X_OK):
        raise UserError(f"{path}: nothing may be written in {place}; name another place")


def discard() -> None:
    """Remove what is half written, for a process that is about to end without unwinding."""
    for path in list(_unfinished):
        with contextlib.suppress(OSError):
            path.unlink()


def make_folder(folder: Path) -> None:
    """Make a folder and those that it lies in.

    Raises:
      OSError: it cannot be made; names it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:  # a file in its place
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder)) from error


@contextlib.contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    make_folder(path.parent)
    # Hidden from searches for pictures; of the same extension, by which writers choose a format.
    temporary = path.with_name(f".{secrets.token_hex(8)}{path.suffix}")
    _unfinished.add(temporary)
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)
        _unfinished.discard(temporary)
