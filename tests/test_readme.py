"""What README.md and its companions name is there."""

import re
from pathlib import Path

import pytest

from nlrn_jax.scoring.benchmarks import SETS

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


def test_the_readme_names_where_each_published_set_comes_from():
    links = re.findall(r"\[([^\]]+)\]\(https?:", (ROOT / "README.md").read_text())
    named = {name.lower() for link in links for name in link.split(", ")}
    assert {"bsds500", "t91", *map(str.lower, SETS)} <= named


def test_data_sets_of_tensorflow_are_explained():
    for page in ("README.md", "configs/README.md"):
        text = (ROOT / page).read_text()
        assert {"TFDS_DATA_DIR", ":SPLIT]", "needs"} <= set(
            re.findall(r"TFDS_DATA_DIR|:SPLIT\]|needs", text)
        )


def test_all_name_the_same_cuda():
    """The first that each names is that of JAX's newest wheels."""
    pages = (
        "README.md",
        "launch/README.md",
        "launch/multi_gpu.sh",
        "launch/Dockerfile",
        "requirements.txt",
    )
    first = [re.search(r"cuda\d+", (ROOT / page).read_text())[0] for page in pages]
    assert set(first) == {"cuda13"}
