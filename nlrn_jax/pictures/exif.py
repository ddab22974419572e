"""EXIF: camera, date, copyright; a directory of tags as TIFF has it, without a picture.

Blocks are changed where they stand. Pillow would write them anew: with '?' for each letter beyond
ASCII, other types for tags that it does not know, and makers' notes that point elsewhere.
Structure: TIFF 6.0, section 2; EXIF 2.3, section 4.6.
"""

import mmap
import struct
from typing import NamedTuple

ORIENTATION = 0x0112
DIRECTORIES = _EXPOSURE, _POSITION = 34665, 34853  # inside: of EXIF, and of GPS
_DESCRIPTION, _INTEROPERABILITY = 270, 40965
_THUMBNAIL, _THUMBNAIL_BYTES = 513, 514
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}  # bytes
_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
_ENDS = {"<": "little", ">": "big"}
# What describes a picture and not its layout: title, description, camera, program, date, artist,
# computer, rating, copyright, and the like of Windows.
DESCRIBING = (269, 270, 271, 272, 305, 306, 315, 316, 18246, 33432, *range(40091, 40096))


class Tag(NamedTuple):
    """A tag: its type, the bytes of its value, and where these stand."""

    type: int
    value: bytes
    at: int


def taken(block: bytes) -> tuple[bytes | None, int | None]:
    """Return a block without its thumbnail, and the orientation that it tells.

    None stands for a damaged block, and for an orientation that is not told.
    """
    block = block.removeprefix(b"Exif\0\0")
    if block[:4] not in _ORDERS:
        return None, None
    order = _ORDERS[block[:4]]
    (first,) = _numbers(order, "I", block[4:8]) or (0,)
    tags, after = _directory(block, order, first)
    turn = _numbers(order, "H", tags[ORIENTATION].value[:2]) if ORIENTATION in tags else None
    orientation = turn[0] if turn else None
    return (None if after is None else _without_thumbnail(block, order, after)), orientation


def of_pixels(shape: tuple[int, ...], dpi: tuple[float, float] | None) -> dict[int, float]:
    """Return what tags say of upright pixels [H, W, ...], of so many dots an inch."""
    sides = {256: shape[1], 257: shape[0], 0xA002: shape[1], 0xA003: shape[0], ORIENTATION: 1}
    return sides | ({282: dpi[0], 283: dpi[1], 296: 2} if dpi else {})


def updated(block: bytes, numbers: dict[int, float]) -> bytes:
    """Set those numbers that a block has, such as the orientation and the sides of the picture."""
    order, changed = _ORDERS[block[:4]], bytearray(block)
    for code, tag in _all_tags(block).items():
        if code in numbers:
            value = _packed(order, tag, numbers[code])
            changed[tag.at : tag.at + len(value)] = value
    return bytes(changed)


def from_tiff(
    content: bytes | mmap.mmap, offsets: list[int], description: bytes | None
) -> bytes | None:
    """Take what describes the picture out of directories of a TIFF (no BigTIFF).

    Args:
      content: the file.
      offsets: of the directories; what the first lacks, the next may have.
      description: in the place of that of the file; b'' for none at all.

    Returns:
      The block; None where there is nothing to describe.
    """
    order = _ORDERS[content[:4]]
    own: dict[int, Tag] = {}
    for offset in offsets:
        own = _directory(content, order, offset)[0] | own
    kept = {code: tag for code, tag in own.items() if code in DESCRIBING}
    if description is not None:
        kept[_DESCRIPTION] = Tag(2, description, 0)
    kept = {code: tag for code, tag in kept.items() if tag.value}
    inside = _inside(content, order, own)
    if not kept and not inside:
        return None
    return content[:4] + struct.pack(order + "I", 8) + _written(order, kept, inside, 8)


def into_tiff(content: bytes, block: bytes | None, xmp: bytes | None) -> bytes:
    """Add what describes the picture to a TIFF of one page and of the block's byte order.

    A directory with all its tags is written behind the rest. A BigTIFF (over 4 GB) stays as it is.
    """
    if content[:4] not in _ORDERS or not (block or xmp):
        return content
    order = _ORDERS[content[:4]]
    (first,) = struct.unpack(order + "I", content[4:8])
    tags, _ = _directory(content, order, first)
    inside: dict[int, dict[int, Tag]] = {}
    if block:
        (start,) = struct.unpack(order + "I", block[4:8])
        own, _ = _directory(block, order, start)
        tags |= {code: tag for code, tag in own.items() if code in DESCRIBING}
        inside = _inside(block, order, own)
    if xmp:
        tags[700] = Tag(1, xmp, 0)
    content += bytes(len(content) % 2)
    at = len(content)
    return (
        content[:4] + struct.pack(order + "I", at) + content[8:] + _written(order, tags, inside, at)
    )


