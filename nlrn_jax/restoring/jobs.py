"""Restore picture files, one or a folder of them; what fails does not stop the rest."""

import filecmp
import os
import unicodedata
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nlrn_jax.errors import UserError
from nlrn_jax.pictures import finding
from nlrn_jax.pictures.files import (
    check_output,
    fitting,
    is_of_sides,
    open_picture,
    same_file,
    save_picture,
)
from nlrn_jax.pictures.formats import by_content, by_ending
from nlrn_jax.pictures.picture import MAX_PIXELS, Picture
from nlrn_jax.restoring.forecast import forecasting
from nlrn_jax.restoring.hidden import filled, put_back
from nlrn_jax.restoring.restore import Advance, enlarge
from nlrn_jax.restoring.way import Restorer
from nlrn_jax.terminal import Progress


class Job(NamedTuple):
    """A picture to restore, and where the result goes.

    Attributes:
      source: the picture.
      target: the result.
      is_free: whether nobody chose the target's name: it gets an ending more where its format
        cannot hold the result.
    """

    source: Path
    target: Path
    is_free: bool = False


class Tally(NamedTuple):
    """How many pictures were restored, were done already, and failed."""

    restored: int
    done: int
    failed: int


def find_jobs(
    source: Path, output: str | Path | None, suffix: str
) -> tuple[list[Job], Counter[str]]:
    """Pair each picture with its output; count what is passed over in a folder, by kind.

    Args:
      source: a picture, or a folder (its structure is kept).
      output: for a picture a file, or a folder that exists or ends in a slash; for a folder a
        folder. None is beside the source, with `suffix` after the name. Results that would lie
        where their source does have the suffix too.
      suffix: such as '_restored' or '_x3'. Files and folders that have it, beside those without
        it, are results of an earlier run: no input.

    Raises:
      UserError: there is nothing to restore.
    """
    if not source.exists():
        raise UserError(f"{source}: no such file or folder; check --input")
    if not source.is_dir():
        return [_job_of_one(source, output, suffix)], Counter()
    folder = _beside(source, suffix) if output is None else Path(output)
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: is a file; for a folder of pictures --output is a folder")
    inside = None if same_file(folder, source) else folder
    found = finding.search(source, inside, lambda path: _is_result(path, suffix))
    added = "" if inside else suffix
    places = [(path, folder / path.parent.relative_to(source)) for path in found.paths]
    jobs = [Job(path, place / result_name(path, added), True) for path, place in places]
    return _apart(jobs), found.passed


def _apart(jobs: list[Job]) -> list[Job]:
    """Give each job a target of its own: c.png that is a JPEG would meet c.png.jpg."""
    taken: set[Path] = set()
    result = []
    for job in jobs:
        target, number = job.target, 1
        while target in taken:
            number += 1
            target = job.target.with_stem(f"{job.target.stem}_{number}")
        taken.add(target)
        result.append(job._replace(target=target))
    return result


def _job_of_one(source: Path, output: str | Path | None, suffix: str) -> Job:
    is_folder = output is None or Path(output).is_dir() or str(output).endswith(("/", os.sep))
    if not is_folder and not Path(output).suffix:
        ends = f"in {source.suffix or '.png'} for a picture, in / for a folder"
        raise UserError(f"{output}: is no folder, and has no ending of a picture; end it {ends}")
    if not is_folder:
        return Job(source, Path(output))
    folder = source.parent if output is None else Path(output)
    name = result_name(source, suffix if same_file(folder, source.parent) else "")
    return Job(source, folder / name, is_free=True)


def result_name(source: Path, suffix: str) -> str:
    """Return the name of a result: its ending is of the format that the picture's content has."""
    kind = by_content(source)
    end = "" if kind in (None, by_ending(source.suffix)) else kind.endings[0]
    return f"{source.stem}{suffix}{source.suffix}{end}"


def _beside(folder: Path, suffix: str) -> Path:
    """Return the folder of results beside one, also where that is called '.' or '..'."""
    folder = folder.resolve() if folder.name in ("", "..") else folder
    if not folder.name:
        raise UserError(f"{folder}: nothing lies beside it; name a folder as --output")
    return folder.with_name(folder.name + suffix)


