"""README.md: what it names is there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_the_layout_names_every_module_and_no_other():
    layout = README.partition("## Layout")[2].partition("    configs/")[0]
    modules = {path.name for path in (ROOT / "nlrn_jax").glob("*.py")} - {"__init__.py"}
    assert sorted(re.findall(r"\w+\.py", layout)) == sorted(modules)


def test_every_file_that_a_command_or_picture_names_is_there():
    named = set(re.findall(r"\b(?:configs|launch|tests)/\w+\.(?:py|sh|md|png)\b", README))
    assert len(named) > 10
    assert [name for name in named if not (ROOT / name).exists()] == []
