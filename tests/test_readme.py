"""What README.md and its companions name is there."""

import re
import textwrap
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nlrn_jax
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


def test_the_recipes_name_where_each_published_set_comes_from():
    links = re.findall(r"\[([^\]]+)\]\(https?:", (ROOT / "configs/README.md").read_text())
    named = {name.lower() for link in links for name in link.split(", ")}
    assert {"bsds500", "t91", *map(str.lower, SETS)} <= named


def test_the_programs_in_the_readme_run():
    """Those of "In your own program", one after another, as they stand there."""
    text = (ROOT / "README.md").read_text().partition("## In your own program")[2]
    text = text.partition("## Layout")[0]
    blocks = re.findall(r"(?:^(?:    .*)?\n)+", text, re.MULTILINE)
    restoring, block = (textwrap.dedent(code) for code in blocks if code.strip())
    pixels = np.random.default_rng(0).random((20, 24), np.float32)
    x = jnp.asarray(pixels[None, :8, :9, None])
    _, variables = nlrn_jax.load("denoise")
    names = {"nlrn_jax": nlrn_jax, "jax": jax, "noisy": pixels, "x": x, "on_devices": x}
    restored = names | {"tangents": jax.tree.map(jnp.ones_like, (variables, x))}
    exec(restoring, restored)
    assert restored["image"].shape == (20, 24)
    assert {restored[name].shape for name in ("y", "sharded", "slope")} == {(1, 8, 9, 1)}
    trained = {"noisy": pixels[None, ..., None], "clean": pixels[None, ..., None] ** 2}
    exec(block, trained)
    assert abs(trained["params"]["params"]["NonLocal_1"]["g"]["bias"]).max() > 0


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
