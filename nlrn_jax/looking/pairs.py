"""Pictures before and after they were restored, as one page to look at: no original is needed."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image as Pillow

from nlrn_jax import writing
from nlrn_jax.errors import UserError
from nlrn_jax.looking.album import Album, filled
from nlrn_jax.pictures import codec
from nlrn_jax.pictures.files import eight_bits, open_picture
from nlrn_jax.pictures.formats import JPEG
from nlrn_jax.pictures.picture import MAX_PIXELS, Picture
from nlrn_jax.restoring.jobs import Pair
from nlrn_jax.restoring.restore import enlarge

PICTURE_BYTES = 48 * 2**20  # of pictures in a page, shared by its pairs
PICTURED = 96  # pairs whose pictures are in a page: half a megabyte each is the least to see by
PNG_GAIN = 4  # PNG makes no photograph smaller by more
SMALLEST = 64  # pixels of the longer side, below which no picture is reduced
HEAD = 32  # bytes before a picture that is written as text, and at its end
GREY = 128  # what transparent parts lie over
SCRIPTS = ("dom.js", "tables.js", "gestures.js", "viewer.js", "gallery.js", "facts.js", "pairs.js")

Advance = Callable[[float], None]


class Encoded(NamedTuple):
    """A picture before and after, as files of one format, and what that took from them."""

    files: list[bytes]
    format: str
    notes: list[str]


def require_room(path: Path, overwrite: bool) -> None:
    """Refuse a page that would take the place of something, before the work it is about.

    Raises:
      UserError: it exists and is not to be replaced, or is a folder; or nothing may be written
        there.
    """
    if path.is_dir():
        raise UserError(f"{path}: is a folder, and the page would lie there; rename it")
    if os.path.lexists(path) and not overwrite:
        raise UserError(f"{path}: exists already; rename or remove it, or give --overwrite")
    writing.require_place(path)


def write_pairs(
    path: Path,
    pairs: Sequence[Pair],
    folder: Path,
    scale: int = 1,
    command: str = "",
    overwrite: bool = False,
    max_pixels: int = MAX_PIXELS,
    advance: Advance = lambda fraction: None,
) -> list[str]:
    """Write a page with a divider between each picture and its result.

    Pictures are embedded without loss as long as `PICTURE_BYTES` allow it, else as JPEG, else
    smaller too, which the page says. 16 bits are shown in 8, transparent parts over grey.

    Args:
      path: of the page.
      pairs: pictures, and their results `scale` times as large.
      folder: that of the pictures, by which they are named, or the only picture.
      scale: by which they were enlarged; before is then the bicubic enlargement.
      command: that made the page.
      overwrite: replace what is there.
      max_pixels: of a picture before.
      advance: called with the fraction done since the last call.

    Returns:
      What is not shown, a line each.

    Raises:
      UserError: as `require_room`.
    """
    album, named = Album(), {_name(pair.source, folder): pair for pair in pairs}
    images = _images(named, scale, album, max_pixels, advance)
    rest = [_unseen(name, "not in this page") for name in list(named)[PICTURED:]]
    words = f"The first {PICTURED} of {len(pairs)} pictures are in this page." if rest else ""
    made = f"Enlarged x{scale}" if scale > 1 else "Restored"
    data = {
        "title": f"{made}: {folder.resolve().name}",
        "facts": [["command", command]],
        "images": images + rest,
        "words": words,
        "pictures": album.pictures,
    }
    _write(path, filled(data, SCRIPTS), overwrite)
    lines = [f"{image['name']}: {image['notes'][0]}" for image in images if not image["views"]]
    return [*lines, words] if rest else lines


def _write(path: Path, text: str, overwrite: bool) -> None:
    require_room(path, overwrite)
    with (writing.replaced if overwrite else writing.created)(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def _name(source: Path, folder: Path) -> str:
    return source.name if source == folder else source.relative_to(folder).as_posix()


def _images(
    named: dict[str, Pair], scale: int, album: Album, max_pixels: int, advance: Advance
) -> list[dict]:
    """Return what the page shows of the first pairs; room that one leaves is the others'."""
    images, shown = [], min(len(named), PICTURED)
    for left, (name, pair) in zip(range(shown, 0, -1), named.items(), strict=False):
        room = (PICTURE_BYTES - album.size) // left
        images.append(_image(pair, name, scale, album, room, max_pixels))
        advance(1 / shown)
    return images


