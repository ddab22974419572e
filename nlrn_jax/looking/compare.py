"""Several runs side by side: a table, their curves in one figure, and both as JSON."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from nlrn_jax.config.levels import own_protocol, scored_levels
from nlrn_jax.config.record import flatten
from nlrn_jax.errors import UserError
from nlrn_jax.network.build import build_model, count_parameters
from nlrn_jax.terminal import print_table
from nlrn_jax.training.curves import Curve, draw_runs
from nlrn_jax.training.record import read_record, series
from nlrn_jax.training.run import read_config
from nlrn_jax.writing import write_json

# What decides which pixels are validated; then protocol and levels, by the fields of a task.
VALIDATED = ("task", "model.channels", "data.train", "data.holdout", "checkpoint.crop")
DEGRADED = {
    "denoise": ("degrade.sigma", "degrade.poisson", "degrade.jpeg", "degrade.chances"),
    "sr": ("degrade.scales",),
}


class Run(NamedTuple):
    """A training run as its workdir records it: `lines` are those of `metrics.jsonl`."""

    name: str
    workdir: Path
    config: ConfigDict
    lines: list[dict]


def compare(workdirs: Sequence[Path], folder: Path) -> None:
    """Print the table of several runs; write `compare.png` and `compare.json` into a folder.

    Raises:
      UserError: a folder is no run, a run has no validation figures, or two were validated
        on different pixels.
    """
    runs = read_runs(workdirs)
    require_same_validation(runs)
    fields = differing_fields(runs)
    summaries = [summarize(run, fields) for run in runs]
    print_summaries(f"{len(runs)} runs", fields, summaries)
    draw_runs(folder / "compare.png", [curve(run) for run in runs])
    write_json(folder / "compare.json", {"runs": summaries})
    print(f"figure       {folder}/compare.png\nfigures      {folder}/compare.json", flush=True)


def read_runs(workdirs: Sequence[Path]) -> list[Run]:
    """Read runs; each is called by the name of its folder where that tells them apart.

    Raises:
      UserError: a folder is named twice, is no run, or has no validation figures.
    """
    for workdir in workdirs:
        if workdirs.count(workdir) > 1:
            raise UserError(f"{workdir} is named twice: a run is compared with others")
    short = [workdir.resolve().name for workdir in workdirs]
    unique = len(set(short)) == len(short)
    return [
        Run(name if unique else str(workdir), workdir, read_config(workdir), _read_lines(workdir))
        for name, workdir in zip(short, workdirs, strict=True)
    ]


def require_same_validation(runs: Sequence[Run]) -> None:
    """Refuse runs whose validation PSNR is of different pixels.

    Equal baselines prove equal pixels and noise, wherever the images lie. Else the fields that
    decide must be equal; then only the seed of the noise may differ.

    Raises:
      UserError: naming two such runs and what differs.
    """
    first, *others = runs
    for other in others:
        a, b = (_baseline(run) for run in (first, other))
        if a and b and math.isclose(a, b, abs_tol=1e-6):
            continue
        where = f"{first.workdir} and {other.workdir} were validated differently"
        there, here = flatten(first.config), flatten(other.config)
        alike = _scored(first) == _scored(other)
        for field in (*VALIDATED, *(() if alike else DEGRADED[first.config.task])):
            if there.get(field) != here.get(field):
                raise UserError(
                    f"{where}: {field} is {there.get(field)!r} and {here.get(field)!r}; "
                    "compare runs that agree in it"
                )
        if a and b and first.config.seed == other.config.seed:
            raise UserError(
                f"{where}: before restoration their images have {a:.2f} and {b:.2f} dB; have the "
                f"images of {first.config.data.train} changed between the runs?"
            )


def differing_fields(runs: Sequence[Run]) -> list[str]:
    """List the fields of the configuration in which runs differ."""
    fields = [flatten(run.config) for run in runs]
    names = sorted(set().union(*fields))
    return [n for n in names if any(f.get(n) != fields[0].get(n) for f in fields)]


def summarize(run: Run, fields: Sequence[str]) -> dict:
    """Return what the table shows of a run, and its curve."""
    steps, psnr = series(run.lines, "validation_psnr")
    speeds = series(run.lines, "patches_per_second")[1]
    best = int(np.argmax(psnr))
    config = flatten(run.config)
    return {
        "name": run.name,
        "workdir": str(run.workdir),
        "config": {field: config.get(field) for field in fields},
        "parameters": parameters(run.config),
        "steps": run.lines[-1]["step"],
        "steps_planned": run.config.train.steps,
        "validation": {
            "baseline": _baseline(run),
            "best": {"step": steps[best], "psnr": psnr[best]},
            "last": {"step": steps[-1], "psnr": psnr[-1]},
        },
        "patches_per_second": float(np.median(speeds)) if speeds else None,
        "curve": curve(run)._asdict(),
    }


def print_summaries(title: str, fields: Sequence[str], summaries: Sequence[dict]) -> None:
    """Print what `summarize` returned, a line each."""
    columns = [
        "run", *fields, "parameters", "steps", "input dB", "best dB", "last dB", "patches/s"
    ]  # fmt: skip
    print_table(title, columns, [_cells(fields, summary) for summary in summaries])


def curve(run: Run) -> Curve:
    """Return the validation PSNR of a run by step and by time."""
    steps, psnr = series(run.lines, "validation_psnr")
    known, seconds = training_seconds(run.lines)
    return Curve(run.name, steps, np.interp(steps, known, seconds).tolist() if known else [], psnr)


def training_seconds(lines: Sequence[dict]) -> tuple[list[int], list[float]]:
    """Return steps, and the seconds of training until each; none where no speed is recorded.

    From the speeds, which leave out compiling, validating and saving.
    """
    steps, speeds = series(lines, "steps_per_second")
    if not steps:
        return [], []
    seconds = np.diff(steps, prepend=0) / speeds
    return [0, *steps], [0.0, *np.cumsum(seconds).tolist()]


def parameters(config: ConfigDict) -> int:
    """Count the trainable parameters of the network that a configuration describes."""
    patch = jax.ShapeDtypeStruct((1, 3, 3, config.model.channels), np.float32)
    variables = jax.eval_shape(build_model(config).init, jax.random.key(0), patch)
    return count_parameters(variables["params"])


def _read_lines(workdir: Path) -> list[dict]:
    lines = read_record(workdir)
    if not series(lines, "validation_psnr")[0]:
        raise UserError(
            f"{workdir}/metrics.jsonl: no validation_psnr, so there is nothing to compare; train "
            "it to its first validation (data.holdout and checkpoint.validation_share above 0)"
        )
    return lines


def _baseline(run: Run) -> float | None:
    values = series(run.lines, "validation_baseline")[1]
    return values[-1] if values else None


def _scored(run: Run) -> tuple[str, tuple[float, ...]]:
    return own_protocol(run.config), scored_levels(run.config)


def _cells(fields: Sequence[str], summary: dict) -> list[str]:
    done, planned = summary["steps"], summary["steps_planned"]
    validation, speed = summary["validation"], summary["patches_per_second"]
    baseline = validation["baseline"]
    return [
        summary["name"],
        *(str(summary["config"][field]) for field in fields),
        f"{summary['parameters']:,}",
        f"{done}" if done >= planned else f"{done} of {planned}",
        "-" if baseline is None else f"{baseline:.2f}",
        f"{validation['best']['psnr']:.2f}",
        f"{validation['last']['psnr']:.2f}",
        "-" if speed is None else f"{speed:.1f}",
    ]
