"""Restore picture files, one or a folder of them; what fails does not stop the rest."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.progress import Progress, TaskID

from nlrn_jax.errors import UserError
from nlrn_jax.pictures.files import (
    check_output,
    find_pictures,
    open_picture,
    same_file,
    save_picture,
)
from nlrn_jax.pictures.picture import Picture
from nlrn_jax.restoring.restore import Advance, enlarge
from nlrn_jax.restoring.way import Restorer


class Job(NamedTuple):
    """A picture to restore, and where the result goes."""

    source: Path
    target: Path


def find_jobs(source: Path, output: Path | None, suffix: str) -> list[Job]:
    """Pair each picture with its output.

    Args:
      source: a picture, or a folder (its structure is kept).
      output: for a picture a file or an existing folder, for a folder a folder; None is beside
        the source, with `suffix` after the name.
      suffix: such as '_restored' or '_x3'.

    Raises:
      UserError: there is nothing to restore.
    """
    if not source.exists():
        raise UserError(f"{source}: no such file or folder; check --input")
    if not source.is_dir():
        target = (
            source.with_name(source.stem + suffix + source.suffix) if output is None else output
        )
        return [Job(source, target / source.name if target.is_dir() else target)]
    folder = source.with_name(source.resolve().name + suffix) if output is None else output
    paths = find_pictures(source, without=folder)  # where results of an earlier run lie
    return [Job(path, folder / path.relative_to(source)) for path in paths]


def restore_files(jobs: list[Job], restore: Restorer, scale: int, overwrite: bool) -> int:
    """Restore pictures one after another, with a progress bar; return how many failed.

    Each failure is one line with the file and the reason.
    """
    failed = 0
    with Progress(transient=True) as progress:
        bar = progress.add_task("", total=len(jobs))
        for number, job in enumerate(jobs, 1):
            progress.update(bar, description=job.source.name, completed=number - 1)

            def advance(fraction: float, bar: TaskID = bar) -> None:
                progress.advance(bar, fraction)

            try:
                lines = [f"{job.target}: restored from {job.source.name}"]
                lines += restore_file(job, restore, scale, overwrite, advance)
            except (UserError, MemoryError, OSError, ValueError) as error:
                failed += 1
                lines = [f"error: {_one_line(job.source, error)}"]
            for line in lines:
                progress.console.print(line, markup=False, highlight=False, soft_wrap=True)
    return failed


def restore_file(
    job: Job, restore: Restorer, scale: int, overwrite: bool, advance: Advance
) -> list[str]:
    """Restore one picture file; return what was converted, line by line.

    Raises:
      UserError: it cannot be read, or not be written where it should; nothing is left behind.
    """
    if job.target.exists() and same_file(job.source, job.target):
        raise UserError(f"{job.target}: is the input itself; name another --output")
    picture = open_picture(job.source)
    shape = tuple(scale * side for side in picture.pixels.shape[:2])
    has_alpha = picture.alpha is not None
    check_output(job.target, picture.pixels.dtype, has_alpha, shape, overwrite)
    job.target.parent.mkdir(parents=True, exist_ok=True)
    pixels = restore(picture.pixels, advance)
    save_picture(job.target, _finished(picture, pixels, scale), overwrite)
    return [f"{job.source.name}: {note}" for note in picture.notes]


def _finished(picture: Picture, pixels: np.ndarray, scale: int) -> Picture:
    """Return the picture with new pixels, its alpha as large as they are, of the same inches."""
    alpha = picture.alpha
    if alpha is not None and scale > 1:
        alpha = enlarge(alpha, scale)
    dpi = picture.dpi and tuple(scale * d for d in picture.dpi)
    return picture._replace(pixels=pixels, alpha=alpha, dpi=dpi)


def _one_line(path: Path, error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if str(path) in text or isinstance(error, UserError) else f"{path}: {text}"
