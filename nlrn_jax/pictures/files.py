"""Picture files: found, opened with all they hold, saved whole or not at all.

What people restore and what the network learns from comes through here: there is one reader.
"""

import concurrent.futures
import errno
import logging
import os
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import Image, features

from nlrn_jax import writing
from nlrn_jax.errors import UserError
from nlrn_jax.pictures import codec, tiff
from nlrn_jax.pictures.picture import MAX_PIXELS, Picture


class _Format(NamedTuple):
    name: str
    dtypes: tuple[type, ...]
    alpha: bool
    side: int  # pixels, at most


_PNG = _Format("PNG", (np.uint8, np.uint16), True, 10**6)  # a limit of libpng
_JPEG = _Format("JPEG", (np.uint8,), False, 65_500)
_TIFF = _Format("TIFF", (np.uint8, np.uint16, np.float32), True, 2**31 - 1)
_BMP = _Format("BMP", (np.uint8,), False, 2**31 - 1)
_WEBP = _Format("WEBP", (np.uint8,), True, 16_383)
_FORMATS = {
    ".png": _PNG,
    ".tif": _TIFF,
    ".tiff": _TIFF,
    ".jpg": _JPEG,
    ".jpeg": _JPEG,
    ".bmp": _BMP,
    ".webp": _WEBP,
}
EXTENSIONS = tuple(_FORMATS)


