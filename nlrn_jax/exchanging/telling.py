"""What a network is for and what it reaches, in words."""

from ml_collections import ConfigDict

from nlrn_jax.exchanging.file import Facts, Weights
from nlrn_jax.network.build import count_parameters


def purpose(config: ConfigDict) -> str:
    """Say in one clause for what a network was trained."""
    if config.task == "sr":
        scales = ", ".join(f"x{scale}" for scale in config.degrade.scales)
        return f"to enlarge {scales}" + (" in colour" if config.model.channels == 3 else "")
    pictures = "colour" if config.model.channels == 3 else "grey"
    return f"{pictures} pictures with {' and '.join(_damages(config))}"


def _damages(config: ConfigDict) -> list[str]:
    degrade, found = config.degrade, []
    if degrade.poisson:
        found.append(f"camera noise up to {degrade.poisson[-1]:g} grey levels")
    elif degrade.sigma[-1]:
        found.append(f"Gaussian noise of sigma {_range(degrade.sigma)}")
    if degrade.jpeg:
        found.append(f"JPEG of quality {_range(degrade.jpeg)}")
    return found


def _range(ends: tuple[float, ...]) -> str:
    lowest, highest = ends[0], ends[-1]
    return f"{lowest:g}" if lowest == highest else f"{lowest:g} to {highest:g}"


def reached(facts: Facts) -> list[str]:
    """Say what a network reaches, a clause for each benchmark and protocol."""
    groups: dict[tuple[str, str], list[str]] = {}
    for figure in facts.figures:
        cell = f"{figure['label']} {figure['psnr']:.2f}"
        groups.setdefault((figure["benchmark"], figure["protocol"]), []).append(cell)
    return [
        f"{benchmark} {', '.join(cells)} dB ({protocol})"
        for (benchmark, protocol), cells in groups.items()
    ]


def in_one_line(weights: Weights) -> str:
    """Say for what a network was trained and, where that is known, what it reaches first."""
    steps = weights.facts.steps  # none where another program trained it
    said = reached(weights.facts)[:1] or ([f"{steps:,} steps"] if steps else [])
    return "; ".join([purpose(weights.config), *said])


def at_length(name: str, weights: Weights, kilobytes: float, recipe: str) -> list[str]:
    """Say all of shipped weights, in lines for a terminal."""
    parameters = count_parameters(weights.variables["params"])
    facts = weights.facts
    of = f" on {facts.pictures} pictures" if facts.pictures else ""
    lines = [
        purpose(weights.config),
        f"{parameters:,} parameters, {kilobytes:,.0f} kB",
        *reached(facts),
        f"trained by --config={recipe}, {facts.steps:,} steps{of}",
    ]
    return [f"{'' if number else name:14} {line}" for number, line in enumerate(lines)]
