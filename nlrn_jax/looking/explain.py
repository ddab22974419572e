"""What the network looks at from one position, and what it makes of the picture state by state.

Drawn as one picture: the weights of the position's window over the picture, and the output after
each state; `insight.py` says how they come about.
"""

import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict
from PIL import Image as Pillow
from PIL import ImageDraw

from nlrn_jax.config import ConfigError, levels, window
from nlrn_jax.data import pixels as im
from nlrn_jax.data.batches import network_channels
from nlrn_jax.data.degrade import bicubic_resize
from nlrn_jax.data.pixels import ImageError
from nlrn_jax.data.sources import Image
from nlrn_jax.looking.insight import View, look
from nlrn_jax.network.model import NLRN
from nlrn_jax.pictures.colours import paint
from nlrn_jax.pictures.files import open_picture
from nlrn_jax.scoring.metrics import psnr
from nlrn_jax.scoring.protocols import Setting, example
from nlrn_jax.training import log

SIDE = 256  # pixels that are looked at: all states are kept, 1.7 GiB in full size
CELL = 360  # pixels, least height of a drawn window
MARK = (0, 255, 255)  # cyan is not among the colours of weights


class Subject(NamedTuple):
    """A picture as the network sees it, and its original, if known; float32 [H, W(, 3)]."""

    name: str
    input: np.ndarray
    original: np.ndarray | None


def read_subject(
    config: ConfigDict, source: Path | None, original: Path | None, scale: int
) -> Subject:
    """Read the picture to look at.

    Args:
      config: of the run.
      source: noisy, or of low resolution; None: the original is spoiled as in the run's
        evaluation, by its highest noise level or by `scale`.
      original: the clean picture, or None where it is unknown.
      scale: of super-resolution; 1 for a denoiser.

    Raises:
      ImageError: a file cannot be read, or the two do not belong together.
      ConfigError: neither is given.
    """
    if source is None and original is None:
        raise ConfigError("--input (noisy, or of low resolution) or --original (clean) is missing")
    channels = functools.partial(network_channels, task=config.task, channels=config.model.channels)
    if source is None:
        level = scale if config.task == "sr" else levels(config)[-1]
        protocol = {"denoise": "denoise", "sr": "sr_y"}[config.task]
        setting = Setting(protocol, config.model.channels, config.seed)
        test = example(Image(original.name, im.read(original)), setting, level)
        return Subject(original.stem, test.input, test.original)
    pixels = im.to_float(open_picture(source).pixels)
    pixels = channels(bicubic_resize(pixels, scale) if scale > 1 else pixels)
    if original is None:
        return Subject(source.stem, pixels, None)
    clean = channels(im.to_float(open_picture(original).pixels))
    return Subject(source.stem, pixels, _fitted(clean, pixels, scale, original))


def _fitted(clean, pixels, scale, path) -> np.ndarray:
    """Cut an original to the whole low-resolution pixels that are left of it."""
    (height, width), there = pixels.shape[:2], clean.shape[:2]
    if not (0 <= there[0] - height < scale and 0 <= there[1] - width < scale):
        raise ImageError(
            f"{path}: {there[0]} x {there[1]} pixels, but the restored picture has "
            f"{height} x {width}; name its own original"
        )
    return clean[:height, :width]


def check(
    config: ConfigDict, subject: Subject, at: tuple[int, int], states: Sequence[int] | None
) -> list[int]:
    """Return the states to draw: those given, or four from the first to the last.

    Raises:
      ConfigError: there is no such state, or `at` lies outside the picture.
    """
    steps, (height, width) = config.model.steps, subject.input.shape[:2]
    if not (0 <= at[0] < height and 0 <= at[1] < width):
        raise ConfigError(
            f"--at={at[0]},{at[1]}: outside the {height} rows and {width} columns of "
            f"{subject.name}, which are counted from 0"
        )
    if states is None:
        return sorted({round(state) for state in np.linspace(1, steps, 4)})
    if not all(1 <= state <= steps for state in states):
        raise ConfigError(f"--states={','.join(map(str, states))}: the network's are 1 to {steps}")
    return sorted(set(states))


def explain(
    model: NLRN,
    variables: dict,
    config: ConfigDict,
    subject: Subject,
    at: tuple[int, int],
    states: Sequence[int],
    path: Path,
) -> dict:
    """Draw what one position sees at some states, and the output after each; print the figures.

    Of a large picture only the `SIDE` x `SIDE` pixels around the position are looked at.

    Args:
      at: row and column, in pixels of the restored picture.
      states: numbers from 1 to T.
      path: picture to write; its figures go beside it, as JSON.

    Returns:
      The figures: position, window, and of every state the number of positions that it looks at
      (the exponential of the entropy of its weights), its greatest weight, and PSNR in dB.
    """
    subject, (row, column) = _around(subject, at)
    place = at[0] - row, at[1] - column
    image = subject.input.reshape(*subject.input.shape[:2], model.channels)
    model = model.clone(neighborhood=window(config), carry="embeddings")  # less memory
    view = look(model, variables, image, place)
    figures = {
        "picture": subject.name,
        "at": list(at),
        "window": [view.corner[0] + row, view.corner[1] + column, *view.weights.shape[1:]],
        "psnr": "of the part that is looked at, 8 bits, nothing shaved",
        "input_psnr": _psnr(subject.input, subject.original),
        "states": [_figures(view, subject, index) for index in range(model.steps)],
    }
    im.write(path, draw(view, subject, place, states, figures))
    temporary = path.with_suffix(".json.tmp")
    temporary.write_text(json.dumps(figures, indent=2) + "\n")
    temporary.replace(path.with_suffix(".json"))
    _print(figures)
    return figures


