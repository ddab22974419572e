"""What methods reach beside what they take: dB against seconds a megapixel, as one picture."""

import itertools
import json
import math
from pathlib import Path

from nlrn_jax.training.curves import COLOURS
from nlrn_jax.writing import replaced

COLUMNS = 3  # of panels
SIZE = 4.5, 4.0  # of a panel, inches
LEGEND = 2.5  # beside them, inches
MARKS = ("o", "s", "^", "D")  # then the colours come again

Points = dict[str, tuple[float, float]]  # by method: seconds a megapixel, dB


def draw_cost(folder: str | Path) -> Path | None:
    """Draw `cost.png` into the folder of an evaluation: a panel for each benchmark and level.

    Args:
      folder: holds `results.json`.

    Returns:
      The picture; None, and nothing is drawn, where no two methods were timed on the same images.
    """
    folder = Path(folder)
    tables = json.loads((folder / "results.json").read_text(encoding="utf-8"))["tables"]
    panels = {f"{t['benchmark']}, {t['label']}": _points(t["means"]) for t in tables}
    panels = {title: points for title, points in panels.items() if len(points) > 1}
    if not panels:
        (folder / "cost.png").unlink(missing_ok=True)  # of earlier results
        return None
    _draw(folder / "cost.png", panels)
    return folder / "cost.png"


def _points(means: dict) -> Points:
    """Return the methods that have both a time and a finite PSNR."""
    both = {name: (mean["seconds_per_megapixel"], mean["psnr"]) for name, mean in means.items()}
    return {name: (seconds, psnr) for name, (seconds, psnr) in both.items() if seconds and psnr}


def _draw(path: Path, panels: dict[str, Points]) -> None:
    from matplotlib.figure import Figure  # half a second, and only who draws needs it
    from matplotlib.ticker import LogLocator, NullLocator

    columns = min(len(panels), COLUMNS)
    rows = math.ceil(len(panels) / columns)
    size = columns * SIZE[0] + LEGEND, rows * SIZE[1]
    figure = Figure(figsize=size, dpi=100, layout="constrained")
    places = figure.subplots(rows, columns, squeeze=False).ravel()
    names = list(dict.fromkeys(name for points in panels.values() for name in points))
    styles = dict(zip(names, itertools.cycle(itertools.product(MARKS, COLOURS)), strict=False))
    drawn = {}
    for axes, (title, points) in zip(places, panels.items(), strict=False):
        drawn |= _panel(axes, title, points, styles)
        axes.xaxis.set(major_locator=LogLocator(subs=(1, 2, 5)), minor_locator=NullLocator())
        axes.xaxis.set_major_formatter("{x:g}")
    for axes in places[len(panels) :]:
        axes.remove()
    figure.legend(
        [drawn[name] for name in names], names, loc="outside right upper", frameon=False, fontsize=9
    )
    with replaced(path) as temporary:
        figure.savefig(temporary, format="png")


def _panel(axes, title: str, points: Points, styles: dict[str, tuple[str, str]]) -> dict:
    """Draw one panel; return what stands for each method."""
    drawn = {
        name: axes.scatter(*place, marker=styles[name][0], color=styles[name][1], zorder=2)
        for name, place in points.items()
    }
    axes.set_xscale("log")
    axes.margins(x=0.1, y=0.1)
    axes.grid(color="#dddddd", linewidth=0.5)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(title, fontsize=10)
    axes.set(xlabel="seconds a megapixel", ylabel="PSNR, dB")
    return drawn
