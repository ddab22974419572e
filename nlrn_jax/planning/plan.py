"""Say what training would take on a machine before it is rented: memory, arithmetic, reductions.

The training step is compiled for the machine, which libtpu does without having one. What the
compiler decides is read from the compiled program; only the speed is an estimate.
"""

import functools
from collections.abc import Callable, Iterator, Sequence

from ml_collections import ConfigDict

from nlrn_jax.network.mesh import require_divisible
from nlrn_jax.planning.machines import Machine, find_machine, hops
from nlrn_jax.planning.roofline import Speed, Step, TooLargeError, compile_step, estimate

FRACTIONS = (0.2, 0.4, 0.6)  # of peak
LIKELY = 0.4  # the fraction that the sentences below the table speak of
COMPILATIONS = 6  # at most, in search of the largest batch
GIB, MIB = 2**30, 2**20


def plan(config: ConfigDict, topology: str) -> Iterator[str]:
    """Give the lines of a plan, each as soon as it is known; the last takes minutes.

    Args:
      config: checked configuration.
      topology: a TPU slice such as 'v5e:4x4', or 'local' for the devices of this process.

    Raises:
      UserError: an unknown topology, libtpu is missing, or a batch that the devices cannot share.
    """
    machine = find_machine(topology)
    count, batch, accumulate = len(machine.devices), config.train.batch, config.train.accumulate
    require_divisible(batch, accumulate, count)
    yield from _title(config, machine)
    step, used = None, None
    try:
        step = compile_step(config, machine, batch)
    except TooLargeError as error:
        yield f"Batch {batch} does not fit: {error}."
    if step is not None:
        speed = estimate(step, machine.chip, count, hops(machine.devices))
        yield from _table(config, step, machine, speed)
        yield from _advice(config, step, machine, speed)
        used = step.total if step.total <= machine.chip.memory else None
    yield "Searching for the largest batch that fits ..."
    found = largest_share(
        functools.partial(_bytes_of_share, config, machine), machine.chip.memory,
        batch // (count * accumulate), used,
    )  # fmt: skip
    yield _largest(*found, count, accumulate)


