"""What methods reach beside what they take: dB against seconds a megapixel, as one picture."""

import json
import math
from pathlib import Path

from nlrn_jax.training.curves import COLOURS
from nlrn_jax.writing import replaced

COLUMNS = 3  # of panels
SIZE = 4.5, 4.0  # of a panel, inches


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


def _points(means: dict) -> dict[str, tuple[float, float]]:
    """Return seconds a megapixel and dB of the methods that have both, by name."""
    both = {name: (mean["seconds_per_megapixel"], mean["psnr"]) for name, mean in means.items()}
    return {name: (seconds, psnr) for name, (seconds, psnr) in both.items() if seconds and psnr}


def _draw(path: Path, panels: dict[str, dict[str, tuple[float, float]]]) -> None:
    from matplotlib.figure import Figure  # half a second, and only who draws needs it

    columns = min(len(panels), COLUMNS)
    rows = math.ceil(len(panels) / columns)
    size = columns * SIZE[0], rows * SIZE[1]
    figure = Figure(figsize=size, dpi=100, layout="constrained")
    places = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, (title, points) in zip(places, panels.items(), strict=False):
        _panel(axes, title, points)
    for axes in places[len(panels) :]:
        axes.remove()
    with replaced(path) as temporary:
        figure.savefig(temporary, format="png")


def _panel(axes, title: str, points: dict[str, tuple[float, float]]) -> None:
    seconds = [place[0] for place in points.values()]
    middle = math.sqrt(min(seconds) * max(seconds))
    for number, (name, place) in enumerate(points.items()):
        axes.scatter(*place, color=COLOURS[number % len(COLOURS)], zorder=2)
        left = place[0] > middle  # where its name is within the panel
        axes.annotate(name, place, (-7 if left else 7, 0), textcoords="offset points",
                      ha="right" if left else "left", va="center", fontsize=8)  # fmt: skip
    axes.set_xscale("log")
    axes.margins(x=0.15, y=0.15)
    axes.grid(color="#dddddd", linewidth=0.5)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set(title=title, xlabel="seconds a megapixel", ylabel="PSNR, dB")
    axes.title.set_fontsize(10)
