"""The page of an evaluation in a browser: its slider moves, its tables sort, its panes agree."""

import functools

import numpy as np
import pytest
from test_report import METHODS, NASTY, write_results
from windows import DESKTOP, PHONE

from nlrn_jax.looking.report import write_report
from nlrn_jax.pictures.files import write_pixels


@pytest.fixture
def report(photographs, tmp_path):
    """A report with everything in it, and names that could do harm."""
    photographs[1] = photographs[1]._replace(name=NASTY)
    methods = METHODS | {"a network " * 8 + NASTY: ("network", 0.03)}
    results = write_results(tmp_path, photographs, methods)
    second = results["tables"][0] | {"label": "sigma 50"}
    write_results(tmp_path, photographs, methods, tables=[results["tables"][0], second])
    lines = [
        f'{{"step": {s}, "psnr": {20 + s / 9}, "baseline": 20, "validation_psnr": 25,'
        '"validation_baseline": 20}\n'
        for s in (1, 50, 99)
    ]
    (tmp_path / "metrics.jsonl").write_text("".join(lines))
    write_pixels(tmp_path / "explain" / "wave_3_4.png", np.zeros((300, 900, 3), np.uint8))
    return write_report(tmp_path, [tmp_path])


@pytest.fixture
def opened(open_page, report):
    """Return a function that opens the report in a window."""
    return functools.partial(open_page, report)


def column(page, index):
    """Read a column of the first table of images."""
    return (
        page.locator(".list table").first.locator(f"tbody td:nth-child({index})").all_inner_texts()
    )


def transforms(page):
    """Return scales and shifts, as shares of the pane, of all pictures of the first viewer."""
    return (
        page.locator(".viewer")
        .first.locator(".pane img")
        .evaluate_all(
            """images => images.map(image => {
             const { a, d, e, f } = new DOMMatrix(getComputedStyle(image).transform);
             const pane = image.closest(".pane");
             return [a, d, e / pane.clientWidth, f / pane.clientHeight];
           })"""
        )
    )


def divider(page):
    """Return where the divider stands, as a share of the main pane."""
    return page.locator(".divider").first.evaluate(
        "line => (line.offsetLeft + 1) / line.closest('.pane').clientWidth"
    )


def test_the_slider_moves_the_divider_by_keyboard_and_by_pointer(opened):
    page = opened()
    slider = page.get_by_role("slider").first
    assert divider(page) == pytest.approx(0.5, abs=0.01)
    slider.focus()
    for _ in range(20):
        page.keyboard.press("ArrowRight")
    assert divider(page) == pytest.approx(0.6, abs=0.01)
    clip = page.locator(".clip").first.evaluate("clip => getComputedStyle(clip).clipPath")
    assert "40%" in clip or "60%" in clip  # 100% - 60%, however the browser writes it
    pane = page.locator(".viewer .pane").first
    pane.scroll_into_view_if_needed()
    box = pane.bounding_box()
    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + 60, steps=3)
    page.mouse.up()
    assert divider(page) == pytest.approx(0.25, abs=0.01)
    assert float(slider.input_value()) == pytest.approx(25, abs=1)


def test_the_worst_image_comes_first_and_a_header_sorts_by_pointer_and_keyboard(opened):
    page = opened()
    gains = [float(text) for text in column(page, 2)]
    assert gains == sorted(gains) and len(set(gains)) == 4
    table = page.locator(".list table").first
    head = table.get_by_role("columnheader", name="gain dB")
    assert head.get_attribute("aria-sort") == "ascending"
    head.get_by_role("button").focus()
    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    assert [float(text) for text in column(page, 2)] == gains[::-1]
    table.get_by_role("columnheader", name="image").get_by_role("button").click()
    assert column(page, 1) == [NASTY, "0.png", "2.png", "3.png"]
    assert head.get_attribute("aria-sort") is None


def test_an_image_opens_from_its_row_and_from_the_one_before(opened):
    page = opened()
    names = column(page, 1)
    title = page.locator(".viewer h3").first
    assert title.inner_text().startswith(names[0])
    page.locator(".list table").first.get_by_role("button", name=names[2], exact=True).press(
        "Enter"
    )
    assert title.inner_text().startswith(names[2])
    page.get_by_role("button", name="Next image").first.click()
    assert title.inner_text().startswith(names[3])
    assert page.locator("tr.chosen").first.locator("td").first.inner_text() == names[3]


def test_zoom_and_pan_are_the_same_in_all_panes(opened):
    page = opened()
    assert len(transforms(page)) == 2 + 5 + 4  # two sides, five pictures, four error maps
    np.testing.assert_allclose(transforms(page), [[1, 1, 0, 0]] * 11, atol=1e-6)
    page.get_by_role("button", name="Zoom in").first.click()
    page.locator(".strip .pane").nth(3).focus()
    page.keyboard.press("+")
    page.keyboard.press("ArrowRight")
    moved = transforms(page)
    np.testing.assert_allclose(moved, [moved[0]] * 11, atol=2e-3)
    assert moved[0][0] == pytest.approx(1.5**2) and moved[0][2] < moved[0][3] < 0
    box = page.locator(".strip .pane").nth(1).bounding_box()
    page.mouse.move(box["x"] + 20, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + 30, box["y"] + 20, steps=2)
    page.mouse.up()
    dragged = transforms(page)
    np.testing.assert_allclose(dragged, [dragged[0]] * 11, atol=2e-3)
    assert dragged[0][2] - moved[0][2] == pytest.approx(10 / box["width"], abs=0.01)
    page.keyboard.press("0")
    np.testing.assert_allclose(transforms(page), [[1, 1, 0, 0]] * 11, atol=1e-6)