def _is_result(path: Path, suffix: str) -> bool:
    """Tell a result by its name: that of something beside it, and the suffix."""
    if path.is_dir():
        return path.name.endswith(suffix) and path.with_name(path.name[: -len(suffix)]).is_dir()
    if not path.stem.endswith(suffix):
        return False
    return path.with_name(path.stem.removesuffix(suffix) + path.suffix).is_file()


def restore_files(
    jobs: list[Job],
    restore: Restorer,
    scale: int,
    overwrite: bool = False,
    max_pixels: int = MAX_PIXELS,
) -> Tally:
    """Restore pictures one after another, and say how far it is.

    Results that are there already stay, and count as done. Each failure is one line with the file
    and the reason.
    """
    counts: Counter[str] = Counter()
    with Progress() as progress:
        for number, job in enumerate(jobs, 1):
            place = f" ({number} of {len(jobs)})" if len(jobs) > 1 else ""
            name = _printable(job.source.name)
            try:
                if not overwrite and _is_done(job, scale):
                    counts["done"] += 1
                    continue
                with progress.work(f"restoring {name}{place}") as work:
                    told = forecasting(restore, name, progress.say)
                    lines = restore_file(job, told, scale, overwrite, work.advance, max_pixels)
                counts["restored"] += 1
            # Decoders, encoders and devices raise almost anything over one picture.
            except (UserError, MemoryError, OSError, ValueError, RuntimeError) as error:
                counts["failed"] += 1
                lines = [f"error: {_one_line(job.source, error)}"]
            for line in map(_printable, lines):
                progress.say(line)
    return Tally(counts["restored"], counts["done"], counts["failed"])


def summary(tally: Tally, passed: Counter[str]) -> str:
    """Return the last line: how many of how many, and what was passed over."""
    done = f"{tally.done} done already, " if tally.done else ""
    line = f"restored {tally.restored} of {sum(tally)} pictures, {done}{tally.failed} failed"
    return f"{line}; {finding.said(passed)}" if passed else line


def restore_file(
    job: Job,
    restore: Restorer,
    scale: int,
    overwrite: bool,
    advance: Advance,
    max_pixels: int = MAX_PIXELS,
) -> list[str]:
    """Restore one picture file; return where it is, what was converted and what is lost.

    Raises:
      UserError: it cannot be read, or not be written where it should; nothing is left behind.
    """
    if same_file(job.source, job.target):
        raise UserError(f"{job.target}: is the input itself; name another --output")
    picture = open_picture(job.source, max_pixels)
    shape = tuple(scale * side for side in picture.pixels.shape[:2])
    target = fitting(job.target, picture, shape) if job.is_free else job.target
    check_output(target, picture.pixels.dtype, picture.alpha is not None, shape, overwrite)
    target.parent.mkdir(parents=True, exist_ok=True)
    pixels = restore(filled(picture.pixels, picture.alpha), advance)
    lost = save_picture(target, _finished(picture, pixels, scale), overwrite)
    notes = [f"{job.source.name}: {note}" for note in (*picture.notes, *lost)]
    return [f"{target}: restored from {job.source.name}", *notes]


def _is_done(job: Job, scale: int) -> bool:
    """Tell whether a result is there: as large as it should be, and not the source or a copy."""
    ends = ["", ".png", ".tif"] if job.is_free else [""]
    targets = [target for target in (Path(f"{job.target}{end}") for end in ends) if target.exists()]
    return any(
        not filecmp.cmp(target, job.source, shallow=False)
        and is_of_sides(target, job.source, scale)
        for target in targets
    )


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


def _printable(text: str) -> str:
    r"""Write what no terminal prints as '\n' or '\udce9': of names that hold it, or no UTF-8."""
    return "".join(
        c.encode("unicode_escape").decode() if unicodedata.category(c) in ("Cc", "Cs") else c
        for c in text
    )


def _one_line(path: Path, error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if str(path) in text or isinstance(error, UserError) else f"{path}: {text}"
