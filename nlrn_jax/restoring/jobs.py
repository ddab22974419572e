"""Restore picture files, one or a folder of them; what fails does not stop the rest."""

import functools
import unicodedata
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nlrn_jax import writing
from nlrn_jax.errors import UserError, of_system
from nlrn_jax.pictures import finding
from nlrn_jax.pictures.files import check_output, fitting, open_picture, same_file, save_picture
from nlrn_jax.pictures.formats import holders, misfit
from nlrn_jax.pictures.picture import MAX_PIXELS, Picture
from nlrn_jax.restoring.forecast import forecasting
from nlrn_jax.restoring.hidden import filled, put_back
from nlrn_jax.restoring.restore import Advance, enlarge
from nlrn_jax.restoring.targets import Job, done, there
from nlrn_jax.restoring.way import Restorer
from nlrn_jax.terminal import Progress


class Pair(NamedTuple):
    """A picture, and its result; whether that was there before, of whatever weights and flags."""

    source: Path
    result: Path
    was_there: bool = False


class Tally(NamedTuple):
    """How many pictures were restored, were done already, and failed; and what is there now."""

    restored: int
    done: int
    failed: int
    pairs: list[Pair]


def restore_files(
    jobs: list[Job],
    restore: Restorer,
    scale: int,
    overwrite: bool = False,
    max_pixels: int = MAX_PIXELS,
    skip: bool = False,
    quality: int | None = None,
) -> Tally:
    """Restore pictures one after another, and say how far it is.

    Results that are there already stay, and count as done; with `skip` whatever they hold. Each
    failure is one line with the file and the reason.
    """
    counts: Counter[str] = Counter()
    pairs: list[Pair] = []
    find = there if skip else functools.partial(done, scale=scale)
    with Progress() as progress:
        for number, job in enumerate(jobs, 1):
            place = f" ({number} of {len(jobs)})" if len(jobs) > 1 else ""
            name = printable(job.source.name)
            try:
                if not overwrite and (result := find(job)):
                    counts["done"] += 1
                    pairs.append(Pair(job.source, result, was_there=True))
                    continue
                with progress.work(f"restoring {name}{place}") as work:
                    told = forecasting(restore, name, progress.say)
                    result, lines = restore_file(
                        job, told, scale, overwrite, work.advance, max_pixels, quality
                    )
                counts["restored"] += 1
                pairs.append(Pair(job.source, result))
            # Decoders, encoders and devices raise almost anything over one picture.
            except (UserError, MemoryError, OSError, ValueError, RuntimeError) as error:
                counts["failed"] += 1
                lines = [f"error: {_one_line(job.source, error)}"]
            for line in map(printable, lines):
                progress.say(line)
    return Tally(counts["restored"], counts["done"], counts["failed"], pairs)


def summary(tally: Tally, passed: Counter[str]) -> str:
    """Return the last line: how many of how many, and what was passed over."""
    done = f"{tally.done} done already (--overwrite restores anew), " if tally.done else ""
    total = tally.restored + tally.done + tally.failed
    line = f"restored {tally.restored} of {total} pictures, {done}{tally.failed} failed"
    return f"{line}; {finding.said(passed)}" if passed else line


def restore_file(
    job: Job,
    restore: Restorer,
    scale: int,
    overwrite: bool,
    advance: Advance,
    max_pixels: int = MAX_PIXELS,
    quality: int | None = None,
) -> tuple[Path, list[str]]:
    """Restore one picture file; return where it is, and lines that say so and what is lost.

    Raises:
      UserError: it cannot be read, or not be written where it should; nothing is left behind.
    """
    if same_file(job.source, job.target):
        raise UserError(f"{job.target}: is the input itself; name another --output")
    picture = open_picture(job.source, max_pixels)
    shape = tuple(scale * side for side in picture.pixels.shape[:2])
    target = fitting(job.target, picture, shape) if job.is_free else job.target
    _require_fit(job, picture, shape)
    check_output(target, picture.pixels.dtype, picture.alpha is not None, shape, overwrite)
    writing.make_folder(target.parent)
    pixels = restore(filled(picture.pixels, picture.alpha), advance)
    lost = save_picture(target, _finished(picture, pixels, scale), overwrite, quality)
    notes = [f"{job.source.name}: {note}" for note in (*picture.notes, *lost)]
    return target, [f"{target}: restored from {job.source.name}", *notes]


def _require_fit(job: Job, picture: Picture, shape: tuple[int, ...]) -> None:
    """Refuse a format that was asked for and cannot hold the result; name those that can."""
    held = (picture.pixels.dtype, picture.alpha is not None, shape)
    if job.format and (reason := misfit(job.format, *held)):
        names = " or ".join(format.name.lower() for format in holders(*held))
        raise UserError(f"{job.source}: {reason}; restore it with --format={names}")


def _finished(picture: Picture, pixels: np.ndarray, scale: int) -> Picture:
    """Return the picture with new pixels, its alpha as large as they are, of the same inches."""
    alpha = picture.alpha
    if alpha is not None and scale > 1:
        alpha = enlarge(alpha, scale)
    elif alpha is not None:
        pixels = put_back(pixels, picture.pixels, alpha)
    dpi, per_unit = (
        pair and tuple(scale * dots for dots in pair) for pair in (picture.dpi, picture.per_unit)
    )
    return picture._replace(pixels=pixels, alpha=alpha, dpi=dpi, per_unit=per_unit)


def printable(text: str) -> str:
    r"""Write what no terminal prints as '\n' or '\udce9': of names that hold it, or no UTF-8."""
    return "".join(
        c.encode("unicode_escape").decode() if unicodedata.category(c) in ("Cc", "Cs") else c
        for c in text
    )


def _one_line(path: Path, error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return of_system(error)
    text = " ".join(str(error).split()) or type(error).__name__
    return text if str(path) in text or isinstance(error, UserError) else f"{path}: {text}"