def _image(pair: Pair, name: str, scale: int, album: Album, room: int, max_pixels: int) -> dict:
    """Return what the page shows of a pair, within `room` bytes of it."""
    try:
        before, after = _opened(pair, scale, max_pixels)
        profile = before.icc_profile if before.pixels.ndim == after.pixels.ndim else None
        pixels = [_enlarged(_over_grey(before), scale), _over_grey(after)]
        encoded = _encoded([Picture(each, None, profile) for each in pixels], room)
    # Decoders and encoders raise almost anything over one picture.
    except (UserError, MemoryError, OSError, ValueError, RuntimeError) as error:
        return _unseen(name, f"cannot be shown: {error or type(error).__name__}")
    labels = [f"before, bicubic x{scale}" if scale > 1 else "before", "after"]
    height, width = pixels[0].shape[:2]
    return {
        "name": name,
        "height": height,
        "width": width,
        "notes": [*_before(pair), *_notes(before), *encoded.notes],
        "start": labels,
        "views": [
            _view(label, album.embed(file, encoded.format))
            for label, file in zip(labels, encoded.files, strict=True)
        ],
    }


def _view(label: str, picture: int) -> dict:
    return {"label": label, "figures": None, "picture": picture, "error": None, "low": False}


def _unseen(name: str, why: str) -> dict:
    return {"name": name, "height": None, "width": None, "notes": [why], "views": None}


def _opened(pair: Pair, scale: int, max_pixels: int) -> tuple[Picture, Picture]:
    """Open a picture and its result.

    Raises:
      UserError: one cannot be read, or the result is of another size.
    """
    before = open_picture(pair.source, max_pixels)
    after = open_picture(pair.result, max_pixels * scale**2)
    height, width = (scale * side for side in before.pixels.shape[:2])
    if after.pixels.shape[:2] != (height, width):
        found = " x ".join(map(str, after.pixels.shape[1::-1]))
        raise UserError(f"{pair.result}: {found} pixels, not {width} x {height}")
    return before, after


def _over_grey(picture: Picture) -> np.ndarray:
    """Return a picture as a screen shows it, uint8 [H, W] or [H, W, 3]: over grey."""
    pixels = eight_bits(picture.pixels)
    if picture.alpha is None:
        return pixels
    opacity = eight_bits(picture.alpha) / np.float32(255)
    opacity = opacity if pixels.ndim == 2 else opacity[..., None]
    return np.rint(GREY + opacity * (pixels - np.float32(GREY))).astype(np.uint8)


def _enlarged(pixels: np.ndarray, scale: int) -> np.ndarray:
    return enlarge(pixels, scale) if scale > 1 else pixels


def _before(pair: Pair) -> list[str]:
    return ["not of this command: its result was there before"] if pair.was_there else []


def _notes(picture: Picture) -> list[str]:
    """Say in what the page departs from a picture."""
    depth = {"uint16": ["16 bits, shown in 8"], "float32": ["float, shown in 8 bits"]}
    over = [] if picture.alpha is None else ["transparent parts over grey"]
    return depth.get(str(picture.pixels.dtype), []) + over


def _encoded(pictures: list[Picture], room: int) -> Encoded:
    """Encode two pictures of one size: as they are, or as JPEG, or smaller too.

    Written as text, and each after its head, they take `room` bytes at most.
    """
    room = (room - 2 * HEAD) * 3 // 4
    if sum(picture.pixels.nbytes for picture in pictures) < PNG_GAIN * room:
        files = [codec.encode(picture, "PNG") for picture in pictures]
        if sum(map(len, files)) <= room:
            return Encoded(files, "PNG", [])
    longer = max(pictures[0].pixels.shape[:2])
    side = min(longer, JPEG.side)
    while True:
        smaller = [_of_side(picture, side) for picture in pictures]
        files = [codec.encode(picture, "JPEG") for picture in smaller]
        if (size := sum(map(len, files))) <= room or side <= SMALLEST:
            break
        side = max(SMALLEST, int(side * min(0.9, np.sqrt(max(room, 1) / size))))
    height, width = smaller[0].pixels.shape[:2]
    reduced = f" of {width} × {height}" if side < longer else ""
    return Encoded(files, "JPEG", [f"shown as JPEG{reduced}"])


def _of_side(picture: Picture, side: int) -> Picture:
    """Reduce a picture to so many pixels of its longer side."""
    height, width = picture.pixels.shape[:2]
    if side >= max(height, width):
        return picture
    sides = (max(1, round(each * side / max(height, width))) for each in (width, height))
    reduced = Pillow.fromarray(picture.pixels).resize(tuple(sides), Pillow.Resampling.LANCZOS)
    return picture._replace(pixels=np.asarray(reduced))
