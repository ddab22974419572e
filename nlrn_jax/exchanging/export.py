"""A run becomes a file of weights: its network, its configuration, and what it reached.

The places of the pictures are left out of it but for their last part: where they lay on one machine
says nothing on another.
"""

import importlib.metadata
import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import jax
from ml_collections import ConfigDict

from nlrn_jax.errors import UserError
from nlrn_jax.exchanging.file import Facts, Weights
from nlrn_jax.exchanging.stored import weights_of
from nlrn_jax.training.run import Checkpoint, find_step, load, read_config
from nlrn_jax.training.split import NAME as SPLIT


def exported(place: str | Path, checkpoint: Checkpoint = "newest") -> Weights:
    """Return what is to be written of a run; of weights, what they are.

    Its figures are those of its evaluations, the newest of each benchmark, level and protocol.

    Raises:
      UserError: as `stored.load_trained`, or an evaluation is damaged.
    """
    weights = weights_of(place, checkpoint)
    if weights is not None:
        return weights
    workdir = Path(place)
    step = find_step(workdir, checkpoint)
    _, variables = load(workdir, step)
    facts = Facts(_version(), step, _pictures(workdir), tuple(_figures(workdir, step)))
    return Weights(_without_places(read_config(workdir)), jax.device_get(variables), facts)


def _version() -> str:
    try:
        return importlib.metadata.version("nlrn_jax")
    except importlib.metadata.PackageNotFoundError:  # a checkout that is not installed
        return ""


def _pictures(workdir: Path) -> int | None:
    path = workdir / SPLIT
    return len(json.loads(path.read_text())["training"]) if path.is_file() else None


def _figures(workdir: Path, step: int) -> Iterator[dict]:
    """Yield the figures of a step, as `Facts` has them."""
    newest = {}
    for path in sorted(workdir.glob("evaluation*/results.json"), key=lambda p: p.stat().st_mtime):
        results = _results(path)
        how = {key: results[key] for key in ("protocol", "seed", "settings")}
        for table, method in itertools.product(results["tables"], results["methods"]):
            if method["checkpoint"] == step and Path(method["run"]).resolve() == workdir.resolve():
                place = {"benchmark": _last(table["benchmark"]), "label": table["label"]}
                figures = {key: table["means"][method["name"]][key] for key in ("psnr", "ssim")}
                newest[str((place, how))] = place | how | figures
    yield from newest.values()


def _results(path: Path) -> dict:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path}: damaged ({error}); score the run again, or remove it") from error


def _without_places(config: ConfigDict) -> ConfigDict:
    config = ConfigDict(config.to_dict())
    config.data.train = ",".join(map(_last, config.data.train.split(",")))
    config.data.eval = ",".join(map(_last, config.data.eval.split(",")))
    config.data.root, config.train.start = (
        Path(place).name for place in (config.data.root, config.train.start)
    )
    return config.lock()


def _last(source: str) -> str:
    """Return a source of pictures without the folders that its last lies in."""
    kind, colon, path = source.partition(":")
    return f"folder:{Path(path).name}" if kind == "folder" and colon else source
