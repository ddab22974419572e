"""A page with pictures that is one file: no server, no network, any browser.

`page/` holds its HTML, style and scripts, which draw what they find in its data.
"""

import base64
import html
import importlib.resources
import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image as Pillow


class Album:
    """The pictures of a page, each once, as data URIs."""

    def __init__(self):
        self.pictures: list[str] = []
        self._places: dict[Path, int] = {}

    def add(self, path: Path) -> int:
        """Embed a PNG file as it is; return its number."""
        if path not in self._places:
            self._places[path] = self.embed(path.read_bytes())
        return self._places[path]

    def draw(self, indices: np.ndarray, colours: np.ndarray) -> int:
        """Embed uint8 [H, W] indices of uint8 [256, 3] colours; return the number."""
        picture = Pillow.fromarray(indices)
        picture.putpalette(colours.tobytes())
        file = io.BytesIO()
        picture.save(file, "PNG", optimize=True)
        return self.embed(file.getvalue())

    def embed(self, content: bytes, format: str = "PNG") -> int:
        """Embed a picture that is encoded already; return its number."""
        encoded = base64.b64encode(content).decode("ascii")
        self.pictures.append(f"data:image/{format.lower()};base64,{encoded}")
        return len(self.pictures) - 1

    @property
    def size(self) -> int:
        """Return how many bytes of a page the pictures take."""
        return sum(map(len, self.pictures))


def filled(data: dict, scripts: Sequence[str]) -> str:
    """Return the text of a page: the template with these scripts of `page/` and this data.

    Args:
      data: its title, and what the scripts draw. Of it no character can end the script it is in.
      scripts: one after another in one module.
    """
    files = importlib.resources.files("nlrn_jax.looking") / "page"

    def text(name: str) -> str:
        return (files / name).read_text(encoding="utf-8")

    page = text("page.html").replace("{{title}}", html.escape(data["title"]))
    page = page.replace("{{style}}", text("page.css"))
    page = page.replace("{{script}}", "\n".join(map(text, scripts)))
    return page.replace("{{data}}", json.dumps(data, allow_nan=False).replace("<", "\\u003c"))
