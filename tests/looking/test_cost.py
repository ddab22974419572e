"""A picture of dB against seconds a megapixel, of what was timed."""

import json

import numpy as np
import pytest
from matplotlib.figure import Figure

from nlrn_jax.looking.cost import draw_cost
from nlrn_jax.pictures.files import read_pixels


def mean(psnr, seconds):
    return {"psnr": psnr, "ssim": 0.8, "seconds_per_megapixel": seconds}


def table(level, **means):
    return {"benchmark": "set12", "label": f"sigma {level}", "means": means}


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    """Draw tables, and return the figure and the file."""
    figures = []
    save = Figure.savefig

    def kept(figure, *arguments, **options):
        figures.append(figure)
        save(figure, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", kept)

    def draw(*tables):
        (tmp_path / "results.json").write_text(json.dumps({"tables": tables}))
        path = draw_cost(tmp_path)
        return (figures[-1] if path else None), path

    return draw


def shown(axes):
    """Return where the points of a panel stand."""
    return [tuple(points.get_offsets()[0]) for points in axes.collections]


def test_each_method_stands_at_its_time_and_its_decibels(drawn):
    means = {"noisy": mean(20.17, None), "ours": mean(28.6, 9.5), "theirs": mean(28.3, 3.2)}
    figure, path = drawn(table(25, **means))
    (axes,) = figure.axes
    assert shown(axes) == [(9.5, 28.6), (3.2, 28.3)]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["ours", "theirs"]
    assert axes.get_title() == "set12, sigma 25" and axes.get_xscale() == "log"
    assert path.name == "cost.png" and np.ptp(read_pixels(path)) > 100


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7])
def test_each_table_has_a_panel(drawn, count):
    tables = [table(level, a=mean(28.0 + level, 1.0), b=mean(29.0, 2.0)) for level in range(count)]
    figure, _ = drawn(*tables)
    assert [axes.get_title() for axes in figure.axes] == [f"set12, sigma {n}" for n in range(count)]
    assert shown(figure.axes[-1])[0] == (1.0, 27.0 + count)


def test_a_method_looks_the_same_in_each_panel_and_as_no_other(drawn):
    many = {f"network {number}": mean(28.0, 1.0 + number) for number in range(9)}
    figure, _ = drawn(table(15, **many), table(25, **dict(reversed(many.items()))))
    looks = [
        [(*points.get_facecolor()[0], len(points.get_paths()[0].vertices)) for points in of]
        for of in (figure.axes[0].collections, figure.axes[1].collections[::-1])
    ]
    assert looks[0] == looks[1] and len(set(looks[0])) == 9


def test_without_two_times_nothing_is_drawn_and_nothing_old_is_left(drawn, tmp_path):
    (tmp_path / "cost.png").write_text("of earlier results")
    figure, path = drawn(table(25, noisy=mean(20.2, None), ours=mean(28.6, 9.5)))
    assert figure is path is None and not (tmp_path / "cost.png").exists()


def test_what_is_perfect_or_compiled_meanwhile_is_left_out(drawn):
    rest = {"a": mean(28.0, 1.0), "b": mean(29.0, 2.0)}
    figure, _ = drawn(table(0, perfect=mean(None, 3.0), untimed=mean(27.0, None), **rest))
    assert shown(figure.axes[0]) == [(1.0, 28.0), (2.0, 29.0)]
