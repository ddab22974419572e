"""Which networks are scored: checkpoints of runs, found and checked before any work."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ml_collections import ConfigDict

from nlrn_jax.config.checks import check_evaluation
from nlrn_jax.config.levels import is_trained_for, levels, measuring_protocol, scored_levels
from nlrn_jax.config.record import differences, evaluated_as
from nlrn_jax.data.sources import Image, read_images
from nlrn_jax.errors import UserError
from nlrn_jax.exchanging import shipped
from nlrn_jax.exchanging.stored import find_step, read_config
from nlrn_jax.network.build import title_of
from nlrn_jax.training.split import digest, held_out_of

_OF_NETWORKS = ("model.", "degrade.", "data.patch")  # fields that say what a network is
_OF_SCORING = ("seed", "data.eval", "data.root", "evaluate.")  # see `config.evaluated_as`


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
      UserError: no run or checkpoint there, one of another task or protocol, or what cannot be
        measured of it.
    """
    configs = {run: read_config(run) for run in runs}
    names = _names(configs)
    networks = []
    for run in runs:
        its = evaluated_as(configs[run], config)
        if its.task != config.task:
            raise UserError(
                f"{run} was trained for task {its.task!r}, --config is of task {config.task!r}: "
                "name a recipe of its task, or leave --config out"
            )
        check_evaluation(its)
        steps = dict.fromkeys(find_step(run, checkpoint) for checkpoint in checkpoints)
        for step in steps:
            name = f"{names[run]} @{step}" if len(steps) > 1 else names[run]
            networks.append(Network(name, run, step, its))
    if len({network.config.model.channels for network in networks}) > 1:
        raise UserError(
            "networks of 1 and of 3 channels see different images: evaluate them one by one, each "
            "with a --workdir of its own"
        )
    ways = {measuring_protocol(network.config) for network in networks}
    if len(ways) > 1:
        raise UserError(
            f"the networks are of different protocols, {' and '.join(sorted(ways))}: name one, as "
            f"in --config.evaluate.protocol={min(ways)}"
        )
    return networks


def common_levels(networks: list[Network], config: ConfigDict) -> tuple[float, ...]:
    """Return the levels of the protocol to evaluate: `evaluate.levels`, or those all have met.

    A network that was trained for nothing of what the protocol measures is not asked; where all
    are such, its usual levels.

    Raises:
      UserError: a scale that a network was not trained for, or no level common to all.
    """
    levels = tuple(dict.fromkeys(config.evaluate.levels))
    if not levels:
        trained = [network for network in networks if _known(network)]
        scored = dict.fromkeys(level for net in trained or networks for level in _scored(net))
        levels = tuple(level for level in scored if all(_met(level, net) for net in trained))
        if not levels:
            known = ", ".join(str(_known(net)) for net in trained)
            raise UserError(
                f"the networks were trained for different levels, {known}: "
                "name those to score, as in --config.evaluate.levels='(25.,)'"
            )
    for network in networks:
        if config.task == "sr" and not all(_met(level, network) for level in levels):
            raise UserError(
                f"--config.evaluate.levels={levels}: {network.run} was trained for "
                f"{_known(network)} alone"
            )
    return levels


def remarks(
    networks: list[Network], levels: tuple[float, ...], config: ConfigDict, given: Sequence[str]
) -> list[str]:
    """Say, a line each, in what networks are not what --config describes, or meet new noise.

    Args:
      given: the fields of `config` that the command line set: none is passed over in silence.
    """
    named = tuple(f"{field}:" for field in given if not field.startswith(_OF_SCORING))
    lines = []
    for network in {network.run: network for network in networks}.values():
        differing = differences(network.config, config)
        fields = [line for line in differing if line.startswith((*_OF_NETWORKS, *named))]
        if fields:
            text = "; ".join(fields)
            lines.append(f"{network.run} is used as it was trained, whatever --config says: {text}")
        new = tuple(level for level in levels if not _met(level, network))
        if new:
            known = _known(network) or f"nothing of what {_protocol(network)} measures"
            lines.append(f"{network.run} was trained for {known}, and meets {new} first here")
    return lines


def held_out_images(networks: list[Network]) -> list[Image]:
    """Read the images that the runs kept out of their training.

    Raises:
      UserError: they are not the same, or unknown.
    """
    runs = {network.run: network.config.data for network in networks}
    for place in filter(shipped.file_of, runs):
        raise UserError(
            f"{place}: weights bring no pictures: name what to score, as in "
            "--config.data.eval=folder:PATH"
        )
    most = round(1e6 * max(data.max_megapixels for data in runs.values()))
    sources = {data.train for data in runs.values()}
    images = {source: read_images(source, most) for source in sources}
    kept_out = [held_out_of(run, images[data.train], data.holdout) for run, data in runs.items()]
    if len({tuple(map(digest, held_out)) for held_out in kept_out}) > 1:
        raise UserError(
            "the runs keep different images out of training: name what to score, as in "
            "--config.data.eval=folder:PATH"
        )
    return kept_out[0]


def _protocol(network: Network) -> str:
    return measuring_protocol(network.config)


def _known(network: Network) -> tuple[float, ...]:
    return levels(network.config, _protocol(network))


def _scored(network: Network) -> tuple[float, ...]:
    return scored_levels(network.config, _protocol(network))


def _met(level: float, network: Network) -> bool:
    return is_trained_for(network.config, level, _protocol(network))


def _names(configs: dict[str, ConfigDict]) -> dict[str, str]:
    """Name each run by its folder, or by its whole path where two folders are called alike."""
    titles = {run: title_of(config) for run, config in configs.items()}
    short = {run: f"{title} {Path(run).resolve().name}" for run, title in titles.items()}
    alike = len(set(short.values())) < len(configs)
    return {run: f"{title} {run}" for run, title in titles.items()} if alike else short
