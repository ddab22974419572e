"""A file whole or not at all: written under a temporary name beside its own, then renamed."""

import contextlib
import errno
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

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


def discard() -> None:
    """Remove what is half written, for a process that is about to end without unwinding."""
    for path in list(_unfinished):
        with contextlib.suppress(OSError):
            path.unlink()


@contextlib.contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:  # a file in the place of the folder
        reason = os.strerror(errno.ENOTDIR)
        raise NotADirectoryError(errno.ENOTDIR, reason, str(path.parent)) from error
    # Hidden from searches for pictures; of the same extension, by which writers choose a format.
    temporary = path.with_name(f".{secrets.token_hex(8)}{path.suffix}")
    _unfinished.add(temporary)
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)
        _unfinished.discard(temporary)
