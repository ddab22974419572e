"""What a position sees, drawn: the weights of its window over the picture, and the outputs."""

import functools
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from nlrn_jax.data.pixels import grey, to_uint8
from nlrn_jax.looking.insight import View
from nlrn_jax.looking.subject import Subject
from nlrn_jax.pictures.colours import paint
from nlrn_jax.pictures.panels import label_row, stack

CELL = 360  # pixels, least height of a drawn window
MARK = (0, 255, 255)  # cyan is not among the colours of weights


def draw(
    view: View, subject: Subject, at: tuple[int, int], states: Sequence[int], figures: dict
) -> np.ndarray:
    """Draw the input, the weights at some states over the picture, and the outputs below them.

    Weights are bright in proportion to the greatest of their state. Returns uint8 [H, W, 3].
    """
    shape = subject.input.shape
    output = to_uint8(view.output.reshape(shape))
    rows, columns = view.weights.shape[1:]
    (top, left), zoom = view.corner, -(-CELL // max(rows, columns))
    part = slice(top, top + rows), slice(left, left + columns)
    place = at[0] - top, at[1] - left
    whole = functools.partial(_outline, view=view, height=rows * zoom)
    heat = [_heat(view.weights[state - 1], output[part]) for state in states]
    chosen = [figures["states"][state - 1] for state in states]
    upper = label_row(
        [whole(to_uint8(subject.input)), *(_mark(cell, place, zoom) for cell in heat)],
        [f"input{_decibels(figures['input_psnr'])}", *map(_seen, chosen)],
    )
    made = {"output" + _decibels(figures["output_psnr"]): output}
    if view.after is not None:
        after = [to_uint8(view.after[state - 1].reshape(shape)) for state in states]
        made = dict(zip(map(_made, chosen), after, strict=True))
    last = output if subject.original is None else to_uint8(subject.original)
    lower = label_row(
        [whole(last), *(_mark(picture[part], place, zoom) for picture in made.values())],
        ["output" if subject.original is None else "original", *made],
    )
    return stack([upper, lower])


def _heat(weights: np.ndarray, picture: np.ndarray) -> np.ndarray:
    """Lay weights over a picture that is darkened, and covered where they are great."""
    share = weights / weights.max()
    cover = np.sqrt(share)[..., None]
    below = 0.75 * grey(picture)[..., None]
    return np.rint((1 - cover) * below + cover * paint(0.3 + 0.7 * share)).astype(np.uint8)


def _mark(picture: np.ndarray, at: tuple[int, int], zoom: int) -> np.ndarray:
    """Enlarge a window and frame the position in it."""
    large = Image.fromarray(picture).convert("RGB")
    large = large.resize((large.width * zoom, large.height * zoom), Image.Resampling.NEAREST)
    y, x = (place * zoom for place in at)
    top, left = max(0, y - 2), max(0, x - 2)
    bottom, right = min(large.height - 1, y + zoom + 1), min(large.width - 1, x + zoom + 1)
    ImageDraw.Draw(large).rectangle((left, top, right, bottom), None, MARK, 2)
    return np.array(large)


def _outline(picture: np.ndarray, view: View, height: int) -> np.ndarray:
    """Enlarge the whole picture and frame the window in it."""
    scale = height / len(picture)
    large = Image.fromarray(picture).convert("RGB")
    large = large.resize((round(large.width * scale), height), Image.Resampling.BICUBIC)
    (top, left), (rows, columns) = view.corner, view.weights.shape[1:]
    box = [round(scale * v) for v in (left, top, left + columns, top + rows)]
    ImageDraw.Draw(large).rectangle(box, None, MARK, 2)
    return np.array(large)


def _seen(figures: dict) -> str:
    return f"{figures['name']}: {figures['positions']:.0f} positions"


def _made(figures: dict) -> str:
    return f"after {figures['name']}{_decibels(figures['psnr'])}"


def _decibels(value: float | None) -> str:
    return "" if value is None else f": {value:.2f} dB"
