"""Score a network on benchmarks: figures beside the baseline's, and pictures to look at.

The protocols are stated in `metrics.py`. The noise of an image depends on the seed and the file's
name only, neither on the folder nor on the order; low resolution is made from the colour picture,
8 bits, and its luma is enlarged; a grey picture is used as it is.
"""

import json
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict
from rich.progress import Progress

from nlrn_jax import degrade, log, metrics
from nlrn_jax import image as im
from nlrn_jax.config import levels, window
from nlrn_jax.data import network_channels
from nlrn_jax.model import NLRN
from nlrn_jax.patches import patch_corners, restore_patches
from nlrn_jax.restore import restore
from nlrn_jax.sources import Image, read_images, split_sources


class Example(NamedTuple):
    """A test pair, float32 [H, W] or [H, W, 3] in [0, 1]; `low` is the uint8 low resolution."""

    name: str
    input: np.ndarray
    original: np.ndarray
    low: np.ndarray | None


class Row(NamedTuple):
    """The figures of one image: PSNR in dB and SSIM of the baseline and of the network."""

    name: str
    baseline: dict[str, float]
    network: dict[str, float]


def read_benchmarks(config: ConfigDict, held_out: list[Image]) -> dict[str, list[Image]]:
    """Read the data sets of `data.eval`, by name; without any, the held-out training images."""
    if not config.data.eval:
        return {"held-out": held_out} if held_out else {}
    return {part: read_images(part) for part in split_sources(config.data.eval)}


def example(image: Image, config: ConfigDict, level: float) -> Example:
    """Degrade a whole image: by noise of `level` grey levels, or by scale `level`."""
    channels = config.model.channels
    if config.task == "denoise":
        original = im.to_float(network_channels(image.pixels, "denoise", channels))
        rng = np.random.default_rng([config.seed, zlib.crc32(Path(image.name).name.encode())])
        return Example(image.name, degrade.add_noise(original, level, rng), original, None)
    pixels = im.crop_to_multiple(image.pixels, level)
    low, enlarged = degrade.degrade_sr(pixels, level)
    enlarged, original = (
        network_channels(picture, "sr", channels) for picture in (enlarged, im.to_float(pixels))
    )
    return Example(image.name, enlarged, original, low)


def score(output: np.ndarray, original: np.ndarray, task: str, level: float) -> dict[str, float]:
    """Score by the task's protocol: {'psnr': dB, 'ssim': ...}."""
    if task == "denoise":
        return metrics.score_denoise(output, original)
    return metrics.score_sr(im.luma(output), im.luma(original), level)


