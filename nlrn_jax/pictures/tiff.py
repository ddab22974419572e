"""TIFF, its picture decoded and encoded to the last bit, by tifffile.

Pillow has no 16-bit RGB, and its libtiff writes what it thinks of damaged files to the screen.
"""

import io
import math
from typing import BinaryIO

import numpy as np
import tifffile
from PIL import Image

from nlrn_jax.errors import UserError
from nlrn_jax.pictures import exif, tags
from nlrn_jax.pictures.exif import ORIENTATION
from nlrn_jax.pictures.picture import (
    Picture,
    check_size,
    described,
    joined,
    noted,
    to_srgb,
    upright,
)

_JPEG = (6, 7, 33007, 34892)  # compressions
_OLD_SUBFILE_TYPE = 255  # 2 is a reduced picture
_WHITE_IS_ZERO, _GREY, _RGB, _PALETTE, _CMYK, _YCBCR, _LAB = 0, 1, 2, 3, 5, 6, 8
_CHANNELS = {  # of a photometric interpretation and its (bits, sample format)
    **{(kind, bits, 1): 1 for kind in (_WHITE_IS_ZERO, _GREY, _PALETTE) for bits in (1, 2, 4, 8)},
    **{(kind, *deep): 1 for kind in (_WHITE_IS_ZERO, _GREY) for deep in ((16, 1), (32, 3))},
    **{(_RGB, *samples): 3 for samples in ((8, 1), (16, 1), (32, 3))},
    **{(_YCBCR, 8, 1): 3, (_LAB, 8, 1): 3, (_CMYK, 8, 1): 4},
}


def decode(file: BinaryIO, max_pixels: int) -> Picture:
    """Decode an open TIFF: its first page, or if that is a thumbnail, the one that is the picture.

    Raises:
      UserError: reason and mend, without the file's name; tifffile raises almost anything else.
    """
    with tifffile.TiffFile(file) as opened:
        page, note = _page(opened)
        check_size(page.imagewidth, page.imagelength, max_pixels)
        channels = _channels(page)
        _check_strips(page)
        orientation = page.tags.valueof(ORIENTATION, 1)
        picture = described(orientation, page.iccprofile, _dpi(page), 1)
        picture = tags.carried(picture, file, opened, page, orientation)
        planes = page.asarray(squeeze=False)[:, 0]  # [planes, H, W, samples], one of them 1
    picture = noted(picture, note) if note else picture
    samples = planes[0] if len(planes) == 1 else np.concatenate(planes, axis=-1)
    colour, extra = samples[..., :channels], samples[..., channels:]
    picture, colour = _plain_colour(picture, colour, page)
    picture, colour, alpha = _alpha(picture, colour, extra, page.extrasamples)
    for values in (colour, alpha):
        _check_range(values)
    colour = colour if colour.shape[2] == 3 else colour[..., 0]
    return upright(picture, colour, alpha[..., 0] if alpha.shape[2] else None, orientation)


def sides(file: BinaryIO) -> tuple[int, int]:
    """Return width and height of an open TIFF, as they are stored."""
    with tifffile.TiffFile(file) as opened:
        page, _ = _page(opened)
        return page.imagewidth, page.imagelength


def _page(opened: tifffile.TiffFile) -> tuple[tifffile.TiffPage, str]:
    """Return the page that is the picture, and what there is to say of the others."""
    if not len(opened.pages):
        raise UserError("has no page in it; replace the file")
    first, count = opened.pages.first, len(opened.pages)
    if not _is_thumbnail(first):
        said = (opened.imagej_metadata or {}).get("images")  # whose later planes may have no page
        count = max(count, said) if isinstance(said, int) else count
        return first, f"the first of {count} pages taken" if count > 1 else ""
    others = [*opened.pages[1:], *(first.pages or ())]
    pages = [page.aspage() for page in others if not _is_thumbnail(page.aspage())]
    if not pages:
        return first, ""
    place = f"page {pages[0].index + 1} of {count}" if len(opened.pages) > 1 else "a sub-page"
    return pages[0], f"{place} taken: the first is a thumbnail"


def _is_thumbnail(page: tifffile.TiffPage) -> bool:
    return page.is_reduced or page.tags.valueof(_OLD_SUBFILE_TYPE, 1) == 2


def _channels(page: tifffile.TiffPage) -> int:
    kind = (page.photometric, page.bitspersample, page.sampleformat)
    channels = _CHANNELS.get(kind, 0)
    if page.photometric == _YCBCR and page.compression not in _JPEG:
        channels = 0
    if not 0 < channels <= page.samplesperpixel <= 8 or page.imagedepth != 1:
        sort = {1: "unsigned", 2: "signed", 3: "float"}.get(page.sampleformat, "odd")
        name = getattr(page.photometric, "name", "unknown").lower()
        what = f"{page.samplesperpixel} {sort} {page.bitspersample}-bit samples a pixel ({name})"
        raise UserError(f"{what} cannot be read; save it as 8- or 16-bit grey or RGB")
    return channels


