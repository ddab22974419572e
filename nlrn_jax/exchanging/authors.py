"""The networks of the authors' two TensorFlow programs, as this one's variables.

Both name their variables alike (Ding-Liu/NLRN_v0 and Ding-Liu/NLRN, models/nlrn.py), and differ in
what they feed them: the first 0 to 255, with the correlation handed on; the second 0 to 1, with
none. Which it was shows in what the input's batch norm has seen.
"""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from nlrn_jax.errors import UserError
from nlrn_jax.exchanging.bundle import read_bundle
from nlrn_jax.exchanging.file import Facts, Weights, nested
from nlrn_jax.network.layers import EPSILON, GREY_LEVELS

CONVOLUTIONS = {  # ours -> theirs
    "input_conv": "conv1",
    "cell.theta": "rnn/non_local_theta",
    "cell.phi": "rnn/non_local_phi",
    "cell.g": "rnn/non_local_g",
    "cell.conv_a": "rnn/RB1_a",
    "cell.conv_b": "rnn/RB1_b",
    "output_conv": "conv_end",
}
WEIGHTS = ("kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance")
AFFINE, STATISTICS = ("gamma", "beta"), ("moving_mean", "moving_variance")
BRIGHTEST = 2.0  # the mean input of a network that was fed 0 to 1 is less, of one fed grey more


class Found(NamedTuple):
    """A network of the authors.

    Attributes:
      variables: {'params', 'batch_stats'}, as `NLRN` has them.
      fields: of `config.model`, as it was built.
      program: 'NLRN_v0' or 'NLRN'.
      left_out: how many arrays that are no weights, as those of the optimiser.
    """

    variables: dict
    fields: dict
    program: str
    left_out: int


def read_authors(path: str | Path) -> Found:
    """Read a checkpoint of the authors: PREFIX of TensorFlow's files, or an .npz of their names.

    Raises:
      UserError: no checkpoint, a variable that is missing, unknown, or of another shape.
    """
    arrays = _read_npz(Path(path)) if str(path).endswith(".npz") else read_bundle(path)
    weights = _Names(str(path), arrays)
    flat = _convolved(weights)
    channels, filters = flat["params.input_conv.kernel"].shape[2:]
    flat |= _normed(weights, channels, filters) | _of_states(weights, filters)
    weights.require_all_taken()
    first = flat["batch_stats.input_norm.mean"].mean() > BRIGHTEST
    fields = {
        "network": "nlrn", "channels": channels, "filters": filters,
        "embedding": flat["params.cell.theta.kernel"].shape[1],
        "steps": len(flat["params.norms.scale"]), "propagate": bool(first),
        "share": True, "neighborhood": None, "distance": "embedded_gaussian",
    }  # fmt: skip
    flat = flat if first else _in_grey_levels(flat)
    left_out = len(arrays) - len(weights.taken)
    return Found(nested(flat), fields, "NLRN_v0" if first else "NLRN", left_out)


def as_weights(found: Found, config: ConfigDict) -> Weights:
    """Return weights of a network of the authors; config says for what it was trained."""
    config = ConfigDict(config.to_dict())
    config.model.update(found.fields)
    return Weights(config.lock(), found.variables, Facts())


def told(found: Found) -> str:
    """Say in one line what was found."""
    fields = found.fields
    correlation = "the correlation handed on" if fields["propagate"] else "no correlation handed on"
    text = (
        f"{fields['steps']} states, {fields['filters']} filters, embeddings of "
        f"{fields['embedding']}, {fields['channels']} channel(s), {correlation}, as in "
        f"{found.program}"
    )
    return text + (f"; {found.left_out} arrays are no weights" if found.left_out else "")


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as stored:
            return dict(stored)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as .npz ({error})") from error


