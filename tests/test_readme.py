"""README.md: what it names is there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_the_layout_names_every_room_and_no_other():
    layout = README.partition("## Layout")[2].partition("    configs/")[0]
    rooms = {face.parent.name for face in (ROOT / "nlrn_jax").glob("*/__init__.py")}
    assert sorted(re.findall(r"(\w+)/ ", layout)) == sorted(rooms | {"nlrn_jax"})


def test_every_file_that_a_command_or_picture_names_is_there():
    named = set(re.findall(r"\b(?:configs|launch|tests)/(?:\w+/)*\w+\.(?:py|sh|md|png)\b", README))
    assert len(named) > 10
    assert [name for name in named if not (ROOT / name).exists()] == []
