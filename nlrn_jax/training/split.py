"""Which pictures a run learns from and which it keeps out, recorded in `data.json`.

The record is made when a run starts, and holds from then on: what is added to the folder later, or
is renamed, cannot move a picture from one side to the other. A picture is known by its pixels.
"""

import collections
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import jax

from nlrn_jax import writing
from nlrn_jax.data.sources import Image
from nlrn_jax.errors import UserError

NAME = "data.json"
_SHOWN = 3  # names in a message


class Split(NamedTuple):
    """The two sides of `data.train`, and what is on neither."""

    training: list[Image]
    held_out: list[Image]
    left_out: list[Image]
    why: str = ""  # they are left out

    def remark(self) -> str:
        """Say in one line what is on neither side, if anything is."""
        if not self.left_out:
            return ""
        return (
            f"left out of data.train, {self.why}: {_names([image.name for image in self.left_out])}"
        )


def split(workdir: str | Path, images: list[Image], count: int) -> Split:
    """Split images as the run of a workdir did when it started, or as a new one does.

    Args:
      workdir: folder of the run; it need not be there.
      images: of `data.train`, uint8 as decoded.
      count: how many a new run holds out, evenly spaced in their order.

    Raises:
      UserError: nothing would be left to train on, or a picture that the run has learned from, or
        keeps out, is no longer there.
    """
    recorded = _read(workdir)
    if recorded is None:
        return _without_copies(*hold_out(images, count))
    rest = _by_digest(images)
    training, held_out = (_take(workdir, recorded[side], rest) for side in ("training", "held_out"))
    new = [image for left in rest.values() for image in left]
    return Split(training, held_out, new, "being new since the run started")


def is_recorded(workdir: str | Path) -> bool:
    """Tell whether a run has its split on record; those of earlier versions have not."""
    return (Path(workdir) / NAME).is_file()


def held_out_of(workdir: str | Path, images: list[Image], count: int) -> list[Image]:
    """Return what a run keeps out; arguments and errors as those of `split`.

    What it learned from may be gone by now.
    """
    recorded = _read(workdir)
    if recorded is None:
        return hold_out(images, count)[1]
    return _take(workdir, recorded["held_out"], _by_digest(images))


def _without_copies(training: list[Image], held_out: list[Image]) -> Split:
    """Leave copies of held-out pictures out of training: they would be validated on, and known.

    Where there is nothing else to train on, they stay.
    """
    known = set(map(digest, held_out))
    copies, others = [], []
    for image in training:
        (copies if digest(image) in known else others).append(image)
    if copies and not others:
        return Split(training, held_out, [])
    return Split(others, held_out, copies, "being copies of held-out pictures")


def record_split(workdir: str | Path, training: list[Image], held_out: list[Image]) -> None:
    """Record the two sides, or check that they are those on record.

    Raises:
      UserError: the run started with others.
    """
    sides = {"training": _entries(training), "held_out": _entries(held_out)}
    recorded = _read(workdir)
    if recorded is None:
        if not jax.process_index():  # the first process writes for all
            writing.write_json(Path(workdir) / NAME, sides)
        return
    for side, entries in sides.items():
        if [entry["pixels"] for entry in entries] != [entry["pixels"] for entry in recorded[side]]:
            raise UserError(
                f"{Path(workdir) / NAME}: the run started with other pictures ({side}), or in "
                "another order: give it those, or name another --workdir"
            )


def hold_out(images: list[Image], count: int) -> tuple[list[Image], list[Image]]:
    """Split into training and held-out images, the latter evenly spaced in their order.

    Raises:
      UserError: nothing would be left to train on.
    """
    if count >= len(images):
        raise UserError(
            f"data.holdout={count} leaves none of {len(images)} images to train on: lower it, "
            "as in --config.data.holdout=0, or name more images in data.train"
        )
    held = {(2 * k + 1) * len(images) // (2 * count) for k in range(count)}
    return (
        [image for i, image in enumerate(images) if i not in held],
        [image for i, image in enumerate(images) if i in held],
    )


def digest(image: Image) -> str:
    """Return what an image is known by: a hash of its shape and pixels, 32 hexadecimal digits."""
    found = hashlib.blake2b(repr(image.pixels.shape).encode(), digest_size=16)
    found.update(image.pixels.tobytes())
    return found.hexdigest()


def _read(workdir: str | Path) -> dict | None:
    path = Path(workdir) / NAME
    if not is_recorded(workdir):
        return None
    try:
        recorded = json.loads(path.read_text(encoding="utf-8"))
        for side in ("training", "held_out"):
            [(entry["name"], entry["pixels"]) for entry in recorded[side]]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path}: damaged, so it is not known which pictures the run keeps out; bring it back "
            "from a copy, or name another --workdir"
        ) from error
    return recorded


def _entries(images: list[Image]) -> list[dict[str, str]]:
    return [{"name": image.name, "pixels": digest(image)} for image in images]


def _by_digest(images: list[Image]) -> dict[str, list[Image]]:
    found = collections.defaultdict(list)
    for image in images:
        found[digest(image)].append(image)
    return found


def _take(
    workdir: str | Path, entries: Sequence[dict[str, str]], rest: dict[str, list[Image]]
) -> list[Image]:
    """Take recorded pictures, in their order, out of those that are there."""
    missing = [entry["name"] for entry in entries if not rest.get(entry["pixels"])]
    if missing:
        raise UserError(
            f"{workdir}: {len(missing)} of {len(entries)} pictures that the run started with are "
            f"no longer in data.train, or have other pixels ({_names(missing)}): put them back, "
            "or name another --workdir"
        )
    return [_take_one(entry, rest[entry["pixels"]]) for entry in entries]


def _take_one(entry: dict[str, str], alike: list[Image]) -> Image:
    """Take one of several copies, the one of its name if that is there."""
    names = [image.name for image in alike]
    return alike.pop(names.index(entry["name"]) if entry["name"] in names else 0)


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
