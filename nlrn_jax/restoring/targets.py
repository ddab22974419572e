"""Which pictures are to be restored, where each result goes, and whether it is there."""

import filecmp
import os
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from nlrn_jax.errors import UserError
from nlrn_jax.pictures import finding
from nlrn_jax.pictures.files import FREE_ENDINGS, is_of_sides, is_whole, same_file
from nlrn_jax.pictures.formats import EXTENSIONS, Format, by_content, by_ending


class Job(NamedTuple):
    """A picture to restore, and where the result goes.

    Attributes:
      source: the picture.
      target: the result.
      is_free: whether nobody chose the target's name: it gets an ending more where its format
        cannot hold the result.
      format: the one that was asked for, if any.
    """

    source: Path
    target: Path
    is_free: bool = False
    format: Format | None = None


def find_jobs(
    source: Path, output: str | Path | None, suffix: str, format: Format | None = None
) -> tuple[list[Job], Counter[str]]:
    """Pair each picture with its output; count what is passed over in a folder, by kind.

    Args:
      source: a picture, or a folder (its structure is kept).
      output: for a picture a file, or a folder that exists or ends in a slash; for a folder a
        folder. None is beside the source, with `suffix` after the name. Results that would lie
        where their source does have the suffix too.
      suffix: such as '_restored' or '_x3'. Files and folders that have it, beside those without
        it, are results of an earlier run: no input.
      format: of all results; None is that of each picture.

    Raises:
      UserError: there is nothing to restore.
    """
    if not source.exists():
        raise UserError(f"{source}: no such file or folder; check --input")
    if not source.is_dir():
        return [_job_of_one(source, output, suffix, format)], Counter()
    folder = result_folder(source, output, suffix)
    inside = None if same_file(folder, source) else folder
    found = finding.search(source, inside, lambda path: _is_result(path, suffix))
    added = "" if inside else suffix
    places = [(path, folder / path.parent.relative_to(source)) for path in found.paths]
    jobs = [
        Job(path, place / result_name(path, added, format), format is None, format)
        for path, place in places
    ]
    return _apart(_told_apart(jobs) if format else jobs), found.passed


def result_folder(source: Path, output: str | Path | None, suffix: str) -> Path:
    """Return the folder that the results of a folder of pictures go into, as `find_jobs` says.

    Raises:
      UserError: it is a file, or nothing can lie beside the source.
    """
    folder = _beside(source, suffix) if output is None else Path(output)
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: is a file; for a folder of pictures --output is a folder")
    return folder


def _told_apart(jobs: list[Job]) -> list[Job]:
    """Keep the old endings too where results would meet: a.jpg and a.png become a.jpg.png, ...

    Not by number: one picture more would shift these, and each seem done by another's result.
    """
    count = Counter(job.target for job in jobs)
    return [
        job._replace(target=job.target.with_stem(f"{job.target.stem}{job.source.suffix}"))
        if count[job.target] > 1
        else job
        for job in jobs
    ]


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


def _job_of_one(source: Path, output: str | Path | None, suffix: str, format: Format | None) -> Job:
    is_folder = output is None or Path(output).is_dir() or str(output).endswith(("/", os.sep))
    if not is_folder:
        _require_ending(Path(output), format, format.endings[0] if format else source.suffix)
        return Job(source, Path(output), format=format)
    folder = source.parent if output is None else Path(output)
    name = result_name(source, suffix if same_file(folder, source.parent) else "", format)
    return Job(source, folder / name, is_free=format is None, format=format)


def _require_ending(output: Path, format: Format | None, usual: str) -> None:
    """Refuse a result's name that has no ending, or that of another format than is asked for."""
    if not output.suffix:
        ends = f"in {usual or '.png'} for a picture, in / for a folder"
        raise UserError(f"{output}: is no folder, and has no ending of a picture; end it {ends}")
    if format and by_ending(output.suffix) is not format:
        raise UserError(
            f"{output}: its ending is not of --format={format.name.lower()}; end it in {usual}, or "
            "leave --format out"
        )


def result_name(source: Path, suffix: str, format: Format | None = None) -> str:
    """Return the name of a result: its ending is of the format, or of that of the content."""
    kind, own = format or by_content(source), by_ending(source.suffix)
    end = "" if kind in (None, own) else kind.endings[0]
    kept = "" if format and own and end else source.suffix
    return f"{source.stem}{suffix}{kept}{end}"


def _beside(folder: Path, suffix: str) -> Path:
    """Return the folder of results beside one, also where that is called '.' or '..'."""
    folder = folder.resolve() if folder.name in ("", "..") else folder
    if not folder.name:
        raise UserError(f"{folder}: nothing lies beside it; name a folder as --output")
    return folder.with_name(folder.name + suffix)


def _is_result(path: Path, suffix: str) -> bool:
    """Tell a result by its name: that of something beside it, in any format, and the suffix."""
    if path.is_dir():
        return path.name.endswith(suffix) and path.with_name(path.name[: -len(suffix)]).is_dir()
    name, found, ends = path.name.rpartition(suffix)
    if not name or not found or not ends.startswith("."):
        return False
    _, own, *another = ends.split(".")  # as of a_restored.png, and of a_restored.jpg.png
    of_any = () if another else (*EXTENSIONS, *map(str.upper, EXTENSIONS))
    return any(path.with_name(name + end).is_file() for end in (f".{own}", *of_any))


def done(job: Job, scale: int) -> Path | None:
    """Return the result that is there: whole, of the right size, and not the source or a copy."""
    results = (
        path
        for path in _places(job)
        if path.exists()
        and not filecmp.cmp(path, job.source, shallow=False)
        and is_of_sides(path, job.source, scale)
        and is_whole(path)
    )
    return next(results, None)


def there(job: Job) -> Path | None:
    """Return the file in the place of the result, whatever it holds, if it is not the source."""
    files = (
        path
        for path in _places(job)
        if os.path.lexists(path) and not path.is_dir() and not same_file(path, job.source)
    )
    return next(files, None)


def _places(job: Job) -> list[Path]:
    """Return where the result may lie."""
    return [Path(f"{job.target}{end}") for end in ("", *(FREE_ENDINGS if job.is_free else ()))]
