"""Figures show the numbers they are given, and replace an older file as a whole."""

import numpy as np
import pytest
from PIL import Image

from nlrn_jax.training import curves
from nlrn_jax.training.curves import Curve

LINES = [
    {"step": 3, "psnr": 20.0},  # by a version that did not know the input's
    {"step": 5, "psnr": 20.0, "baseline": 20.25},
    {"step": 8, "validation_psnr": 21.0, "validation_baseline": 20.5},
    {"step": 10, "psnr": None, "baseline": 20.0},
    {"step": 12, "psnr": 20.0, "baseline": None},
    {"step": 15, "psnr": 22.0, "baseline": 20.0, "validation_psnr": 23.0,
     "validation_baseline": 20.5},
]  # fmt: skip
CURVES = [
    Curve("a", [10, 20], [60.0, 150.0], [24.0, 25.0]),
    Curve("b", [10, 20, 30], [90.0, 200.0, 330.0], [24.5, 25.5, 25.7]),
]


@pytest.fixture
def drawn(monkeypatch):
    """List the axes of what is drawn."""
    axes = []
    monkeypatch.setattr(curves, "_save", lambda drawing, path: axes.extend(drawing.axes))
    return axes


def points(line):
    return list(zip(*map(np.ndarray.tolist, map(np.asarray, line.get_data())), strict=True))


def test_a_run_is_drawn_as_its_gain_over_the_input_without_what_is_not_finite(drawn, tmp_path):
    curves.draw_curve(tmp_path / "curve.png", LINES)
    training, validation, baseline = drawn[0].get_lines()
    assert points(training) == [(5, -0.25), (15, 2.0)]
    assert points(validation) == [(8, 0.5), (15, 2.5)]
    assert set(baseline.get_ydata()) == {0}
    assert baseline.get_label() == "input (20.50 dB in validation)"
    assert drawn[0].get_ylabel() == "gain of PSNR over the input, dB"


def test_a_record_of_an_earlier_version_still_shows_its_validations(drawn, tmp_path):
    lines = [{k: v for k, v in line.items() if k != "baseline"} for line in LINES]
    curves.draw_curve(tmp_path / "curve.png", lines)
    training, validation, _ = drawn[0].get_lines()
    assert (points(training), points(validation)) == ([], [(8, 0.5), (15, 2.5)])


def test_a_curve_is_drawn_once_and_nothing_of_it_is_cut_off(tmp_path, monkeypatch):
    """A computed layout draws all twice, a third of a run of seconds."""
    drawings = []

    def look(drawing, path):
        draw = drawing.draw
        drawing.draw = lambda renderer: (drawings.append(renderer), draw(renderer))
        drawing.savefig(path)
        box = drawing.get_tightbbox()
        assert 0 <= box.x0 < box.x1 <= 6 and 0 <= box.y0 < box.y1 <= 4  # inches

    monkeypatch.setattr(curves, "_save", look)
    for factor, stretch in ((0.01, 1), (1, 20_000), (12, 100)):
        scaled = [{name: factor * v if v else v for name, v in line.items()} for line in LINES]
        steps = [{"step": stretch * line["step"]} for line in LINES]
        lines = [figures | step for figures, step in zip(scaled, steps, strict=True)]
        curves.draw_curve(tmp_path / "curve.png", lines)
    assert len(drawings) == 3


def test_runs_are_drawn_by_step_and_by_time(drawn, tmp_path):
    curves.draw_runs(tmp_path / "compare.png", CURVES)
    by_step, by_time = drawn
    assert points(by_step.get_lines()[1]) == [(10, 24.5), (20, 25.5), (30, 25.7)]
    assert points(by_time.get_lines()[0]) == [(1.0, 24.0), (2.5, 25.0)]
    assert by_time.get_xlabel() == "minutes of training"
    assert legend(by_step) == ["a", "b"]


def legend(axes):
    """Return the names in the legend of the figure of axes."""
    (legend,) = axes.figure.legends
    return [text.get_text() for text in legend.get_texts()]


