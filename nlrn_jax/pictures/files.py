"""Picture files: opened with all they hold, saved whole or not at all.

What people restore and what the network learns from comes through here: there is one reader.
"""

import concurrent.futures
import errno
import logging
import os
import sys
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import Image

from nlrn_jax import writing
from nlrn_jax.errors import UserError
from nlrn_jax.pictures import codec, exif, tiff
from nlrn_jax.pictures.formats import (
    TIFF,
    TIFF_SIGNATURES,
    USUAL,
    Format,
    by_ending,
    fitted,
    misfit,
)
from nlrn_jax.pictures.picture import MAX_PIXELS, Picture

FREE_ENDINGS = (".png", ".tif")  # one of them holds any picture
_SHOWN = 5  # files that cannot be read, with their reasons


def open_picture(path: str | Path, max_pixels: int = MAX_PIXELS) -> Picture:
    """Read a PNG, JPEG, BMP, TIFF or WebP picture with all it holds, turned upright.

    The content decides, not the name. Grey, colour and depth stay as they are, 8 and 16 bits
    exactly. A float TIFF is taken to have black at 0 and white at 1; values somewhat beyond are
    kept. Palettes, CMYK, Lab and YCbCr become RGB, one bit becomes eight, of several pages the
    first that is no thumbnail is taken, and `notes` says so.
    For one thread at a time: decoders' warnings are muted meanwhile, as by `catch_warnings`.

    Raises:
      UserError: no such picture, not readable, cut short, damaged, of over `max_pixels` pixels,
        of unknown range (NaN, floats far from [0, 1], 32-bit integers). PNG has check sums, so
        that any changed byte is noticed (of EXIF and texts in a note); of JPEG, BMP, TIFF and WebP
        one may pass as a pixel.
    """
    with _muted_decoders():
        return _open(Path(path), max_pixels)


