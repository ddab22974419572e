"""What the network looks at from one position, and what it makes of the picture state by state.

Drawn as one picture: the weights of the position's window over the picture, and the output after
each state; `insight.py` says how they come about.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import psutil
from ml_collections import ConfigDict

from nlrn_jax.data.pixels import to_uint8
from nlrn_jax.errors import UserError
from nlrn_jax.looking.insight import View, look
from nlrn_jax.looking.overlay import draw
from nlrn_jax.looking.subject import Subject, around
from nlrn_jax.network.block import DISTANCES
from nlrn_jax.network.build import Model, build_model
from nlrn_jax.pictures.files import write_pixels
from nlrn_jax.restoring.memory import amount, bytes_of_tile
from nlrn_jax.scoring.metrics import psnr
from nlrn_jax.terminal import print_table, working
from nlrn_jax.writing import write_json


def check(
    config: ConfigDict, subject: Subject, at: tuple[int, int], states: Sequence[int] | None
) -> list[int]:
    """Return the states to draw: those given, or four from the first to the last.

    A state is a block in DnCNN.

    Raises:
      UserError: there is no such state, none at all, or none with weights that add up to one, or
        `at` lies outside the picture.
    """
    model, (height, width) = build_model(config), subject.input.shape[:2]
    if not model.looks:
        raise UserError("config.model.blocks=(): a network without a non-local block looks nowhere")
    if DISTANCES[model.distance].weights != "softmax":
        raise UserError(
            f"config.model.distance={model.distance!r}: its weights add up to no one, and are no "
            "shares to draw; those of a softmax are"
        )
    if not (0 <= at[0] < height and 0 <= at[1] < width):
        raise UserError(
            f"--at={at[0]},{at[1]}: outside the {height} rows and {width} columns of "
            f"{subject.name}, which are counted from 0"
        )
    if states is None:
        return sorted({round(state) for state in np.linspace(1, model.looks, 4)})
    if not all(1 <= state <= model.looks for state in states):
        given = ",".join(map(str, states))
        named = ", ".join(model.look_names)
        raise UserError(f"--states={given}: the network's are 1 to {model.looks}: {named}")
    return sorted(set(states))


def explain(
    model: Model,
    variables: dict,
    subject: Subject,
    at: tuple[int, int],
    states: Sequence[int],
    path: Path,
) -> dict:
    """Draw what one position sees at some states, and the output after each; print the figures.

    Of a large picture only the `SIDE` x `SIDE` pixels around the position are looked at. Where not
    even they fit the memory, that is a UserError.

    Args:
      at: row and column, in pixels of the restored picture.
      states: numbers from 1 to T; of blocks, in their order.
      path: picture to write; its figures go beside it, as JSON.

    Returns:
      The figures: position, window, and of every state the number of positions that it looks at
      (the exponential of the entropy of its weights), its greatest weight, and PSNR in dB, None
      where the network has no output after it.
    """
    subject, (row, column) = around(subject, at)
    place = at[0] - row, at[1] - column
    image = subject.input.reshape(*subject.input.shape[:2], model.channels)
    model = model.clone(neighborhood=model.window).forms[0]  # less memory
    _require_room(model, image.shape[:2])
    with working(f"looking at {subject.name}"):
        view = look(model, variables, image, place)
    figures = {
        "picture": subject.name,
        "at": list(at),
        "window": [view.corner[0] + row, view.corner[1] + column, *view.weights.shape[1:]],
        "psnr": "of the part that is looked at, 8 bits, nothing shaved",
        "input_psnr": _psnr(subject.input, subject.original),
        "output_psnr": _psnr(view.output.reshape(subject.input.shape), subject.original),
        "states": [_figures(view, subject, model, index) for index in range(model.looks)],
    }
    write_pixels(path, draw(view, subject, place, states, figures))
    write_json(path.with_suffix(".json"), figures)
    _print(figures)
    return figures


def _require_room(model: Model, shape: tuple[int, int]) -> None:
    """Refuse what does not fit the memory that is free: the states are all kept, and drawn from."""
    kept = 8 * model.looks * (model.filters + 2 * model.compared)
    taken = bytes_of_tile(model, shape) + math.prod(shape) * kept
    free = psutil.virtual_memory().available
    if taken > free:
        raise UserError(
            f"looking at {shape[0]} x {shape[1]} pixels takes {amount(taken)}, and {amount(free)} "
            "are free: end other programs, or cut the picture"
        )


def _print(figures: dict) -> None:
    columns = ["in", "positions", "greatest weight", "PSNR dB"]
    rows = [
        [f["name"], f"{f['positions']:.1f}", f"{f['greatest_weight']:.4f}", _or_dash(f["psnr"])]
        for f in figures["states"]
    ]
    title = f"{figures['picture']} from row {figures['at'][0]}, column {figures['at'][1]}"
    rows.append(["output", "", "", _or_dash(figures["output_psnr"])])
    print_table(title, columns, rows)


def _or_dash(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _psnr(picture: np.ndarray, original: np.ndarray | None) -> float | None:
    if original is None:
        return None
    value = psnr(to_uint8(picture), to_uint8(original), 255)
    return value if np.isfinite(value) else None


def _figures(view: View, subject: Subject, model: Model, index: int) -> dict:
    weights, shape = view.weights[index], subject.input.shape
    after = None if view.after is None else view.after[index].reshape(shape)
    entropy = -np.sum(weights * np.log(np.maximum(weights, 1e-30)))
    return {
        "state": index + 1,
        "name": model.look_names[index],
        "positions": float(np.exp(entropy)),
        "greatest_weight": float(weights.max()),
        "psnr": None if after is None else _psnr(after, subject.original),
    }