def largest_share(
    fits: Callable[[int], int | None], memory: float, share: int, used: int | None
) -> tuple[int, int | None, int]:
    """Search for the most patches that one device can take at a time.

    Memory grows almost as a straight line, so a guess is made from the last two that fitted. Within
    a sixteenth the search ends.

    Args:
      fits: number of patches -> bytes that they take, or None where they do not fit.
      memory: of the device, bytes.
      share: patches tried before.
      used: bytes that they took, or None where they did not fit.

    Returns:
      The most patches that fitted (0: not even one), the fewest that did not (None: unknown), and
      how many were tried.
    """
    low, high = (share, None) if used else (0, share)
    points = [(0, 0), (share, used)] if used else [(0, 0)]
    for tried in range(COMPILATIONS):
        if high is not None and high - low <= max(1, low // 16):
            return low, high, tried
        guess = max(_extrapolate(points, memory), low + max(1, low // 16))
        if high is not None and guess >= high:
            guess = (low + high) // 2
        if taken := fits(guess):
            low, points = guess, [points[-1], (guess, taken)]
        else:
            high = guess
    return low, high, COMPILATIONS


def _extrapolate(points: list[tuple[int, int]], memory: float) -> int:
    """Return the share whose bytes would fill the memory, on the line through two points."""
    if len(points) < 2 or points[1][1] <= points[0][1]:
        return 2 * points[-1][0]
    (share, used), (more, used_by_more) = points
    return int(more + (memory - used_by_more) * (more - share) / (used_by_more - used))


def _bytes_of_share(config: ConfigDict, machine: Machine, share: int) -> int | None:
    try:
        batch = share * config.train.accumulate * len(machine.devices)
        step = compile_step(config, machine, batch)
    except TooLargeError:
        return None
    return step.total if step.total <= machine.chip.memory else None


def _title(config: ConfigDict, machine: Machine) -> Iterator[str]:
    model, count, side = config.model, len(machine.devices), config.data.patch
    yield (
        f"{machine.name}: {count} x {machine.devices[0].device_kind}, "
        f"{machine.chip.memory / GIB:.1f} GiB each; batch {config.train.batch} "
        f"({config.train.batch // count} a device) of {side} x {side}, {_size(model)}, "
        f"{model.filters} filters, {model.dtype}"
        + (f", {model.remat} formed again" if model.remat != "nothing" else "")
    )
    yield machine.source
    yield ""


def _size(model: ConfigDict) -> str:
    if model.network == "nlrn":
        return f"{model.steps} states"
    count = len(model.blocks)
    return f"{model.depth} convolutions, {count} non-local block{'s' * (count != 1)}"


def _table(config: ConfigDict, step: Step, machine: Machine, speed: Speed) -> Iterator[str]:
    parts = ", ".join(f"{name} {part / MIB:,.1f}" for name, part in step.memory.items())
    flop = f"{step.work.flop / 1e12:.3g} on all devices, every state counted"
    if step.work.passes != step.work.flop:
        flop += f"; {step.work.passes / 1e12:.3g} in bfloat16 passes"
    rows = {
        "memory a device, MiB": parts,
        "": f"{step.total / GIB:.2f} of {machine.chip.memory / GIB:.1f} GiB in all",
        "arithmetic, TFLOP": flop,
        "memory traffic": f"about {step.traffic / 1e9:.3g} GB a device",
    }
    for c in step.collectives:
        amount = f"{c.count} a step, {c.bytes / 1e6:.3g} MB"
        rows[f"{c.kind} {c.purpose}"] = amount if c.purpose else f"{amount}: NOT EXPECTED"
    if not step.collectives:
        rows["collectives"] = "none"
    seconds = [speed.seconds(fraction) for fraction in FRACTIONS]
    hours = [config.train.steps * s / 3600 for s in seconds]
    rows |= {
        "at best, ms": _milliseconds(speed),
        "at this part of peak": _columns(FRACTIONS, ".0%"),
        "steps a second": _columns([1 / s for s in seconds], ",.3g"),
        "patches a second": _columns([step.batch / s for s in seconds], ",.0f"),
        f"hours, {config.train.steps:,} steps": _columns(hours, ",.3g"),
    }
    yield from (f"{name:24}{value}" for name, value in rows.items())
    yield ""


def _milliseconds(speed: Speed) -> str:
    parts = {
        "arithmetic": speed.arithmetic,
        "memory traffic": speed.traffic,
        "reductions": speed.reductions,
    }
    return ", ".join(f"{name} {1e3 * s:.3g}" for name, s in parts.items() if s)


def _columns(values: Sequence[float], form: str) -> str:
    return "".join(f"{value:{form}}".ljust(10) for value in values).rstrip()


def _advice(config: ConfigDict, step: Step, machine: Machine, speed: Speed) -> Iterator[str]:
    room, count = machine.chip.memory - step.total, len(machine.devices)
    if room < 0:
        less = "; --config.model.remat=states needs less" * (config.model.network == "nlrn")
        yield f"It does not fit: {-room / GIB:.2f} GiB too much{less}."
    seconds = speed.seconds(LIKELY)
    days = config.train.steps * seconds / 86400
    yield (
        f"At {LIKELY:.0%} of peak the run would take {days:.3g} days, {days * 24 * count:,.3g} "
        "device-hours."
    )
    wrong = [c.kind for c in step.collectives if not c.purpose]
    if wrong:
        yield (
            f"WARNING: the step contains {', '.join(wrong)}: beyond the sums of gradients and "
            "statistics nothing should travel; do not rent many devices for it."
        )
    if not speed.reductions:
        return
    share, gain = speed.reductions / seconds, speed.gain(LIKELY)
    if step.batch == count:
        more = "A batch of one patch a device can be divided no further"
    else:
        pays = "more devices pay" if gain > 1.5 else "more devices hardly pay"
        more = f"Twice the devices, at this batch, at most {gain:.2f} times as fast: {pays}"
    yield f"Reductions take {share:.0%} of that. {more}."


def _largest(low: int, high: int | None, tried: int, count: int, accumulate: int) -> str:
    found = f"The largest batch is {low * count * accumulate} ({low * accumulate} a device)"
    if not low:
        found = "No batch fits"
    elif high is None:
        found += " or more"
    else:
        found += f"; {high * count * accumulate} does not fit"
    return f"{found}. Found in {tried} more compilations."