class _Names:
    """The arrays of a checkpoint by the authors' names, without the scope before them."""

    def __init__(self, path: str, arrays: dict[str, np.ndarray]) -> None:
        self.path, self.arrays, self.taken = path, arrays, set()
        scopes = [name.removesuffix("conv1/kernel") for name in arrays]
        scopes = [s for s, name in zip(scopes, arrays, strict=True) if s != name]
        if len(scopes) != 1:
            raise UserError(
                f"{path}: has {len(scopes)} variables conv1/kernel; one is that of a network of "
                "the authors' programs"
            )
        self.scope = scopes[0]

    def take(self, name: str, shape: tuple[int | None, ...]) -> np.ndarray:
        """Return an array, and refuse one that is missing or of another shape; None is any."""
        full = self.scope + name
        if full not in self.arrays:
            raise UserError(f"{self.path}: has no variable {full}")
        array = self.arrays[full]
        pairs = zip(array.shape, shape, strict=False)
        if array.ndim != len(shape) or any(wanted not in (None, size) for size, wanted in pairs):
            wanted = str(shape).replace("None", "any")
            raise UserError(f"{self.path}: {full} is {array.shape}, it should be {wanted}")
        self.taken.add(full)
        return np.asarray(array, np.float32)

    def norm(self, number: int, width: int, scope: str = "") -> dict[str, np.ndarray]:
        """Return the four arrays of a batch norm by its number in a scope."""
        name = f"{scope}batch_normalization" + (f"_{number}" if number else "")
        return {part: self.take(f"{name}/{part}", (width,)) for part in AFFINE + STATISTICS}

    def count_norms(self, scope: str) -> int:
        """Count the batch norms of a scope."""
        pattern = re.escape(self.scope + scope) + r"batch_normalization(_\d+)?/gamma"
        return sum(bool(re.fullmatch(pattern, name)) for name in self.arrays)

    def require_all_taken(self) -> None:
        """Refuse weights that belong to nothing; what is no weight is the optimiser's."""
        for name in sorted(self.arrays):
            if name not in self.taken and name.rpartition("/")[2] in WEIGHTS:
                raise UserError(f"{self.path}: {name} is unknown: no network of the authors has it")


def _convolved(weights: _Names) -> dict[str, np.ndarray]:
    flat = {}
    channels, filters = weights.take("conv1/kernel", (3, 3, None, None)).shape[2:]
    theta = "rnn/non_local_theta"
    embedding = weights.take(f"{theta}/kernel", (1, 1, filters, None)).shape[3]
    inputs = {"conv1": channels}
    outputs = {theta: embedding, "rnn/non_local_phi": embedding, "conv_end": channels}
    for ours, theirs in CONVOLUTIONS.items():
        side = 1 if "non_local" in theirs else 3
        shape = side, side, inputs.get(theirs, filters), outputs.get(theirs, filters)
        kernel = weights.take(f"{theirs}/kernel", shape)
        bias = weights.take(f"{theirs}/bias", kernel.shape[-1:])
        flat[f"params.{ours}.kernel"] = kernel[0, 0] if side == 1 else kernel
        flat[f"params.{ours}.bias"] = bias
    return flat


def _normed(weights: _Names, channels: int, filters: int) -> dict[str, np.ndarray]:
    flat = {}
    for number, (ours, width) in enumerate((("input_norm", channels), ("output_norm", filters))):
        norm = weights.norm(number, width)
        flat |= {f"params.{ours}.scale": norm["gamma"], f"params.{ours}.bias": norm["beta"]}
        flat[f"batch_stats.{ours}.mean"] = norm["moving_mean"]
        flat[f"batch_stats.{ours}.var"] = norm["moving_variance"]
    return flat


def _of_states(weights: _Names, filters: int) -> dict[str, np.ndarray]:
    """Return the norms of all states, three a state in order of use."""
    count = weights.count_norms("rnn/")
    if not count or count % 3:
        raise UserError(f"{weights.path}: has {count} batch norms in rnn/; there are 3 a state")
    norms = [weights.norm(number, filters, "rnn/") for number in range(count)]
    stacked = {
        part: np.stack([norm[part] for norm in norms]).reshape(count // 3, 3, -1)
        for part in AFFINE + STATISTICS
    }
    flat = {"params.norms.scale": stacked["gamma"], "params.norms.offset": stacked["beta"]}
    for place in range(3):
        flat[f"batch_stats.cell.norm_{place + 1}.mean"] = stacked["moving_mean"][:, place]
        flat[f"batch_stats.cell.norm_{place + 1}.var"] = stacked["moving_variance"][:, place]
    return flat


def _in_grey_levels(flat: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the same network for 255 times its input, with 255 times its residual."""
    mean, variance = (flat[f"batch_stats.input_norm.{part}"] for part in ("mean", "var"))
    scaled = {
        "batch_stats.input_norm.mean": GREY_LEVELS * mean,
        "batch_stats.input_norm.var": GREY_LEVELS**2 * (variance + EPSILON) - EPSILON,
    }
    for part in ("kernel", "bias"):
        name = f"params.output_conv.{part}"
        scaled[name] = GREY_LEVELS * flat[name]
    return flat | scaled
