"""Pictures set side by side and one below the other, to be looked at."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont


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


def _cell(image: np.ndarray, caption: str, height: int, font: ImageFont.FreeTypeFont) -> np.ndarray:
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


def stack(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Set uint8 pictures [H, W, 3] one below the other, flush left on white."""
    width = max(picture.shape[1] for picture in pictures)
    padded = [
        np.pad(picture, ((0, 0), (0, width - picture.shape[1]), (0, 0)), constant_values=255)
        for picture in pictures
    ]
    return np.concatenate(padded)