def _print(figures: dict) -> None:
    columns = ["state", "positions", "greatest weight", "PSNR dB"]
    rows = [
        [f["state"], f"{f['positions']:.1f}", f"{f['greatest_weight']:.4f}", _or_dash(f["psnr"])]
        for f in figures["states"]
    ]
    title = f"{figures['picture']} from row {figures['at'][0]}, column {figures['at'][1]}"
    log.table(title, columns, rows)


def _or_dash(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _around(subject: Subject, at) -> tuple[Subject, tuple[int, int]]:
    """Cut out what is looked at, and say where it begins."""
    shape = subject.input.shape[:2]
    top, left = (
        max(0, min(place - SIDE // 2, length - SIDE))
        for place, length in zip(at, shape, strict=True)
    )
    part = slice(top, top + SIDE), slice(left, left + SIDE)
    original = None if subject.original is None else subject.original[part]
    return subject._replace(input=subject.input[part], original=original), (top, left)


def _psnr(picture, original) -> float | None:
    if original is None:
        return None
    value = psnr(im.to_uint8(picture), im.to_uint8(original), 255)
    return value if np.isfinite(value) else None


def _figures(view: View, subject: Subject, index: int) -> dict:
    weights = view.weights[index]
    entropy = -np.sum(weights * np.log(np.maximum(weights, 1e-30)))
    return {
        "state": index + 1,
        "positions": float(np.exp(entropy)),
        "greatest_weight": float(weights.max()),
        "psnr": _psnr(view.outputs[index].reshape(subject.input.shape), subject.original),
    }


def draw(
    view: View, subject: Subject, at: tuple[int, int], states: Sequence[int], figures: dict
) -> np.ndarray:
    """Draw the input, the weights at some states over the picture, and the outputs below them.

    Weights are bright in proportion to the greatest of their state. Returns uint8 [H, W, 3].
    """
    shape = subject.input.shape
    outputs = [im.to_uint8(output.reshape(shape)) for output in view.outputs]
    rows, columns = view.weights.shape[1:]
    (top, left), zoom = view.corner, -(-CELL // max(rows, columns))
    part = slice(top, top + rows), slice(left, left + columns)
    place = at[0] - top, at[1] - left
    whole = functools.partial(_outline, view=view, height=rows * zoom)
    heat = [_heat(view.weights[state - 1], outputs[-1][part]) for state in states]
    after = [outputs[state - 1][part] for state in states]
    chosen = [figures["states"][state - 1] for state in states]
    upper = im.label_row(
        [whole(im.to_uint8(subject.input)), *(_mark(cell, place, zoom) for cell in heat)],
        [f"input{_decibels(figures['input_psnr'])}", *map(_seen, chosen)],
    )
    last = outputs[-1] if subject.original is None else im.to_uint8(subject.original)
    lower = im.label_row(
        [whole(last), *(_mark(cell, place, zoom) for cell in after)],
        ["output" if subject.original is None else "original", *map(_made, chosen)],
    )
    return _stack(upper, lower)


def _heat(weights, picture) -> np.ndarray:
    """Lay weights over a picture that is darkened, and covered where they are great."""
    share = weights / weights.max()
    cover = np.sqrt(share)[..., None]
    grey = 0.75 * im.grey(picture)[..., None]
    return np.rint((1 - cover) * grey + cover * paint(0.3 + 0.7 * share)).astype(np.uint8)


def _mark(picture, at, zoom) -> np.ndarray:
    """Enlarge a window and frame the position in it."""
    large = Pillow.fromarray(picture).convert("RGB")
    large = large.resize((large.width * zoom, large.height * zoom), Pillow.Resampling.NEAREST)
    y, x = (place * zoom for place in at)
    ImageDraw.Draw(large).rectangle((x - 2, y - 2, x + zoom + 1, y + zoom + 1), None, MARK, 2)
    return np.array(large)


def _outline(picture, view: View, height: int) -> np.ndarray:
    """Enlarge the whole picture and frame the window in it."""
    scale = height / len(picture)
    large = Pillow.fromarray(picture).convert("RGB")
    large = large.resize((round(large.width * scale), height), Pillow.Resampling.BICUBIC)
    (top, left), (rows, columns) = view.corner, view.weights.shape[1:]
    box = [round(scale * v) for v in (left, top, left + columns, top + rows)]
    ImageDraw.Draw(large).rectangle(box, None, MARK, 2)
    return np.array(large)


def _seen(figures: dict) -> str:
    return f"state {figures['state']}: {figures['positions']:.0f} positions"


def _made(figures: dict) -> str:
    return f"after state {figures['state']}{_decibels(figures['psnr'])}"


def _decibels(value: float | None) -> str:
    return "" if value is None else f": {value:.2f} dB"


def _stack(upper: np.ndarray, lower: np.ndarray) -> np.ndarray:
    width = max(upper.shape[1], lower.shape[1])
    padded = [
        np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)), constant_values=255)
        for row in (upper, lower)
    ]
    return np.concatenate(padded)