def validate(
    model: NLRN, variables: dict, config: ConfigDict, images: list[Image]
) -> tuple[dict[str, float], list[np.ndarray]]:
    """Score the central squares of a few images while training.

    Returns:
      The mean figures over images and levels (as in `results.json`), and one comparison picture
      for each image.
    """
    crops = [Image(name, _centre(pixels, config.checkpoint.crop)) for name, pixels in images]
    rows, pictures = [], []
    for level in levels(config):
        for crop in crops:
            test = example(crop, config, level)
            stride = max(1, config.evaluate.patch // 2)
            output = _restore(model, variables, test, config, stride)
            row = _row(test, output, config, level)
            rows.append(row)
            pictures.append(comparison(test, output, row))
    return _means(rows), pictures[: len(crops)]


def evaluate(
    model: NLRN,
    variables: dict,
    config: ConfigDict,
    benchmarks: dict[str, list[Image]],
    folder: Path,
) -> dict[str, dict[str, float]]:
    """Score whole images; print a table for each benchmark and level, write pictures and figures.

    Args:
      benchmarks: images by the name of their set.
      folder: gets `NAME/LEVEL/IMAGE.png`, one comparison for each image, and `results.json`.

    Returns:
      The mean figures of each table, as in `results.json`.
    """
    results = {}
    for name, images in benchmarks.items():
        for level in levels(config):
            label = f"sigma {level:g}" if config.task == "denoise" else f"x{level}"
            place = folder / _file_name(name) / _file_name(label)
            rows = _score_set(model, variables, config, images, level, place)
            _print_table(f"{name}, {label}", _baseline(config.task), rows)
            results[f"{name}, {label}"] = _means(rows) | {"images": len(rows)}
    text = json.dumps(results, indent=2) + "\n"
    temporary = folder / "results.json.tmp"
    temporary.write_text(text)
    temporary.replace(folder / "results.json")
    return results


def comparison(test: Example, output: np.ndarray, row: Row) -> np.ndarray:
    """Set input, restoration and original side by side, captioned: uint8 [H', W', 3]."""
    task = "denoise" if test.low is None else "sr"
    pictures = [test.input, output, test.original]
    captions = [
        f"{_baseline(task)} {row.baseline['psnr']:.2f} dB",
        f"NLRN {row.network['psnr']:.2f} dB",
        "original",
    ]
    pictures = [im.to_uint8(picture) for picture in pictures]
    if test.low is not None:
        low = test.low if test.input.ndim == 3 else im.luma(test.low)
        pictures, captions = [low, *pictures], ["low resolution", *captions]
    return im.label_row(pictures, captions)


def _score_set(model, variables, config, images, level, place) -> list[Row]:
    rows, names = [], set()
    with Progress(transient=True) as progress:
        for number, image in enumerate(images, 1):
            test = example(image, config, level)
            bar = progress.add_task(Path(image.name).name, total=_patches(test, config))
            output = _restore(
                model, variables, test, config, config.evaluate.stride,
                lambda done, bar=bar: progress.advance(bar, done),
            )  # fmt: skip
            progress.remove_task(bar)
            rows.append(_row(test, output, config, level))
            if not progress.console.is_terminal:  # there is no bar to look at
                print(f"scored {number}/{len(images)}: {image.name}", flush=True)
            name = _unique(_file_name(Path(image.name).stem), names)
            im.write(place / f"{name}.png", comparison(test, output, rows[-1]))
    return rows


def _restore(model, variables, test, config, stride, advance: Callable | None = None):
    if config.evaluate.whole:
        return restore(model, variables, test.input, neighborhood=window(config))
    patch, batch = config.evaluate.patch, config.evaluate.batch
    return restore_patches(model, variables, test.input, patch, min(stride, patch), batch, advance)


def _row(test: Example, output: np.ndarray, config: ConfigDict, level: float) -> Row:
    baseline = score(test.input, test.original, config.task, level)
    return Row(test.name, baseline, score(output, test.original, config.task, level))


def _patches(test: Example, config: ConfigDict) -> int:
    shape = test.input.shape[:2]
    return len(patch_corners(shape, config.evaluate.patch, config.evaluate.stride))


def _means(rows: list[Row]) -> dict[str, float]:
    return {
        f"{who}_{figure}": float(np.mean([getattr(row, who)[figure] for row in rows]))
        for who in ("baseline", "network")
        for figure in ("psnr", "ssim")
    }


def _print_table(title: str, baseline: str, rows: list[Row]) -> None:
    columns = ["image", f"{baseline} dB", "SSIM", "NLRN dB", "SSIM", "gain dB"]
    means = _means(rows)
    figures = [[Path(row.name).name, *row.baseline.values(), *row.network.values()] for row in rows]
    figures.append(["mean", *means.values()])
    cells = [
        [name, f"{b:.2f}", f"{b_ssim:.4f}", f"{n:.2f}", f"{n_ssim:.4f}", f"{n - b:+.2f}"]
        for name, b, b_ssim, n, n_ssim in figures
    ]
    log.table(title, columns, cells)


def _baseline(task: str) -> str:
    return "noisy" if task == "denoise" else "bicubic"


def _centre(pixels: np.ndarray, side: int) -> np.ndarray:
    top, left = (max(0, (length - side) // 2) for length in pixels.shape[:2])
    return pixels[top : top + side, left : left + side]


def _file_name(text: str) -> str:
    return re.sub(r"[^\w.-]+", "_", text).strip("_.") or "_"


def _unique(name: str, names: set[str]) -> str:
    """Return the name, numbered if an image of the same name in another folder had it before."""
    unique, number = name, 2
    while unique in names:
        unique, number = f"{name}-{number}", number + 1
    names.add(unique)
    return unique
