"""The mode that restores: from its flags to what it prints."""

import sys
from pathlib import Path

from ml_collections import ConfigDict

from nlrn_jax.commands import menu, options
from nlrn_jax.errors import UserError
from nlrn_jax.pictures.formats import JPEG, WEBP, by_ending
from nlrn_jax.restoring.jobs import restore_files, summary
from nlrn_jax.restoring.targets import Job, find_jobs
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
    format = options.FORMAT.value and by_ending(f".{options.FORMAT.value}")
    jobs, passed = find_jobs(Path(options.INPUT.value), options.OUTPUT.value, suffix, format)
    _require_quality(jobs)
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
    if tally.failed:
        sys.exit(1)


def _require_quality(jobs: list[Job]) -> None:
    """Refuse --quality where no result is of a format that has one."""
    formats = {by_ending(job.target.suffix) for job in jobs}
    if options.QUALITY.value and not formats & {JPEG, WEBP}:
        menu.refuse(
            f"--quality={options.QUALITY.value} is of JPEG and WebP, and no result is either: "
            "leave it out, or name one as --format"
        )


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