def find_pictures(folder: str | Path, without: Path | None = None) -> list[Path]:
    """List the pictures in a folder and below it, sorted; hidden files and folders are skipped.

    Args:
      folder: where to look.
      without: a folder that may lie in it, and is passed over.

    Raises:
      UserError: the folder is missing, is no folder, or has no picture in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        reason = "is not a folder; name the one around it" if folder.exists() else "no such folder"
        raise UserError(f"{folder}: {reason}; a folder of pictures is needed")
    paths = sorted(path for path in folder.rglob("*") if _is_picture(path, folder, without))
    if not paths:
        raise UserError(f"{folder}: no picture in it; put {' '.join(EXTENSIONS)} files there")
    return paths


def _is_picture(path: Path, folder: Path, without: Path | None) -> bool:
    if without is not None and path.is_relative_to(without):
        return False
    hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
    return not hidden and path.suffix.lower() in EXTENSIONS and path.is_file()


def open_picture(path: str | Path) -> Picture:
    """Read a PNG, JPEG, BMP, TIFF or WebP picture with all it holds, turned upright.

    Grey, colour and depth stay as they are, 8 and 16 bits exactly. A float TIFF is taken to have
    black at 0 and white at 1; values somewhat beyond are kept. Palettes, CMYK, Lab and YCbCr
    become RGB, one bit becomes eight, of several pages the first is taken, and `notes` says so.
    For one thread at a time: decoders' warnings are muted meanwhile, as by `catch_warnings`.

    Raises:
      UserError: no such picture, not readable, cut short, damaged, of over `MAX_PIXELS` pixels,
        of unknown range (NaN, floats far from [0, 1], 32-bit integers). PNG has check sums, so
        that any changed byte is noticed; of JPEG, BMP, TIFF and WebP one may pass as a pixel.
    """
    with _muted_decoders():
        return _open(Path(path))


def read_pixels(path: str | Path) -> np.ndarray:
    """Read the pixels of a picture as uint8: [H, W] where it is grey, else [H, W, 3] in RGB.

    As `open_picture`, rounded to 8 bits; alpha is dropped.
    """
    return _eight_bits(open_picture(path).pixels)


def read_all(paths: Sequence[Path]) -> list[np.ndarray]:
    """Read pictures as `read_pixels` does, several at a time."""
    with _muted_decoders(), concurrent.futures.ThreadPoolExecutor() as pool:
        return list(pool.map(lambda path: _eight_bits(_open(path).pixels), paths))


def _eight_bits(pixels: np.ndarray) -> np.ndarray:
    if pixels.dtype == np.uint8:
        return pixels
    white = 1 if pixels.dtype == np.float32 else np.iinfo(pixels.dtype).max
    return np.rint(pixels.clip(0, white) * np.float32(255 / white)).astype(np.uint8)


def _open(path: Path) -> Picture:
    try:
        if not path.is_file():
            reason = "is a folder; name a file in it" if path.is_dir() else "no such file"
            raise UserError(f"{reason}; a picture is needed")
        with path.open("rb") as file:
            return _decode(file)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except Image.UnidentifiedImageError:
        kinds = f"{', '.join(codec.FORMATS)} or TIFF"
        raise UserError(f"{path}: not a sound {kinds} picture; replace or convert it") from None
    except Image.DecompressionBombError:
        reason = f"its header says over {MAX_PIXELS // 10**6} million pixels"
        raise UserError(f"{path}: {reason}; split the picture, or replace the file") from None
    except Exception as error:  # on damaged files decoders raise almost anything
        raise UserError(f"{path}: {_failure(error)}") from error


def _decode(file: BinaryIO) -> Picture:
    is_tiff = file.read(4) in tiff.SIGNATURES
    file.seek(0)
    return tiff.decode(file) if is_tiff else codec.decode(file)


def _failure(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"cannot be read ({error.strerror}); check its permissions and its disk"
    return f"cannot be decoded ({_words(error)}); replace the file"


def _words(error: Exception) -> str:
    return textwrap.shorten(str(error), 100, placeholder=" ...") or type(error).__name__


@contextmanager
def _muted_decoders() -> Iterator[None]:
    """Keep the libraries' remarks on odd files off the screen: what matters is raised."""
    loggers = [logging.getLogger(name) for name in ("PIL", "tifffile", "imagecodecs")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL + 1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
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
      UserError: the file exists already, or its extension is unknown or stands for a format
        that cannot hold this dtype, an alpha channel, or pixels of this shape [H, W, ...].
    """
    path = Path(path)
    misfits = {end: _misfit(f, np.dtype(dtype), has_alpha, shape) for end, f in _FORMATS.items()}
    mend = "end the name in " + " or ".join(end for end, misfit in misfits.items() if not misfit)
    misfit = misfits.get(path.suffix.lower(), "unknown extension")
    if misfit:
        raise UserError(f"{path}: {misfit}; {mend}")
    if not overwrite and os.path.lexists(path):
        raise UserError(_exists(path))


def _misfit(format: _Format, dtype: np.dtype, has_alpha: bool, shape: tuple[int, ...]) -> str:
    if dtype not in format.dtypes:
        return f"{format.name} cannot hold {dtype}"
    if has_alpha and not format.alpha:
        return f"{format.name} cannot hold transparency"
    if max(shape[:2]) > format.side:
        return f"{format.name} holds up to {format.side} pixels a side, not {max(shape[:2])}"
    if format.name == "WEBP" and not features.check("webp"):
        return "the installed Pillow has no WebP"
    return ""


def _exists(path: Path) -> str:
    return f"{path}: exists already; remove it, name another place, or ask to overwrite"


def save_picture(path: str | Path, picture: Picture, overwrite: bool = False) -> None:
    """Write a picture in the format of the path's extension, whole or not at all.

    Without loss, but for JPEG: quality 95, chroma not subsampled. ICC profile and resolution are
    kept where the format has a place (BMP: no profile, WebP: no resolution, and grey as RGB).
    Parent folders are made.

    Raises:
      ValueError: the arrays are not as `Picture` says.
      UserError: as `check_output`, or it cannot be written; then no part of it is left behind.
    """
    path = Path(path)
    _check_arrays(path, picture)
    has_alpha = picture.alpha is not None
    check_output(path, picture.pixels.dtype, has_alpha, picture.pixels.shape, overwrite)
    content = _encoded(path, picture)
    try:
        with (writing.replaced if overwrite else writing.created)(path) as temporary:
            temporary.write_bytes(content)
    except FileExistsError:
        raise UserError(_exists(path)) from None
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        mend = "make room" if full else "check the folder, or name another place"
        raise UserError(f"{path}: cannot be written ({error.strerror}); {mend}") from error


def write_pixels(path: str | Path, pixels: np.ndarray) -> None:
    """Write pixels as `save_picture` does, in the place of what was there."""
    save_picture(path, Picture(pixels), overwrite=True)


def _encoded(path: Path, picture: Picture) -> bytes:
    format = _FORMATS[path.suffix.lower()].name
    try:
        return tiff.encode(picture) if format == "TIFF" else codec.encode(picture, format)
    except Exception as error:  # an encoder's own, of an odd profile, say
        reason = f"cannot be encoded as {format} ({_words(error)})"
        raise UserError(f"{path}: {reason}; name another format") from error


def _check_arrays(path: Path, picture: Picture) -> None:
    pixels, alpha = picture.pixels, picture.alpha
    if not pixels.size or not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)):
        raise ValueError(f"{path}: pixels are [H, W] or [H, W, 3], not {list(pixels.shape)}")
    if alpha is not None and (alpha.shape != pixels.shape[:2] or alpha.dtype != pixels.dtype):
        raise ValueError(
            f"{path}: alpha must be {pixels.dtype} {list(pixels.shape[:2])} as the pixels are, "
            f"not {alpha.dtype} {list(alpha.shape)}"
        )