def byte_order(block: bytes | None) -> str:
    """Return '<' or '>'."""
    return _ORDERS[block[:4]] if block else "<"


def _directory(
    content: bytes | mmap.mmap, order: str, at: int
) -> tuple[dict[int, Tag], int | None]:
    """Read the directory at an offset, and where the offset of the next stands.

    Tags whose values lie outside are left out. The place is None where the directory is cut.
    """
    tags: dict[int, Tag] = {}
    (count,) = _numbers(order, "H", content[at : at + 2]) or (None,)
    if count is None:
        return tags, None
    for place in range(at + 2, at + 2 + 12 * count, 12):
        entry = _numbers(order, "HHII", content[place : place + 12])
        if entry is None:
            return tags, None
        code, type, number, offset = entry
        size = _SIZES.get(type, 0) * number
        start = place + 8 if size <= 4 else offset
        if 0 < size <= len(content) - start:
            tags.setdefault(code, Tag(type, content[start : start + size], start))
    return tags, at + 2 + 12 * count


def _numbers(order: str, format: str, content: bytes) -> tuple[int, ...] | None:
    fits = len(content) == struct.calcsize(order + format)
    return struct.unpack(order + format, content) if fits else None


def _inside(
    content: bytes | mmap.mmap, order: str, tags: dict[int, Tag]
) -> dict[int, dict[int, Tag]]:
    """Read the directories that tags point to."""
    found = {}
    for code in DIRECTORIES:
        pointer = _numbers(order, "I", tags[code].value) if code in tags else None
        nested = _directory(content, order, pointer[0])[0] if pointer else {}
        nested.pop(_INTEROPERABILITY, None)  # points elsewhere, and says nothing of the picture
        if nested:
            found[code] = nested
    return found


def _all_tags(block: bytes) -> dict[int, Tag]:
    order = _ORDERS[block[:4]]
    (first,) = struct.unpack(order + "I", block[4:8])
    tags, _ = _directory(block, order, first)
    return {**_inside(block, order, tags).get(_EXPOSURE, {}), **tags}


def _packed(order: str, tag: Tag, number: float) -> bytes:
    """Return a number in the type of a tag: 3 SHORT, 4 LONG, 5 RATIONAL; in others the old."""
    try:
        if tag.type == 5:
            return struct.pack(order + "II", round(number * 1000), 1000)
        return struct.pack(order + {3: "H", 4: "I"}[tag.type], round(number))
    except (struct.error, KeyError):  # a side of over 65,535 pixels, say
        return tag.value


def _without_thumbnail(block: bytes, order: str, after: int) -> bytes:
    """Cut the thumbnail off, which shows the picture as it was."""
    (next,) = _numbers(order, "I", block[after : after + 4]) or (0,)
    if not next:
        return block
    changed = bytearray(block)
    changed[after : after + 4] = bytes(4)
    tags, _ = _directory(block, order, next)
    named = [tags[code].value for code in (_THUMBNAIL, _THUMBNAIL_BYTES) if code in tags]
    if [len(value) for value in named] == [4, 4]:
        start, size = (int.from_bytes(value, _ENDS[order]) for value in named)
        if start >= next:  # behind its directory, as all cameras write it
            changed[start : start + size] = b"" if start + size >= len(block) else bytes(size)
    return bytes(changed)


def _written(order: str, tags: dict[int, Tag], inside: dict[int, dict[int, Tag]], at: int) -> bytes:
    """Write a directory that will stand at an offset, and those inside it."""
    pointers = {code: Tag(4, bytes(4), 0) for code in inside}
    behind = at + len(_one_written(order, tags | pointers, at))
    directories = b""
    for code, nested in inside.items():
        pointers[code] = Tag(4, struct.pack(order + "I", behind + len(directories)), 0)
        directories += _one_written(order, nested, behind + len(directories))
    return _one_written(order, tags | pointers, at) + directories


def _one_written(order: str, tags: dict[int, Tag], at: int) -> bytes:
    entries, values = b"", b""
    beyond = at + 2 + 12 * len(tags) + 4
    for code, (type, value, _) in sorted(tags.items()):
        entries += struct.pack(order + "HHI", code, type, len(value) // _SIZES[type])
        if len(value) <= 4:
            entries += value.ljust(4, b"\0")
        else:
            entries += struct.pack(order + "I", beyond + len(values))
            values += value + bytes(len(value) % 2)
    return struct.pack(order + "H", len(tags)) + entries + bytes(4) + values