def _plain_colour(
    picture: Picture, colour: np.ndarray, page: tifffile.TiffPage
) -> tuple[Picture, np.ndarray]:
    """Convert [H, W, channels] to grey [H, W, 1] or RGB [H, W, 3], and note it."""
    kind, bits = page.photometric, page.bitspersample
    if kind == _PALETTE:
        if page.colormap is None:
            raise UserError("its palette is missing; replace the file")
        table = page.colormap.T  # 16 bits, though old programs wrote 8
        colour = (table >> (8 if table.max() > 255 else 0)).astype(np.uint8)[colour[..., 0]]
        return noted(picture, "palette converted to RGB"), colour
    if kind in (_CMYK, _LAB):
        size, mode = colour.shape[1::-1], "CMYK" if kind == _CMYK else "LAB"
        image, note = to_srgb(Image.frombytes(mode, size, colour.tobytes()), picture.icc_profile)
        return noted(picture._replace(icc_profile=None), note), np.asarray(image)
    if bits < 8:
        colour = colour.astype(np.uint8) * np.uint8(255 // (2**bits - 1))
        picture = noted(picture, f"{bits}-bit converted to 8-bit grey")
    return picture, _white(colour) - colour if kind == _WHITE_IS_ZERO else colour


def _white(samples: np.ndarray) -> int:
    return 1 if samples.dtype == np.float32 else np.iinfo(samples.dtype).max


def _alpha(
    picture: Picture, colour: np.ndarray, extra: np.ndarray, meanings: tuple[int, ...]
) -> tuple[Picture, np.ndarray, np.ndarray]:
    """Find the alpha channel [H, W, 0 or 1] among extra ones, and divide it out if need be."""
    meanings = meanings or (2,) * extra.shape[2]  # 2 is alpha: unsaid, but usual
    found = [i for i, meaning in enumerate(meanings) if meaning in (1, 2)][:1]
    alpha = extra[..., found]
    if extra.shape[2] > alpha.shape[2]:
        picture = noted(picture, "a channel besides colour and alpha dropped")
    if found and meanings[found[0]] == 1:
        colour = _divided(colour, alpha)
        picture = noted(picture, "premultiplied alpha divided out")
    return picture, colour, alpha


def _check_strips(page: tifffile.TiffPage) -> None:
    """Refuse what tifffile would fill with zeros, or leave as the memory was."""
    offsets, counts = page.dataoffsets, page.databytecounts
    size = page.parent.filehandle.size
    inside = all(0 < o < o + n <= size for o, n in zip(offsets, counts, strict=False))
    if not (inside and len(offsets) == len(counts) == math.prod(page.chunked)):
        raise UserError("cut short, or its strips are damaged; replace the file")


def _dpi(page: tifffile.TiffPage) -> tuple[float, float] | None:
    if page.resolutionunit not in (2, 3) or 282 not in page.tags:
        return None
    return page.get_resolution("INCH")


def _divided(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Undo the multiplication of colour [H, W, C] by alpha [H, W, 1]; invisible pixels are 0."""
    white = _white(colour)
    quotient = np.zeros(colour.shape)
    np.divide(colour * float(white), alpha, out=quotient, where=alpha > 0)
    return (quotient if white == 1 else np.rint(quotient).clip(0, white)).astype(colour.dtype)


def _check_range(samples: np.ndarray) -> None:
    """Refuse floats whose black is not 0, or white not 1, as far as one can tell."""
    if samples.dtype != np.float32 or not samples.size:
        return
    bad = samples.size - np.count_nonzero(np.isfinite(samples))
    if bad:
        raise UserError(f"{bad} of {samples.size} values are NaN or infinite; replace them")
    low, high = samples.min(), samples.max()
    if low < -1 or high > 2:
        raise UserError(f"float values from {low:g} to {high:g}; scale black to 0, white to 1")


def encode(picture: Picture) -> bytes:
    """Encode a picture of any dtype as TIFF without loss: deflated, with predictor."""
    try:
        content = _encoded(picture, compression="zlib", predictor=True)
    except Exception:  # whatever an encoder does not like: a result that took long is not lost
        content = _encoded(picture, compression=None, predictor=None)
    return exif.into_tiff(content, picture.exif, picture.xmp)


def _encoded(picture: Picture, compression: str | None, predictor: bool | None) -> bytes:
    samples = joined(picture)
    inches = "inch" if picture.dpi else None
    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer,
        samples,
        byteorder=exif.byte_order(picture.exif),
        photometric="minisblack" if picture.pixels.ndim == 2 else "rgb",
        planarconfig="contig" if samples.ndim == 3 else None,
        extrasamples=None if picture.alpha is None else ["unassalpha"],
        compression=compression,
        predictor=predictor,
        iccprofile=picture.icc_profile,
        resolution=picture.dpi or picture.per_unit,
        resolutionunit="none" if picture.per_unit and not picture.dpi else inches,
        metadata=None,
        software=False,
    )
    return buffer.getvalue()
