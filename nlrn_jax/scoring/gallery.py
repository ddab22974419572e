"""The pictures of an evaluation: each output by itself, and all side by side.

NAME/LEVEL/IMAGE.png     the comparison
NAME/LEVEL/IMAGE/        input, baseline, original and a restoration by each method
"""

import re
from pathlib import Path

import numpy as np

from nlrn_jax.data.pixels import luma, to_uint8
from nlrn_jax.pictures.files import write_pixels
from nlrn_jax.pictures.panels import label_row
from nlrn_jax.scoring.methods import Output
from nlrn_jax.scoring.protocols import Example


def comparison(test: Example, outputs: dict[str, Output]) -> np.ndarray:
    """Set the outputs of methods and the original side by side, captioned: uint8 [H', W', 3].

    Of super-resolution the low resolution stands first.
    """
    pictures = [to_uint8(pixels) for pixels, *_ in outputs.values()]
    captions = [f"{name} {output.figures['psnr']:.2f} dB" for name, output in outputs.items()]
    if test.low is not None:
        pictures, captions = [_seen(test), *pictures], ["low resolution", *captions]
    return label_row([*pictures, to_uint8(test.original)], [*captions, "original"])


def write_pictures(
    test: Example, outputs: dict[str, Output], place: Path, folder: Path
) -> dict[str, str]:
    """Write the pictures of an image, and their comparison.

    Args:
      test: the image.
      outputs: by the name of the method, the baseline first.
      place: of the image, relative to `folder`: NAME/LEVEL/IMAGE.
      folder: of the evaluation.

    Returns:
      {'input', 'baseline', 'original' or method: path relative to `folder`}.
    """
    baseline, *others = outputs
    pictures = {
        "baseline": outputs[baseline].pixels,
        "original": test.original,
        **{name: outputs[name].pixels for name in others},
    }
    used = {"input"}
    paths = {
        name: (place / f"{unique_name(file_name(name), used)}.png").as_posix() for name in pictures
    }
    for name, pixels in pictures.items():
        write_pixels(folder / paths[name], to_uint8(pixels))
    write_pixels(folder / place.with_name(f"{place.name}.png"), comparison(test, outputs))
    if test.low is None:
        return {"input": paths["baseline"]} | paths
    low = (place / "input.png").as_posix()
    write_pixels(folder / low, _seen(test))
    return {"input": low} | paths


def _seen(test: Example) -> np.ndarray:
    """Return the low resolution as its network sees it, uint8: luma where that is restored."""
    low = test.low if test.low.dtype == np.uint8 else to_uint8(test.low)
    return low if test.input.ndim == 3 else luma(low)


def file_name(text: str) -> str:
    """Return a text with '_' for what file names had better not have."""
    return re.sub(r"[^\w.-]+", "_", text).strip("_.") or "_"


def unique_name(name: str, names: set[str]) -> str:
    """Return the name, numbered if an image of the same name in another folder had it before."""
    unique, number = name, 2
    while unique in names:
        unique, number = f"{name}-{number}", number + 1
    names.add(unique)
    return unique
