"""Pictures on disk and their pixels, in NumPy.

An image is [H, W] (grey) or [H, W, 3] (RGB); uint8 as stored, or float in [0, 1].
"""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
_FORMATS = ("PNG", "JPEG", "BMP", "TIFF")
_GREY_MODES = ("1", "L", "LA", "La")


class ImageError(ValueError):
    """A picture or folder that cannot be used: one line with its path, the reason, the mend."""


def read(path: str | Path) -> np.ndarray:
    """Read a picture as uint8: [H, W] where it is grey, else [H, W, 3] in RGB.

    The EXIF orientation is applied, alpha dropped, 16-bit grey rounded to 8 bits. (Of 16-bit
    colour Pillow decodes the high bytes only, up to one grey level from rounding.)

    Raises:
      ImageError: the file is missing, no picture, damaged, absurdly large, or of 32-bit pixels.
    """
    path = Path(path)
    if not path.is_file():
        reason = "is a folder; name a file in it" if path.is_dir() else "no such file"
        raise ImageError(f"{path}: {reason}; a picture is needed")
    try:
        # By name Pillow would map uncompressed files into memory, and garble turned TIFFs (13.0).
        with path.open("rb") as file, Image.open(file, formats=_FORMATS) as picture:
            return _pixels(ImageOps.exif_transpose(picture))
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from None
    except Image.UnidentifiedImageError:
        kinds = f"{', '.join(_FORMATS[:-1])} or {_FORMATS[-1]}"
        raise ImageError(f"{path}: not a {kinds} picture; remove or convert it") from None
    except Image.DecompressionBombError as error:
        raise ImageError(f"{path}: {error}; split it, or correct its header") from None
    except Exception as error:  # on damaged files decoders raise OSError, SyntaxError, struct.error
        reason = " ".join(str(error).split())
        raise ImageError(f"{path}: cannot be decoded ({reason}); replace the file") from error


def _pixels(picture: Image.Image) -> np.ndarray:
    if picture.mode in ("I", "F"):
        raise ImageError("has 32-bit pixels, of unknown range; save it with 8 or 16 bits")
    if picture.mode.startswith("I;16"):
        return np.rint(np.asarray(picture) / 257).astype(np.uint8)
    return np.array(picture.convert("L" if picture.mode in _GREY_MODES else "RGB"))


