"""The mode that restores: from its flags to what it prints."""

import sys
from collections import Counter
from pathlib import Path

from ml_collections import ConfigDict

from nlrn_jax.commands import arguments, menu, options
from nlrn_jax.errors import UserError
from nlrn_jax.looking import pairs
from nlrn_jax.pictures.formats import JPEG, WEBP, by_ending
from nlrn_jax.restoring.jobs import Pair, printable, restore_files, summary
from nlrn_jax.restoring.targets import Job, find_jobs, result_folder
from nlrn_jax.restoring.way import Way, restorer
from nlrn_jax.terminal import working
from nlrn_jax.training.interruption import tell
from nlrn_jax.training.run import load, read_config


def run_restoration(workdir: Path) -> None:
    """Restore picture files with a checkpoint of a workdir."""
    config = read_config(workdir)
    way = _way(config)
    scale = way.scale
    suffix = f"_x{scale}" if scale > 1 else "_restored"
    jobs, passed = _jobs(suffix)
    page = _page(jobs, suffix)
    with working(f"reading the network of {workdir}"):
        restore = restorer(*load(workdir, options.CHECKPOINT.value[0]), way)
    if config.model.channels == 1:
        how = "the luma, the chroma bicubic" if scale > 1 else "red, green and blue one by one"
        print(f"restores of colour pictures {how}", flush=True)
    if len(jobs) > 1 and not options.OVERWRITE.value:
        tell("interrupted; the same command goes on with the pictures that are not done")
    tally = restore_files(
        jobs, restore, scale, options.OVERWRITE.value, options.max_pixels(), options.SKIP.value,
        options.QUALITY.value,
    )  # fmt: skip
    print(summary(tally, passed), flush=True)
    if page and tally.pairs:
        _compare(page, tally.pairs, scale)
    if tally.failed:
        sys.exit(1)


def _jobs(suffix: str) -> tuple[list[Job], Counter[str]]:
    """Find the pictures; refuse --quality where no result is of a format that has one."""
    format = options.FORMAT.value and by_ending(f".{options.FORMAT.value}")
    jobs, passed = find_jobs(Path(options.INPUT.value), options.OUTPUT.value, suffix, format)
    formats = {by_ending(job.target.suffix) for job in jobs}
    if options.QUALITY.value and not formats & {JPEG, WEBP}:
        menu.refuse(
            f"--quality={options.QUALITY.value} is of JPEG and WebP, and no result is either: "
            "leave it out, or name one as --format"
        )
    return jobs, passed


def _page(jobs: list[Job], suffix: str) -> Path | None:
    """Return where the page of --compare is to lie: among the results of a folder, beside one."""
    if not options.COMPARE.value:
        return None
    source, target = Path(options.INPUT.value), jobs[0].target
    page = target.with_name(f"{target.stem}_compare.html")
    if source.is_dir():
        page = result_folder(source, options.OUTPUT.value, suffix) / "compare.html"
    pairs.require_room(page, options.OVERWRITE.value)
    return page


def _compare(page: Path, found: list[Pair], scale: int) -> None:
    """Write the page of --compare, and say where it is."""
    tell("interrupted; the pictures are restored, and only the page is not written")
    with working("writing the page") as work:
        lines = pairs.write_pairs(
            page, found, Path(options.INPUT.value), scale, arguments.command(),
            options.OVERWRITE.value, options.max_pixels(), work.advance,
        )  # fmt: skip
    for line in (*lines, f"look at it   {page}"):
        print(printable(line), flush=True)


def _way(config: ConfigDict) -> Way:
    """Return how the flags want pictures to be restored: each pixel once, or by patches."""
    patch, stride = options.PATCHES.value, options.STRIDE.value
    if patch and stride > patch:
        raise UserError(f"--stride={stride} leaves gaps between --patches={patch}")
    return Way(
        scale=options.scale(config),
        memory=options.memory(),
        exact=options.EXACT.value,
        patch=patch,
        stride=stride,
        ensemble=options.ENSEMBLE.value,
        strength=options.STRENGTH.value,
    )
