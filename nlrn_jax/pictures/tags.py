"""What travels with a TIFF: the tags that describe its picture, and the names of those left out."""

import mmap
from typing import BinaryIO

import tifffile

from nlrn_jax.pictures import exif
from nlrn_jax.pictures.picture import Picture, turned_pair, upright_xmp

_XMP, _WIDTH_A_UNIT = 700, 282
_LAYOUT = {  # how the samples lie: of the file, not of the picture
    *range(254, 267), 273, 274, *range(277, 285), *range(288, 294), 296, 297, 317,
    *range(320, 326), *range(332, 342), 347, *range(512, 522), *range(529, 533), 32997, 50838,
}  # fmt: skip
_TAKEN = {*exif.DESCRIBING, *exif.DIRECTORIES, _XMP, 330, 34675}  # or said otherwise
_NAMED = 5  # of tags that are left out
# What ImageJ counts in its description is not true of one plane, or not of an enlarged one.
_COUNTS = ("images=", "channels=", "slices=", "frames=", "hyperstack=", "mode=", "loop=")


def carried(
    picture: Picture, file: BinaryIO, opened: tifffile.TiffFile, page: tifffile.TiffPage, turn: int
) -> Picture:
    """Put in what describes the picture of a page, and the names of what is left out."""
    xmp = page.tags.valueof(_XMP)
    is_imagej = page.description.startswith("ImageJ=")
    bare = page.resolutionunit not in (2, 3) and _WIDTH_A_UNIT in page.tags
    return picture._replace(
        xmp=upright_xmp(xmp) if isinstance(xmp, bytes) else None,
        exif=None if opened.is_bigtiff else _block(file, opened, page),
        per_unit=turned_pair(page.get_resolution(), turn) if is_imagej and bare else None,
        lost=_lost(opened, page),
    )


def _block(file: BinaryIO, opened: tifffile.TiffFile, page: tifffile.TiffPage) -> bytes | None:
    offsets = list(dict.fromkeys([page.offset, opened.pages.first.offset]))  # of thumbnails too
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return exif.from_tiff(content, offsets, _description(page.description))


def _description(text: str) -> bytes | None:
    """Return what is still true of a description that programs wrote; None where people did."""
    if text.startswith("ImageJ="):
        kept = [line for line in text.splitlines() if not line.startswith(_COUNTS)]
        return "\n".join([*kept, ""]).encode() + b"\0"
    return b"" if text.startswith('{"shape"') or _is_ome(text) else None


def _is_ome(text: str) -> bool:
    return text.startswith("<") and "<OME" in text[:2000]


def _lost(opened: tifffile.TiffFile, page: tifffile.TiffPage) -> tuple[str, ...]:
    names = ["OME's description"] if _is_ome(page.description) else []
    if opened.is_bigtiff and any(tag.code in exif.DESCRIBING for tag in page.tags):
        names.append("what a BigTIFF says of its picture")
    if page.subifds:
        names.append(f"{len(page.subifds)} sub-pages")
    others = [tag.name for tag in page.tags if tag.code not in _LAYOUT | _TAKEN]
    names += others[:_NAMED]
    return (*names, f"{len(others) - _NAMED} more tags") if len(others) > _NAMED else tuple(names)
