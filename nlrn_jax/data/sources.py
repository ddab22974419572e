"""Where images come from: a string names them, `read_images` decodes them once.

    samples             photographs that scikit-image and scikit-learn ship: no download
    folder:PATH         every picture below PATH
    tfds:NAME/CONFIG    a TensorFlow dataset prepared as array records; `:SPLIT` may follow
    A,B                 several of these together

Images are uint8, [H, W] where they are grey, else [H, W, 3].
"""

import importlib.resources
import itertools
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nlrn_jax.errors import UserError
from nlrn_jax.pictures import finding
from nlrn_jax.pictures.files import read_all
from nlrn_jax.pictures.picture import MAX_PIXELS

# Textures, diagrams, text, medical and astronomical pictures are left out: they are no photographs.
SAMPLES = {
    "skimage.data": (
        "astronaut.png", "camera.png", "chelsea.png", "coffee.png", "coins.png", "moon.png",
        "motorcycle_left.png", "rocket.jpg",
    ),
    "sklearn.datasets.images": ("china.jpg", "flower.jpg"),
}  # fmt: skip


Say = Callable[[str], None]  # is called with a line for people


class Image(NamedTuple):
    """A decoded picture: its name and its uint8 pixels, [H, W] or [H, W, 3]."""

    name: str
    pixels: np.ndarray


def split_sources(source: str) -> list[str]:
    """Split 'A,B' into its parts.

    Raises:
      UserError: it names nothing.
    """
    parts = [part.strip() for part in source.split(",") if part.strip()]
    if not parts:
        raise UserError(f"data source {source!r} names nothing: try samples or folder:PATH")
    return parts


def folders(source: str) -> list[Path]:
    """Return the folders of pictures that a source names."""
    named = [part.partition(":") for part in split_sources(source)]
    return [Path(name).expanduser() for kind, _, name in named if kind == "folder" and name]


def read_images(
    source: str, max_pixels: int = MAX_PIXELS, say: Say = lambda line: None
) -> list[Image]:
    """Decode all images of a source, sorted by name within each of its parts.

    Args:
      source: `samples`, `folder:PATH`, `tfds:NAME/CONFIG`, or several with commas between.
      max_pixels: of a picture file; a header that says more is taken for damage.
      say: called with what was converted and what was passed over in folders, by kind.

    Raises:
      UserError: an unknown kind of source, an empty one, a missing folder, or pictures that cannot
        be read.
    """
    parts = (_read_part(part, max_pixels, say) for part in split_sources(source))
    return list(itertools.chain.from_iterable(parts))


def require_size(images: list[Image], side: int, need: str) -> None:
    """Refuse images that a square of `side` does not fit into.

    Raises:
      UserError: naming the first such image, their number, and `need`, what the side is for.
    """
    small = [image for image in images if min(image.pixels.shape[:2]) < side]
    if small:
        name, pixels = small[0]
        raise UserError(
            f"{name}: {pixels.shape[1]} x {pixels.shape[0]} pixels are less than the "
            f"{side} x {side} that {need} needs ({len(small)} of {len(images)} images are too "
            "small): use larger ones, or leave them out"
        )


def _read_part(part: str, max_pixels: int, say: Say) -> list[Image]:
    kind, _, name = part.partition(":")
    if part == "samples":
        return _read_samples()
    if kind == "folder" and name:
        return _read_folder(Path(name).expanduser(), max_pixels, say)
    if kind == "tfds" and name:
        return _read_tfds(name)
    folder = part if Path(part).expanduser().is_dir() else "PATH"
    raise UserError(
        f"data source {part!r} is unknown: use samples, folder:{folder} or tfds:NAME/CONFIG[:SPLIT]"
    )


def _read_samples() -> list[Image]:
    paths = [
        Path(importlib.resources.files(package) / name)
        for package in SAMPLES
        for name in SAMPLES[package]
    ]
    paths = sorted(paths, key=lambda path: path.name)
    return [
        Image(str(path), read.pixels) for path, read in zip(paths, read_all(paths), strict=True)
    ]


def _read_folder(folder: Path, max_pixels: int, say: Say) -> list[Image]:
    paths, passed = finding.search(folder)
    reads = read_all(paths, max_pixels)
    noted = defaultdict(list)
    for path, read in zip(paths, reads, strict=True):
        for note in read.notes:
            noted[note].append(path)
    for note, those in noted.items():
        where = f"{len(those)} pictures, the first {those[0].name}" if those[1:] else those[0].name
        say(f"{folder}: {note} ({where})")
    if passed:
        say(f"{folder}: {finding.said(passed)}")
    return [Image(str(path), read.pixels) for path, read in zip(paths, reads, strict=True)]


def _read_tfds(name: str) -> list[Image]:
    import tensorflow_datasets as tfds  # slow to import, and only this source needs it

    name, _, split = name.partition(":")
    try:
        records = tfds.data_source(name, split=split or "train", download=False)
    except Exception as error:  # tfds raises many kinds, from its registry to its file readers
        reason = str(error).strip().partition("\n")[0]
        raise UserError(
            f"tfds:{name}: {reason} (prepare it once, TFDS_DATA_DIR names where: "
            f"pip install tensorflow, tfds build {name} --file_format=array_record; reading needs "
            "no TensorFlow)"
        ) from error
    images = [
        Image(f"tfds:{name}[{i}]", _tfds_pixels(name, record)) for i, record in enumerate(records)
    ]
    if not images:
        raise UserError(f"tfds:{name}: the split {split or 'train'} has no examples; name another")
    return images


def _tfds_pixels(name: str, record: dict) -> np.ndarray:
    """Take the high-resolution image of a record: the feature `hr` (div2k) or `image`."""
    for feature in ("hr", "image"):
        if feature in record:
            pixels = np.asarray(record[feature])
            if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[-1] not in (1, 3):
                raise UserError(
                    f"tfds:{name}: feature {feature!r} is {pixels.dtype} {list(pixels.shape)}, "
                    "not a grey or RGB picture of 8 bits"
                )
            return pixels[..., 0] if pixels.shape[-1] == 1 else pixels
    raise UserError(f"tfds:{name}: no feature 'hr' or 'image' among {sorted(record)}")
