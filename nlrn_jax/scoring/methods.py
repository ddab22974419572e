"""What is compared: the baseline, classical denoisers, and the networks of runs."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from nlrn_jax import config as configuration
from nlrn_jax.config import ConfigError
from nlrn_jax.data import pixels as im
from nlrn_jax.data.sources import Image, hold_out, read_images
from nlrn_jax.network.model import NLRN, count_parameters
from nlrn_jax.restoring.patches import patch_corners, restore_patches
from nlrn_jax.restoring.restore import VIEWS, average_views, restore, restore_by
from nlrn_jax.scoring.classical import DENOISERS
from nlrn_jax.scoring.protocols import Example
from nlrn_jax.training.checkpoints import CheckpointError, find_step, load, read_config

Figures = dict[str, float]  # {'psnr': dB, 'ssim': ...}

_OF_NETWORKS = ("model.", "degrade.", "data.patch")  # fields that say what a network is

Advance = Callable[[float], None]  # called with the fraction of an image done since the last call


class Method(NamedTuple):
    """A way to restore an example, and what is told about it.

    Attributes:
      name: shown in tables, unique among the methods of an evaluation.
      kind: 'baseline', 'classical' or 'network'.
      restore: (example, noise level or scale, progress) -> float, as the example's input.
      parameters, run, checkpoint: of a network: their number, its workdir, the step.
    """

    name: str
    kind: str
    restore: Callable[[Example, float, Advance | None], np.ndarray]
    parameters: int | None = None
    run: str | None = None
    checkpoint: int | None = None


class Output(NamedTuple):
    """What a method made of an image: pixels, figures, and the seconds it took.

    The seconds are None where something was compiled meanwhile.
    """

    pixels: np.ndarray
    figures: Figures
    seconds: float | None


class Network(NamedTuple):
    """A checkpoint of a run that is to be evaluated; `config` is what it is evaluated with."""

    name: str
    run: str
    checkpoint: int
    config: ConfigDict


def find_networks(runs: list[str], checkpoints: list[str], config: ConfigDict) -> list[Network]:
    """Find what is to be evaluated, without reading weights.

    Args:
      runs: their workdirs.
      checkpoints: of each run: 'newest', 'best' or steps.
      config: what is measured, see `config.evaluated_as`.

    Raises:
      CheckpointError: no run or checkpoint there, or one of another task.
    """
    names = _names(runs)
    networks = []
    for run in runs:
        its = configuration.evaluated_as(read_config(run), config)
        if its.task != config.task:
            raise CheckpointError(
                f"{run} was trained for task {its.task!r}, --config is of task {config.task!r}: "
                "name a recipe of its task"
            )
        steps = dict.fromkeys(find_step(run, checkpoint) for checkpoint in checkpoints)
        for step in steps:
            name = f"{names[run]} @{step}" if len(steps) > 1 else names[run]
            networks.append(Network(name, run, step, its))
    if len({network.config.model.channels for network in networks}) > 1:
        raise CheckpointError(
            "networks of 1 and of 3 channels see different images: evaluate them one by one"
        )
    return networks


def common_levels(networks: list[Network], config: ConfigDict) -> tuple[float, ...]:
    """Return the noise levels or scales to evaluate: `evaluate.levels`, or those trained for.

    Raises:
      ConfigError: a scale that a network was not trained for, or no level common to all.
    """
    trained = [configuration.levels(network.config) for network in networks]
    levels = tuple(dict.fromkeys(config.evaluate.levels))
    if not levels:
        levels = tuple(level for level in trained[0] if all(level in known for known in trained))
        if not levels:
            raise ConfigError(
                "the networks were trained for different levels: name config.evaluate.levels"
            )
    for network, known in zip(networks, trained, strict=True):
        if config.task == "sr" and not set(levels) <= set(known):
            raise ConfigError(
                f"config.evaluate.levels={levels}: {network.run} was trained for {known}"
            )
    return levels


def remarks(networks: list[Network], levels: tuple[float, ...], config: ConfigDict) -> list[str]:
    """Say, a line each, in what networks are not what --config describes, or meet new noise."""
    lines = []
    for network in {network.run: network for network in networks}.values():
        differing = configuration.differences(network.config, config)
        fields = [line for line in differing if line.startswith(_OF_NETWORKS)]
        if fields:
            text = "; ".join(fields)
            lines.append(f"{network.run} is used as it was trained, whatever --config says: {text}")
        known = configuration.levels(network.config)
        new = [level for level in levels if not min(known) <= level <= max(known)]
        if new:
            lines.append(
                f"{network.run} was trained for {known}, and meets {tuple(new)} first here"
            )
    return lines


def held_out_images(networks: list[Network]) -> list[Image]:
    """Read the images that the runs kept out of their training.

    Raises:
      ConfigError: they are not the same.
    """
    sources = {(network.config.data.train, network.config.data.holdout) for network in networks}
    if len(sources) > 1:
        raise ConfigError(
            "the runs keep different images out of training: name what to score in config.data.eval"
        )
    ((source, count),) = sources
    return hold_out(read_images(source), count)[1]


def baseline(task: str) -> Method:
    """Return what every restoration is compared with: the noisy image, or bicubic."""
    name = "noisy" if task == "denoise" else "bicubic"
    return Method(name, "baseline", lambda test, level, advance: test.input)


def classical(names: list[str]) -> list[Method]:
    """Return the classical denoisers of these names, see `classical.py`."""

    def method(title, denoise):
        return Method(title, "classical", lambda test, level, advance: denoise(test.input, level))

    return [method(*DENOISERS[name]) for name in names]


def network(found: Network) -> Method:
    """Load a network."""
    model, variables = load(found.run, found.checkpoint)
    way = functools.partial(restore_example, model, variables, found.config)
    parameters = count_parameters(variables["params"])
    return Method(found.name, "network", way, parameters, found.run, found.checkpoint)


def restore_example(
    model: NLRN,
    variables: dict,
    config: ConfigDict,
    test: Example,
    level: float,
    advance: Advance | None = None,
) -> np.ndarray:
    """Restore an example as `config.evaluate` says: float32 of its input's shape, not clipped."""
    way = functools.partial(_restore, model, variables, config, advance=advance)
    way = average_views(way) if config.evaluate.ensemble else way
    if test.input.ndim == 3 and model.channels == 1:  # the luma of a colour picture, in sr_rgb
        return restore_by(way, model, im.to_float(test.low), level)
    return way(test.input)


def _restore(model, variables, config, pixels, advance):
    """Restore [H, W] or [H, W, C] in the network's channels."""
    settings = config.evaluate
    views = VIEWS if settings.ensemble else 1
    if settings.whole:
        share = advance and (lambda fraction: advance(fraction / views))
        window = configuration.window(config)
        return restore(model, variables, pixels, neighborhood=window, advance=share)
    patch, stride = settings.patch, settings.stride
    total = views * len(patch_corners(pixels.shape[:2], patch, stride))
    share = advance and (lambda patches: advance(patches / total))
    return restore_patches(model, variables, pixels, patch, stride, settings.batch, share)


def _names(runs: list[str]) -> dict[str, str]:
    """Name each run by its folder, or by its whole path where two folders are called alike."""
    short = {run: f"NLRN {Path(run).resolve().name}" for run in runs}
    alike = len(set(short.values())) < len(runs)
    return {run: f"NLRN {run}" for run in runs} if alike else short
