"""What README.md and its companions name is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = ["README.md", "configs/README.md", "launch/README.md", "tests/bench/README.md"]


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_a_command_or_picture_names_is_there(page):
    text = (ROOT / page).read_text()
    named = set(re.findall(r"\b(?:configs|launch|tests)/(?:\w+/)*\w+\.(?:py|sh|md|png)\b", text))
    assert len(named) > 3
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page):
    text, folder = (ROOT / page).read_text(), (ROOT / page).parent
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", text)
    assert [link for link in links if not (folder / link).exists()] == []


def test_a_reader_who_decides_in_two_minutes_has_the_time():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120