@pytest.mark.parametrize("count", [2, 7, 21])
def test_a_legend_covers_no_curve_and_is_not_cut_off(count, tmp_path, monkeypatch):
    names = [f"filters64_states{k}" for k in range(count)]

    def look(drawing, path):
        drawing.draw_without_rendering()
        box = drawing.legends[0].get_window_extent()
        assert all(not box.overlaps(axes.get_window_extent()) for axes in drawing.axes)
        assert drawing.bbox.x1 >= box.x1 and box.y0 >= 0
        assert all(axes.get_window_extent().width > 300 for axes in drawing.axes)
        assert legend(drawing.axes[0]) == names

    monkeypatch.setattr(curves, "_save", look)
    many = [CURVES[1]._replace(name=name) for name in names]
    curves.draw_runs(tmp_path / "compare.png", many)
    curves.draw_study(tmp_path / "study.png", "member", names, many, 20.2)


def test_without_the_time_of_one_run_there_is_no_panel_of_times(drawn, tmp_path):
    curves.draw_runs(tmp_path / "compare.png", [CURVES[0], CURVES[1]._replace(seconds=[])])
    assert [axes.get_xlabel() for axes in drawn] == ["step"]


def test_many_runs_never_look_the_same():
    styles = [tuple(sorted(style.items())) for style in curves._styles(21)]
    assert len(set(styles)) == 21
    assert len(curves._styles(50)) == 50


@pytest.mark.parametrize(
    "values, joined, ticks",
    [((1, 8), True, ["1", "8"]), ((5, None), False, ["a", "b"]), ((True, False), False, ["a", "b"])]
)  # fmt: skip
def test_a_study_of_numbers_is_a_line_and_any_other_is_named(values, joined, ticks, tmp_path,
                                                             monkeypatch):  # fmt: skip
    seen = {}

    def look(drawing, path):
        left, right = drawing.axes
        drawing.canvas.draw()
        seen["ticks"] = [text.get_text() for text in left.get_xticklabels()]
        seen["joined"] = left.get_lines()[0].get_linewidth() > 0
        seen["last"] = left.get_lines()[0].get_ydata().tolist()
        seen["curves"] = len(right.get_lines())

    monkeypatch.setattr(curves, "_save", look)
    curves.draw_study(tmp_path / "study.png", "model.steps", values, CURVES, 20.2)
    assert seen == {"ticks": ticks, "joined": joined, "last": [25.0, 25.7], "curves": 2}


@pytest.mark.parametrize("name, turn", [("q5", 0), ("filters64_states4", 20)])
def test_long_names_below_a_study_are_turned(name, turn, tmp_path, monkeypatch):
    turns = []

    def look(drawing, path):
        drawing.canvas.draw()
        turns.extend(label.get_rotation() for label in drawing.axes[0].get_xticklabels())

    monkeypatch.setattr(curves, "_save", look)
    named = [curve._replace(name=name + curve.name) for curve in CURVES]
    curves.draw_study(tmp_path / "study.png", "member", ["", None], named, 20.2)
    assert turns == [turn, turn]


def test_a_study_of_inputs_that_are_perfect_says_no_figure_of_theirs(tmp_path, monkeypatch):
    titles = []

    def look(drawing, path):
        titles.append(drawing.legends[0].get_title().get_text())

    monkeypatch.setattr(curves, "_save", look)
    for baseline in (20.2, None):
        curves.draw_study(tmp_path / "study.png", "model.steps", (1, 8), CURVES, baseline)
    assert titles == ["input: 20.20 dB", ""]


def test_a_figure_is_a_png_and_leaves_nothing_else(tmp_path):
    curves.draw_curve(tmp_path / "new" / "curve.png", LINES)
    with Image.open(tmp_path / "new" / "curve.png") as picture:
        assert picture.format == "PNG" and picture.size == (600, 400)
        assert len(picture.convert("RGB").getcolors(1 << 20)) > 10  # not blank
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["curve.png"]


def test_a_figure_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "curve.png"
    curves.draw_curve(path, LINES)
    before = path.read_bytes()

    def fill(self, place, **_):
        place.write_bytes(b"half a")
        raise OSError("no space left")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", fill)
    with pytest.raises(OSError, match="no space"):
        curves.draw_curve(path, LINES)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["curve.png"]


def test_a_run_without_a_figure_yet_can_be_drawn(drawn, tmp_path):
    curves.draw_curve(tmp_path / "curve.png", [])
    training, validation, _ = drawn[0].get_lines()
    assert points(training) == points(validation) == []


@pytest.mark.parametrize(
    "seconds, unit", [(1, "seconds"), (119, "seconds"), (120, "minutes"), (7200, "hours"),
                      (4e5, "days")]
)  # fmt: skip
def test_times_are_a_few_of_their_unit(seconds, unit):
    assert curves._time_unit(seconds)[0] == unit