def find(folder: str | Path) -> list[Path]:
    """List the pictures in a folder and below it, sorted; hidden files and folders are skipped.

    Raises:
      ImageError: the folder is missing, is no folder, or has no picture in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        reason = "is not a folder; name the one around it" if folder.exists() else "no such folder"
        raise ImageError(f"{folder}: {reason}; a folder of pictures is needed")
    paths = sorted(path for path in folder.rglob("*") if _is_picture(path, folder))
    if not paths:
        raise ImageError(f"{folder}: no picture in it; put {' '.join(EXTENSIONS)} files there")
    return paths


def _is_picture(path: Path, folder: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
    return not hidden and path.suffix.lower() in EXTENSIONS and path.is_file()


def write(path: str | Path, image: np.ndarray) -> None:
    """Write uint8 [H, W] or [H, W, 3] in the format of the path's extension, whole or not at all.

    Parent folders are made.

    Raises:
      ValueError: the image is not uint8 of such a shape.
      ImageError: the extension is not one of `EXTENSIONS`.
    """
    path = Path(path)
    if image.dtype != np.uint8 or not (image.ndim == 2 or image.shape[2:] == (3,)):
        raise ValueError(
            f"{path}: uint8 [H, W] or [H, W, 3] can be written, not {image.dtype} "
            f"{list(image.shape)}; convert it with to_uint8"
        )
    if path.suffix.lower() not in EXTENSIONS:
        raise ImageError(f"{path}: unknown extension; end the name in one of {EXTENSIONS}")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")  # hidden from `find`
    try:
        Image.fromarray(image).save(temporary, quality=95)  # the quality concerns JPEG alone
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def to_float(image: np.ndarray) -> np.ndarray:
    """Convert uint8 or uint16 to float32 in [0, 1]; floats pass, as float32, unscaled."""
    if image.dtype in (np.uint8, np.uint16):
        return image.astype(np.float32) / np.float32(np.iinfo(image.dtype).max)
    if np.issubdtype(image.dtype, np.floating):
        return image.astype(np.float32)
    raise ValueError(f"an image is uint8, uint16 or float, not {image.dtype}; convert it first")


def to_uint8(image: np.ndarray) -> np.ndarray:
    """Convert float [0, 1] to uint8: clipped, rounded to the nearest (halves to even)."""
    if not np.issubdtype(image.dtype, np.floating):
        raise ValueError(f"float in [0, 1] is needed, not {image.dtype}; convert it with to_float")
    return np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)


def grey(image: np.ndarray) -> np.ndarray:
    """Return the grey picture of an RGB one: BT.601 weights, full range, as MATLAB's rgb2gray.

    [H, W, 3] -> [H, W]; uint8 stays uint8 (rounded half up), float stays float. [H, W] passes.
    """
    if image.ndim == 2:
        return image
    if image.dtype == np.uint8:
        return ((image @ np.array([299, 587, 114]) + 500) // 1000).astype(np.uint8)
    return image @ np.array([0.299, 0.587, 0.114], image.dtype)


def luma(image: np.ndarray) -> np.ndarray:
    """Return the BT.601 luma, 16..235 in grey levels, as MATLAB's rgb2ycbcr.

    [H, W, 3] -> [H, W]; uint8 stays uint8 (rounded), float [0, 1] stays float: grey levels / 255.
    [H, W] passes unchanged: published figures use the grey picture of Set14 (bridge) as it is.
    """
    if image.ndim == 2:
        return image
    if image.dtype == np.uint8:
        return to_uint8(luma(to_float(image)))
    levels = 16 + image @ np.array([65.481, 128.553, 24.966], image.dtype)
    return levels / 255


def dihedral(image: np.ndarray, k: int) -> np.ndarray:
    """Return view `k` in 0..7 of [H, W, ...]: k % 4 quarter turns, from 4 on also upside down."""
    if not 0 <= k < 8:
        raise ValueError(f"a square has the eight views 0..7, not {k}")
    turned = np.rot90(image, k % 4)
    return turned[::-1] if k >= 4 else turned


def undo_dihedral(image: np.ndarray, k: int) -> np.ndarray:
    """Return the image whose `dihedral(..., k)` is given, [H, W, ...]."""
    if not 0 <= k < 8:
        raise ValueError(f"a square has the eight views 0..7, not {k}")
    return np.rot90(image[::-1] if k >= 4 else image, -(k % 4))


def crop_to_multiple(image: np.ndarray, scale: int) -> np.ndarray:
    """Drop the last rows and columns of [H, W, ...] so that both sides are multiples of `scale`."""
    height, width = (side - side % scale for side in image.shape[:2])
    if not height or not width:
        raise ValueError(f"an image of {list(image.shape)} has no side of {scale}; take a larger")
    return image[:height, :width]


def label_row(images: Sequence[np.ndarray], captions: Sequence[str]) -> np.ndarray:
    """Set pictures side by side on white, each under its caption, for comparison.

    Args:
      images: uint8, [H, W] or [H, W, 3] each; lower ones are enlarged (nearest neighbour, so
        that their pixels show) to the height of the highest.
      captions: one line for each.

    Returns:
      uint8 [H', W', 3].
    """
    height = max(len(image) for image in images)
    font = ImageFont.load_default(size=max(12, height // 16))
    cells = [
        _cell(image, caption, height, font) for image, caption in zip(images, captions, strict=True)
    ]
    gap = font.size // 2
    below_and_right = ((0, gap), (0, gap), (0, 0))
    row = np.concatenate([np.pad(c, below_and_right, constant_values=255) for c in cells], axis=1)
    return np.pad(row, ((0, 0), (gap, 0), (0, 0)), constant_values=255)


def _cell(image, caption, height, font) -> np.ndarray:
    """Return one picture of the given height below its caption, uint8 [H', W', 3]."""
    picture = Image.fromarray(image).convert("RGB")
    width = round(picture.width * height / picture.height)
    picture = picture.resize((width, height), Image.Resampling.NEAREST)
    strip = font.size * 3 // 2
    cell_width = max(width, round(font.getlength(caption)) + 2)
    cell = Image.new("RGB", (cell_width, strip + height), "white")
    ImageDraw.Draw(cell).text((cell_width / 2, strip / 2), caption, "black", font, anchor="mm")
    cell.paste(picture, ((cell_width - width) // 2, strip))
    return np.array(cell)
