"""The page of pictures before and after in a browser: divider, list, and panes that agree."""

import numpy as np
import pytest
from test_report import NASTY
from windows import DESKTOP, PHONE

from nlrn_jax.looking.pairs import write_pairs
from nlrn_jax.pictures.files import write_pixels
from nlrn_jax.restoring.jobs import Pair

NAMES = ["a.png", "b.png", f"{NASTY}.png".replace("/", "")]


@pytest.fixture
def pairs_page(tmp_path):
    """A page of three pictures, one of which has no result any more, and names that could harm."""
    found = []
    for number, name in enumerate(NAMES):
        found.append(Pair(tmp_path / "photos" / name, tmp_path / "out" / name))
        for path in found[-1]:
            write_pixels(path, np.full((60, 80 + number, 3), 50 * number, np.uint8))
    found[1].result.unlink()
    write_pairs(tmp_path / "compare.html", found, tmp_path / "photos", command="restore")
    return tmp_path / "compare.html"


def transforms(page):
    return page.locator(".pane img").evaluate_all(
        "images => images.map(image => new DOMMatrix(getComputedStyle(image).transform).a)"
    )


@pytest.mark.parametrize("window", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_a_picture_is_chosen_from_the_list_and_shown_before_and_after(
    open_page, pairs_page, window
):
    page = open_page(pairs_page, window)
    title = page.locator(".viewer h3")
    assert title.inner_text().startswith("a.png 80 × 60")
    assert [text.strip() for text in page.locator(".tag").all_inner_texts()] == ["before", "after"]
    page.get_by_role("button", name=NAMES[2], exact=True).click()
    assert title.inner_text().startswith(NAMES[2])
    page.get_by_role("button", name="Next image").click()
    assert title.inner_text().startswith("a.png")  # past the one that has no result
    assert "cannot be shown" in page.locator(".list").inner_text()
    assert page.get_by_role("button", name="b.png", exact=True).count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= window["width"]
    loaded = page.locator("img").evaluate_all("all => all.every(i => i.complete && i.naturalWidth)")
    assert loaded


def test_the_divider_moves_and_all_panes_zoom_together(open_page, pairs_page):
    page = open_page(pairs_page)
    assert transforms(page) == [1] * 4  # two sides behind the divider, two pictures below
    page.get_by_role("button", name="Zoom in").click()
    assert transforms(page) == [1.5] * 4
    slider = page.get_by_role("slider")
    slider.focus()
    page.keyboard.press("ArrowRight")
    assert float(slider.input_value()) == 50.5
    assert page.locator(".facts code").inner_text().strip() == "restore"


def test_a_page_without_a_picture_says_so_and_fails_in_nothing(open_page, tmp_path):
    pair = Pair(tmp_path / "photos" / "a.png", tmp_path / "photos" / "b.png")
    write_pairs(tmp_path / "compare.html", [pair], tmp_path / "photos")
    page = open_page(tmp_path / "compare.html")
    assert page.locator(".viewer").count() == 0
    assert "no such file" in page.locator(".list").inner_text()