def read_pixels(path: str | Path, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Read the pixels of a picture as uint8: [H, W] where it is grey, else [H, W, 3] in RGB.

    As `open_picture`, rounded to 8 bits; alpha is dropped.
    """
    return eight_bits(open_picture(path, max_pixels).pixels)


class Read(NamedTuple):
    """Pixels as uint8, [H, W] or [H, W, 3], and what was converted on decoding."""

    pixels: np.ndarray
    notes: tuple[str, ...]


def read_all(paths: Sequence[Path], max_pixels: int = MAX_PIXELS) -> list[Read]:
    """Read pictures as `read_pixels` does, several at a time.

    Raises:
      UserError: naming all that cannot be read, the first few with the reason.
    """

    def read(path: Path) -> Read | UserError:
        try:
            picture = _open(path, max_pixels)
        except UserError as error:
            return error
        return Read(eight_bits(picture.pixels), picture.notes)

    with _muted_decoders(), concurrent.futures.ThreadPoolExecutor() as pool:
        results = list(pool.map(read, paths))
    errors = [result for result in results if isinstance(result, UserError)]
    if errors:
        raise _joined(errors, len(paths))
    return results


def _joined(errors: list[UserError], count: int) -> UserError:
    if len(errors) == 1:
        return errors[0]
    more = f" | and {len(errors) - _SHOWN} more" if len(errors) > _SHOWN else ""
    said = " | ".join(map(str, errors[:_SHOWN]))
    return UserError(f"{len(errors)} of {count} pictures cannot be read: {said}{more}")


def is_of_sides(path: Path, source: Path, scale: int) -> bool:
    """Tell whether a file is a picture `scale` times as large as another, by their headers."""
    try:
        with _muted_decoders():
            one, other = (sorted(_sides(each)) for each in (path, source))
    except Exception:  # of no picture, or of a damaged one
        return False
    return one == [scale * side for side in other]  # sorted: either may be stored lying


def is_whole(path: Path) -> bool:
    """Tell whether a picture can be read to its end."""
    try:
        open_picture(path, sys.maxsize)
    except UserError:
        return False
    return True


def _sides(path: Path) -> tuple[int, int]:
    with path.open("rb") as file:
        return (tiff if _is_tiff(file) else codec).sides(file)


def eight_bits(pixels: np.ndarray) -> np.ndarray:
    """Round samples of a `Picture` to uint8."""
    if pixels.dtype == np.uint8:
        return pixels
    white = 1 if pixels.dtype == np.float32 else np.iinfo(pixels.dtype).max
    return np.rint(pixels.clip(0, white) * np.float32(255 / white)).astype(np.uint8)


def _open(path: Path, max_pixels: int) -> Picture:
    try:
        if not path.is_file():
            reason = "is a folder; name a file in it" if path.is_dir() else "no such file"
            raise UserError(f"{reason}; a picture is needed")
        with path.open("rb") as file:
            return (tiff if _is_tiff(file) else codec).decode(file, max_pixels)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except Image.UnidentifiedImageError:
        kinds = f"{', '.join(codec.FORMATS)} or TIFF"
        raise UserError(f"{path}: not a sound {kinds} picture; replace or convert it") from None
    except Exception as error:  # on damaged files decoders raise almost anything
        raise UserError(f"{path}: {_failure(error)}") from error


def _is_tiff(file: BinaryIO) -> bool:
    is_tiff = file.read(4) in TIFF_SIGNATURES
    file.seek(0)
    return is_tiff


def _failure(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "does not fit into the memory that is free; free some, or split the picture"
    if isinstance(error, OSError) and error.strerror:
        return f"cannot be read ({error.strerror}); check its permissions and its disk"
    return f"cannot be decoded ({_words(error)}); replace the file"


def _words(error: Exception) -> str:
    return textwrap.shorten(str(error), 100, placeholder=" ...") or type(error).__name__


@contextmanager
def _muted_decoders() -> Iterator[None]:
    """Keep the libraries' remarks on odd files off the screen: what matters is raised.

    Pillow's own limit of pixels is off: `check_size` has ours, and the caller may raise it.
    """
    limit = Image.MAX_IMAGE_PIXELS
    loggers = [logging.getLogger(name) for name in ("PIL", "tifffile", "imagecodecs")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL + 1)
        Image.MAX_IMAGE_PIXELS = None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def same_file(a: str | Path, b: str | Path) -> bool:
    """Tell whether two names mean one file that exists, also through links or letter case."""
    try:
        return os.path.samefile(a, b)
    except OSError:
        return False


def check_output(
    path: str | Path,
    dtype: np.dtype | type,
    has_alpha: bool,
    shape: tuple[int, ...] = (1, 1),
    overwrite: bool = False,
) -> None:
    """Refuse an output that `save_picture` could not write, before work is spent on it.

    Nothing is rounded or dropped to fit a format: the mend names extensions that fit.

    Raises:
      UserError: the file exists already, or nothing may be written there, or its extension is
        unknown or stands for a format that cannot hold this dtype, an alpha channel, or pixels of
        this shape [H, W, ...].
    """
    path, dtype = Path(path), np.dtype(dtype)
    reason = _misfit(path.suffix, dtype, has_alpha, shape)
    if reason:
        fitting = [end for end in USUAL if not _misfit(end, dtype, has_alpha, shape)]
        raise UserError(f"{path}: {reason}; end the name in {' or '.join(fitting)}")
    if not overwrite and os.path.lexists(path):
        raise UserError(_exists(path))
    writing.require_place(path)


def fitting(path: Path, picture: Picture, shape: tuple[int, ...]) -> Path:
    """Return a name for a result of this shape: the given one, or one with an ending more."""
    held = (picture.pixels.dtype, picture.alpha is not None, shape)
    ends = ("", *FREE_ENDINGS)
    return next(p for p in (Path(f"{path}{end}") for end in ends) if not _misfit(p.suffix, *held))


def _misfit(ending: str, dtype: np.dtype, has_alpha: bool, shape: tuple[int, ...]) -> str:
    kind = by_ending(ending)
    return misfit(kind, dtype, has_alpha, shape) if kind else "unknown extension"


def _exists(path: Path) -> str:
    return f"{path}: exists already; remove it, name another --output, or give --overwrite"


def save_picture(
    path: str | Path, picture: Picture, overwrite: bool = False, quality: int | None = None
) -> tuple[str, ...]:
    """Write a picture in the format of the path's extension, whole or not at all.

    Without loss, but for JPEG (of this quality, or 95; chroma not subsampled) and for WebP of a
    quality. What travels with the pixels is kept where the format has a place (WebP: grey as RGB).
    Parent folders are made.

    Returns:
      What was left out, a line each.

    Raises:
      ValueError: the arrays are not as `Picture` says.
      UserError: as `check_output`, or it cannot be written; then no part of it is left behind.
    """
    path = Path(path)
    _check_arrays(path, picture)
    has_alpha = picture.alpha is not None
    check_output(path, picture.pixels.dtype, has_alpha, picture.pixels.shape, overwrite)
    content, notes = _encoded(path, picture, quality)
    try:
        with (writing.replaced if overwrite else writing.created)(path) as temporary:
            temporary.write_bytes(content)
    except FileExistsError:
        raise UserError(_exists(path)) from None
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        mend = "make room" if full else "check the folder, or name another place"
        raise UserError(f"{path}: cannot be written ({error.strerror}); {mend}") from error
    return notes


def write_pixels(path: str | Path, pixels: np.ndarray) -> None:
    """Write pixels as `save_picture` does, in the place of what was there."""
    save_picture(path, Picture(pixels), overwrite=True)


def _encoded(path: Path, picture: Picture, quality: int | None) -> tuple[bytes, tuple[str, ...]]:
    kind = by_ending(path.suffix)
    fit, notes = fitted(kind, _told(picture))
    try:
        return _bytes(kind, fit, quality), notes
    except Exception as error:  # of an odd profile, say: better the pixels alone than nothing
        note = f"all but the pixels left out: {kind.name} cannot hold it ({_words(error)})"
    try:
        bare = Picture(picture.pixels, picture.alpha)
        return _bytes(kind, bare, quality), (*notes, note)
    except Exception as error:
        reason = f"cannot be encoded as {kind.name} ({_words(error)})"
        raise UserError(f"{path}: {reason}; name another format") from error


def _bytes(kind: Format, picture: Picture, quality: int | None) -> bytes:
    return tiff.encode(picture) if kind is TIFF else codec.encode(picture, kind.name, quality)


def _told(picture: Picture) -> Picture:
    """Let EXIF say what is true of these pixels: upright, their number, their inches."""
    if not picture.exif:
        return picture
    numbers = exif.of_pixels(picture.pixels.shape, picture.dpi)
    return picture._replace(exif=exif.updated(picture.exif, numbers))


def _check_arrays(path: Path, picture: Picture) -> None:
    pixels, alpha = picture.pixels, picture.alpha
    if not pixels.size or not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)):
        raise ValueError(f"{path}: pixels are [H, W] or [H, W, 3], not {list(pixels.shape)}")
    if alpha is not None and (alpha.shape != pixels.shape[:2] or alpha.dtype != pixels.dtype):
        raise ValueError(
            f"{path}: alpha must be {pixels.dtype} {list(pixels.shape[:2])} as the pixels are, "
            f"not {alpha.dtype} {list(alpha.shape)}"
        )
