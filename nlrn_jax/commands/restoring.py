"""The mode that restores: from its flags to what it prints."""

import sys
from collections import Counter
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from nlrn_jax.commands import arguments, menu, options
from nlrn_jax.errors import UserError
from nlrn_jax.exchanging import shipped
from nlrn_jax.exchanging.stored import described, load_trained, read_config
from nlrn_jax.looking import pairs
from nlrn_jax.pictures.files import open_picture
from nlrn_jax.pictures.formats import JPEG, WEBP, by_ending
from nlrn_jax.restoring.jobs import Pair, printable, restore_files, summary
from nlrn_jax.restoring.restore import Advance
from nlrn_jax.restoring.targets import Job, find_jobs, result_folder
from nlrn_jax.restoring.way import Restorer, Way, restorer
from nlrn_jax.terminal import working
from nlrn_jax.training.interruption import tell


def run_restoration(place: str | None) -> None:
    """Restore picture files with a network; None takes the shipped weights for each picture."""
    way = _way(read_config(place or shipped.usual(True, options.SCALE.value or 1)))
    scale = way.scale
    suffix = f"_x{scale}" if scale > 1 else "_restored"
    jobs, passed = _jobs(suffix)
    page = _page(jobs, suffix)
    restore = _restorer(place, way) if place else _usual_restorer(jobs, way)
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


def _restorer(place: str, way: Way, colour: bool = True) -> Restorer:
    """Read a network, and say which it is and what it does, to pictures in colour too."""
    config = read_config(place)
    with working(f"reading the network of {place}"):
        restore = restorer(*load_trained(place, options.CHECKPOINT.value[0]), way)
    print(f"weights      {place}: {described(place)}", flush=True)
    if colour and config.model.channels == 1:
        how = "the luma, the chroma bicubic" if way.scale > 1 else "red, green and blue one by one"
        print(f"restores of colour pictures {how}", flush=True)
    return restore


def _usual_restorer(jobs: list[Job], way: Way) -> Restorer:
    """Read the shipped weights: for grey pictures and for colour, those that are to be restored."""
    names = {colour: shipped.usual(colour, way.scale) for colour in _kinds(jobs)}
    restorers = {
        name: _restorer(name, way, colour=name == names.get(True))
        for name in dict.fromkeys(names.values())
    }

    def restore(pixels: np.ndarray, advance: Advance | None = None) -> np.ndarray:
        return restorers[names[pixels.ndim == 3]](pixels, advance)

    return restore


def _kinds(jobs: list[Job]) -> tuple[bool, ...]:
    """Say whether pictures are in colour, each kind once: one is looked at, more are both."""
    if len(jobs) > 1:
        return (True, False)
    try:
        return (open_picture(jobs[0].source, options.max_pixels()).pixels.ndim == 3,)
    except UserError:  # which restoring it will say
        return (True,)


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
