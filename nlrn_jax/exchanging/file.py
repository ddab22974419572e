"""The weights of a network as one file, `.safetensors`, with all that is needed to use them.

The arrays are float32, named by their place, as `params.cell.conv_a.kernel` or
`batch_stats.output_norm.mean`, in the layout that Flax has them in: kernels [rows, columns, inputs,
outputs]. The metadata of the file are one text, `nlrn_jax`: JSON with the `config` of the run, and
the `facts` that are told of it. (safetensors writes several in an order that changes by chance, and
the same network would be another file each time.) A folder that holds such a file as
`model.safetensors`, beside its `config.json`, is what hubs of models have. Imports no JAX.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import safetensors
import safetensors.numpy
from ml_collections import ConfigDict

from nlrn_jax import writing
from nlrn_jax.config.record import from_json, to_json
from nlrn_jax.errors import UserError

ENDING = ".safetensors"
NAME = f"model{ENDING}"  # in a folder
TOLD = "nlrn_jax"  # what the metadata are called


class Facts(NamedTuple):
    """What is told of a network beside its configuration.

    Attributes:
      version: of this program, which wrote the file.
      steps: of training.
      pictures: how many it learned from; None where that is not on record.
      figures: what it reached, a dict each: benchmark, label, protocol, seed, psnr, ssim.
    """

    version: str = ""
    steps: int = 0
    pictures: int | None = None
    figures: tuple[dict, ...] = ()


class Weights(NamedTuple):
    """What a file holds: the configuration, {'params', 'batch_stats'}, and facts."""

    config: ConfigDict
    variables: dict
    facts: Facts


def write_weights(path: str | Path, weights: Weights, overwrite: bool = False) -> Path:
    """Write weights as one file, or into a folder as hubs have it; return the file.

    Args:
      path: FILE.safetensors; with any other name it is a folder.
      weights: float32.
      overwrite: replace a file that is there.

    Raises:
      UserError: something is there already.
    """
    file = file_in(path)
    require_free(path, overwrite)
    # safetensors writes the memory as it lies: of a transposed array that would be another one
    arrays = {
        name: np.ascontiguousarray(array, np.float32) for name, array in flat(weights.variables)
    }
    config = to_json(weights.config)
    told = {"config": json.loads(config), "facts": weights.facts._asdict()}
    with writing.replaced(file) as temporary:
        temporary.write_bytes(safetensors.numpy.save(arrays, {TOLD: json.dumps(told)}))
    if file != Path(path):
        writing.write_text(file.with_name("config.json"), config)
    return file


def file_in(path: str | Path) -> Path:
    """Return the file of weights that a path means: itself, or one in a folder."""
    path = Path(path)
    return path if path.suffix == ENDING else path / NAME


def require_free(path: str | Path, overwrite: bool) -> None:
    """Refuse a place for weights where there is something already.

    Raises:
      UserError: names it.
    """
    file = file_in(path)
    written = [file] if file == Path(path) else [file, file.with_name("config.json")]
    if len(written) > 1 and (file.parent / "checkpoints").is_dir():
        raise UserError(f"{file.parent}: is the folder of a run; name another --output")
    if file.parent.exists() and not file.parent.is_dir():
        raise UserError(f"{file.parent}: is a file; end the name in {ENDING}, or name a folder")
    require_absent(written, overwrite)


def require_absent(files: list[Path], overwrite: bool) -> None:
    """Refuse to replace files, unless that is wanted, and to write where nothing may be.

    Raises:
      UserError: names the first that is there, or the folder.
    """
    writing.require_place(files[0])
    if there := [file for file in files if file.exists() and not overwrite]:
        raise UserError(f"{there[0]}: exists already; name another --output, or give --overwrite")


def is_weights(path: str | Path) -> bool:
    """Tell whether a path is meant as a file of weights, or is a folder that holds one."""
    return Path(path).suffix == ENDING or file_in(path).is_file()


def read_weights(path: str | Path) -> Weights:
    """Read weights: of FILE.safetensors, or of a folder as hubs have it.

    Raises:
      UserError: no such file, not one of safetensors, or without a configuration.
    """
    file = file_in(path)
    told, arrays = _opened(file)
    return Weights(_config(file, told), nested(arrays), _facts(file, told))


def flat(tree: dict, place: str = "") -> Iterator[tuple[str, np.ndarray]]:
    """Yield the arrays of a tree with their names, dots between."""
    for name, branch in tree.items():
        if isinstance(branch, dict):
            yield from flat(branch, f"{place}{name}.")
        else:
            yield place + name, branch


def nested(arrays: dict[str, np.ndarray]) -> dict:
    """Return the tree that `flat` took apart."""
    tree: dict = {}
    for name, array in arrays.items():
        *places, last = name.split(".")
        branch = tree
        for place in places:
            branch = branch.setdefault(place, {})
        branch[last] = array
    return tree


def _opened(file: Path) -> tuple[dict, dict[str, np.ndarray]]:
    """Return what is told in a file, {} where it is none of ours, and its arrays."""
    if not file.is_file():
        raise UserError(f"{file}: no such file; a file of weights is needed, NAME{ENDING}")
    try:
        with safetensors.safe_open(file, "numpy") as opened:
            arrays = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
            return json.loads((opened.metadata() or {}).get(TOLD, "{}")), arrays
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error}); check its permissions") from error
    except (safetensors.SafetensorError, TypeError, ValueError) as error:  # of another type too
        raise UserError(
            f"{file}: is no whole file of weights ({_line(error)}); export or copy it again"
        ) from error


def _config(file: Path, told: dict) -> ConfigDict:
    """Read the configuration in a file, or that which lies beside one in a folder."""
    beside = file.with_name("config.json")
    try:
        if "config" in told:
            return from_json(json.dumps(told["config"]))
        if file.name == NAME and beside.is_file():
            return from_json(beside.read_text(encoding="utf-8"))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{file}: its config is none of this program ({_line(error)}); make the file by "
            "--mode=export"
        ) from error
    raise UserError(
        f"{file}: its metadata hold no config, so it is not known of which network it is; make it "
        "by --mode=export"
    )


def _facts(file: Path, told: dict) -> Facts:
    try:
        facts = Facts(**told.get("facts", {}))
        return facts._replace(figures=tuple(facts.figures), steps=int(facts.steps))
    except (ValueError, TypeError) as error:
        raise UserError(
            f"{file}: its facts cannot be read ({_line(error)}); make it by --mode=export"
        ) from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:100] or type(error).__name__
