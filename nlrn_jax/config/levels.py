"""What a network is trained for and measured by: protocols and their levels.

A protocol (`scoring/protocols.py` says how each measures) has levels: sigmas, qualities or scales.
"""

from typing import NamedTuple

from ml_collections import ConfigDict


class Protocol(NamedTuple):
    """What a protocol of `scoring/protocols.py` measures.

    Attributes:
      task: 'denoise' or 'sr'.
      field: of `degrade`; a level of the protocol is one of these.
      usual: levels that are scored where a network was trained for any.
    """

    task: str
    field: str
    usual: tuple[float, ...] = ()


PROTOCOLS = {
    "denoise": Protocol("denoise", "sigma", (15.0, 25.0, 50.0)),  # what papers report
    "denoise_clipped": Protocol("denoise", "sigma", (15.0, 25.0, 50.0)),
    "jpeg": Protocol("denoise", "jpeg", (10, 20, 30, 40)),  # what papers report
    "photo": Protocol("denoise", "poisson", (10.0, 20.0, 30.0)),
    "sr_y": Protocol("sr", "scales"),
    "sr_y_float": Protocol("sr", "scales"),
    "sr_rgb": Protocol("sr", "scales"),
}
CLASSICAL = ("nl_means", "tv", "bm3d")  # baselines that `evaluate.classical` may name


def own_protocol(config: ConfigDict) -> str:
    """Return the protocol that measures what a network is trained for; it is validated by it."""
    if config.task == "sr":
        return "sr_y"
    found = happening(config)
    if "poisson" in found:
        return "photo"
    return "jpeg" if set(found) == {"jpeg"} else "denoise"


def measuring_protocol(config: ConfigDict) -> str:
    """Return the protocol that a network is evaluated by: `evaluate.protocol`, or its own."""
    return config.evaluate.protocol or own_protocol(config)


def levels(config: ConfigDict, protocol: str = "") -> tuple[float, ...]:
    """Return what a network is trained for, of what a protocol measures ('': its own).

    The level, the lowest and highest, or the scales; () where training has nothing of the kind.
    """
    return happening(config).get(PROTOCOLS[protocol or own_protocol(config)].field, ())


def is_trained_for(config: ConfigDict, level: float, protocol: str = "") -> bool:
    """Say whether a network has met a level of a protocol ('': its own) in training."""
    known = levels(config, protocol)
    if config.task == "sr" or not known:
        return level in known
    return known[0] <= level <= known[-1]


def scored_levels(config: ConfigDict, protocol: str = "") -> tuple[float, ...]:
    """Return where a network is scored by a protocol, unless `evaluate.levels` says otherwise.

    By its own ('') it is validated there. The level or the scales; of a range the usual levels
    inside it, or else its middle: at its lowest there may be no noise to take away. The usual ones
    where it was trained for nothing of the kind.
    """
    protocol = protocol or own_protocol(config)
    known, usual = levels(config, protocol), PROTOCOLS[protocol].usual
    if config.task == "sr" or not known:
        return known or usual
    if known[0] == known[-1]:
        return known[:1]
    inside = tuple(level for level in usual if is_trained_for(config, level, protocol))
    middle = (known[0] + known[-1]) / 2
    return inside or (int(middle) if protocol == "jpeg" else middle,)


def protocols(task: str) -> list[str]:
    """Return the protocols that measure a task."""
    return [name for name, protocol in PROTOCOLS.items() if protocol.task == task]


def classical_names(config: ConfigDict) -> list[str]:
    """Return the classical baselines that are asked for."""
    return [name.strip() for name in config.evaluate.classical.split(",") if name.strip()]


def happening(config: ConfigDict) -> dict[str, tuple[float, ...]]:
    """Return the levels of what happens to patches, by its field of `degrade`."""
    degrade = config.degrade
    if config.task == "sr":
        return {"scales": tuple(degrade.scales)}
    chances = zip(("poisson", "sigma", "jpeg"), degrade.chances, strict=False)
    return {name: tuple(degrade[name]) for name, chance in chances if chance and any(degrade[name])}
