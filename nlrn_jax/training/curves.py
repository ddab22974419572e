"""Figures of training runs as PNG: the curves of one, of several, and what a study found."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nlrn_jax.training.record import gains, series
from nlrn_jax.writing import replaced

# Told apart by the colour-blind too (Okabe and Ito 2008); then again, dashed.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINES = ("-", "--", ":")
GREY = "#777777"
LEGEND_ROWS = 18  # as many fit the height


class Curve(NamedTuple):
    """The validation PSNR of a run.

    Attributes:
      name: what the legend calls it.
      steps: of gradient descent, one for each value.
      seconds: of training until then, validation left out; empty where it is not known.
      psnr: dB.
    """

    name: str
    steps: list[int]
    seconds: list[float]
    psnr: list[float]


def draw_curve(path: Path, lines: Sequence[Mapping]) -> None:
    """Draw by how much a run gains over its input, by step: on what it trains on, in validation.

    The two are of different pictures, so their PSNR would not compare. Records of earlier versions
    know the input of validations only.

    Args:
      path: of the PNG, replaced as a whole.
      lines: of `metrics.jsonl`.
    """
    # A layout that is computed would draw twice, and a short run draws often.
    figure, (axes,) = _figure(1, layout=None)
    figure.subplots_adjust(left=0.13, right=0.95, bottom=0.13, top=0.96)
    training, validation = gains(lines), gains(lines, "validation_")
    axes.plot(*training, color=COLOURS[5], linewidth=1, label="training batches")
    axes.plot(*validation, color=COLOURS[0], marker="o", markersize=3, label="validation")
    baseline = series(lines, "validation_baseline")[1][-1:]
    label = "input" + "".join(f" ({psnr:.2f} dB in validation)" for psnr in baseline)
    axes.axhline(0, color=GREY, linestyle="--", linewidth=1, label=label)
    axes.set(xlabel="step", ylabel="gain of PSNR over the input, dB")
    axes.locator_params(axis="x", integer=True)
    axes.legend(frameon=False)
    _save(figure, path)


def draw_runs(path: Path, curves: Sequence[Curve]) -> None:
    """Draw the validation PSNR of several runs, by step and, where all know it, by time."""
    timed = all(curve.seconds for curve in curves)
    figure, panels = _figure(2 if timed else 1)
    _draw_curves(panels[0], "step", [(curve, curve.steps) for curve in curves])
    panels[0].locator_params(axis="x", integer=True)
    if timed:
        unit, length = _time_unit(max(curve.seconds[-1] for curve in curves))
        by_time = [(curve, np.divide(curve.seconds, length)) for curve in curves]
        _draw_curves(panels[1], f"{unit} of training", by_time)
        panels[1].set_ylabel("")
        panels[1].set_xlim(left=0)
    _legend_beside(figure, panels[0])
    _save(figure, path)


def draw_study(
    path: Path,
    field: str,
    values: Sequence[object],
    curves: Sequence[Curve],
    baseline: float | None,
) -> None:
    """Draw the last validation PSNR against what a study varies, and the curves that led there.

    Args:
      path: of the PNG, replaced as a whole.
      field: what is varied.
      values: of the field, one for each curve; where not all are numbers, names are drawn.
      curves: of the members.
      baseline: PSNR of the validated inputs, dB; None where they are perfect.
    """
    figure, (left, right) = _figure(2)
    last = [curve.psnr[-1] for curve in curves]
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    places = values if numbers else [curve.name for curve in curves]
    left.plot(places, last, color=GREY, linewidth=1 if numbers else 0, zorder=1)
    colours = [style["color"] for style in _styles(len(curves))]
    left.scatter(places, last, color=colours, zorder=2)
    for place, value in zip(places, last, strict=True):
        left.annotate(f"{value:.2f}", (place, value), (0, 7), textcoords="offset points",
                      ha="center", fontsize=8)  # fmt: skip
    left.margins(x=0.15, y=0.2)
    left.set(xlabel=field, ylabel="validation PSNR after the last step, dB")
    left.set_xticks(places)
    if not numbers and max(map(len, map(str, places))) > 10:  # else names would overlap
        left.set_xticks(places, places, rotation=20, ha="right")
    _draw_curves(right, "step", [(curve, curve.steps) for curve in curves])
    right.locator_params(axis="x", integer=True)
    title = None if baseline is None else f"input: {baseline:.2f} dB"
    _legend_beside(figure, right, title)
    _save(figure, path)


def _figure(panels: int, layout: str | None = "constrained"):
    """Return a matplotlib figure and its axes in a row, outside of pyplot's global state."""
    from matplotlib.figure import Figure  # half a second, and only who draws needs it

    figure = Figure(figsize=(1.5 + 4.5 * panels, 4), dpi=100, layout=layout)
    axes = figure.subplots(1, panels, squeeze=False)[0]
    for panel in axes:
        panel.grid(color="#dddddd", linewidth=0.5)
        panel.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _legend_beside(figure, axes, title: str | None = None) -> None:
    """Name the curves of axes right of all panels: within, many names would cover them."""
    handles, names = axes.get_legend_handles_labels()
    columns = -(-len(names) // LEGEND_ROWS)
    figure.set_figwidth(figure.get_figwidth() + 2 * columns)
    figure.legend(handles, names, loc="outside right upper", ncols=columns, title=title,
                  frameon=False, fontsize=9)  # fmt: skip


def _draw_curves(axes, xlabel: str, curves: Sequence[tuple[Curve, Sequence[float]]]) -> None:
    for (curve, x), style in zip(curves, _styles(len(curves)), strict=True):
        axes.plot(x, curve.psnr, label=curve.name, linewidth=1.2, **style)
    axes.set(xlabel=xlabel, ylabel="validation PSNR, dB")


def _styles(count: int) -> list[dict]:
    pairs = itertools.cycle((line, colour) for line in LINES for colour in COLOURS)
    return [
        {"linestyle": line, "color": colour, "marker": "o", "markersize": 3}
        for line, colour in itertools.islice(pairs, count)
    ]


def _time_unit(seconds: float) -> tuple[str, float]:
    """Return a unit of which `seconds` are a few, and its length in seconds."""
    units = [("seconds", 1.0), ("minutes", 60.0), ("hours", 3600.0), ("days", 86400.0)]
    return next((unit for unit in reversed(units) if seconds >= 2 * unit[1]), units[0])


def _save(figure, path: Path) -> None:
    with replaced(path) as temporary:
        figure.savefig(temporary, format="png")