def test_the_sides_can_be_chosen_and_stay_for_the_next_image(opened):
    page = opened()
    left, right = (
        page.get_by_role("combobox", name="Left picture").first,
        page.get_by_role("combobox", name="Right picture").first,
    )
    assert left.input_value() == "noisy" and right.input_value() == "NLRN"
    left.select_option("tv")
    right.select_option("original")
    assert page.locator(".tag.left").first.inner_text().startswith("tv")
    page.get_by_role("button", name="Next image").first.click()
    assert (left.input_value(), right.input_value()) == ("tv", "original")
    shown = page.locator(".clip img").first.get_attribute("src")
    assert shown == page.locator(".strip figure").nth(1).locator("img").first.get_attribute("src")


WINDOWS = pytest.mark.parametrize("window", [DESKTOP, PHONE], ids=["desktop", "phone"])


@WINDOWS
def test_the_page_begins_with_a_picture_and_ends_with_bookkeeping(opened, window):
    page = opened(window)
    first = page.locator(".pane img").first.bounding_box()
    assert first["y"] < 300 and first["width"] > 0.4 * window["width"]
    heads = page.locator("h1, h2, .pane, .list, .means, .curves, .explanation, .facts")
    order = heads.evaluate_all(
        "all => all.map(e => e.matches('h1, h2') ? e.tagName : e.className.split(' ')[0])"
    )
    shown = [name for index, name in enumerate(order) if name not in order[:index]]
    assert shown == ["H1", "H2", "pane", "list", "means", "curves", "explanation", "facts"]
    assert page.locator("h2").last.inner_text() == "How this was measured"


def test_every_part_can_be_reached_from_the_top(opened):
    page = opened()
    links = page.get_by_role("navigation").get_by_role("link")
    assert links.all_inner_texts() == page.locator("h2").all_inner_texts()
    links.last.click()
    assert page.locator(".facts").evaluate("e => e.getBoundingClientRect().top") < 900


@WINDOWS
def test_no_figure_of_a_table_is_cut_off(opened, window):
    page = opened(window)
    for table in page.get_by_role("table").all():
        left, right = table.evaluate(
            "t => (b => [b.left, b.right])(t.closest('.scroll').getBoundingClientRect())"
        )
        cells = table.locator("th, td").evaluate_all(
            "all => all.map(c => { const r = document.createRange(); r.selectNodeContents(c);"
            " const b = r.getBoundingClientRect(); return [b.left, b.right, c.innerText]; })"
        )
        assert cells and all(left <= a <= b <= right + 1 for a, b, text in cells if text)
    assert page.locator("table.blocks").count()  # long names of methods: no table is so narrow


@pytest.mark.parametrize("scheme", ["light", "dark"])
@WINDOWS
def test_nothing_is_wider_than_the_window_and_text_stands_out(opened, window, scheme):
    page = opened(window, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= window["width"]
    paper, ink = page.evaluate(
        """() => ["backgroundColor", "color"].map(name =>
             getComputedStyle(document.body)[name].match(/[\\d.]+/g).slice(0, 3).map(Number))"""
    )
    assert (sum(paper) < sum(ink)) == (scheme == "dark")
    assert abs(sum(paper) - sum(ink)) > 3 * 150
    loaded = page.locator("img").evaluate_all("all => all.every(i => i.complete && i.naturalWidth)")
    assert loaded


def test_curves_fill_the_window_and_name_their_figures(opened):
    page = opened(PHONE)
    svg = page.get_by_role("img", name="Gain by training step")
    assert 300 < svg.bounding_box()["width"] <= 350
    assert svg.locator("circle").count() == 3
    assert svg.locator("title").first.text_content() == "step 1: 5.00 dB"
    explanation = page.get_by_role("img", name="wave, row 3, column 4")
    assert explanation.bounding_box()["width"] > 600  # it scrolls in its own frame


def test_two_fingers_zoom(opened):
    page = opened(PHONE, has_touch=True)
    pane = page.locator(".viewer .pane").first
    pane.scroll_into_view_if_needed()
    box = pane.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    session = page.context.new_cdp_session(page)

    def touch(kind, apart):
        points = [{"x": x - apart, "y": y}, {"x": x + apart, "y": y}] if apart else []
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", 20)
    touch("touchMove", 30)
    touch("touchMove", 40)
    touch("touchEnd", 0)
    assert transforms(page)[0][0] == pytest.approx(2, rel=0.05)
