"""A training step compiled for a machine, and how fast it could be."""

import re
from typing import NamedTuple

import jax
from ml_collections import ConfigDict

from nlrn_jax.network.mesh import data_mesh
from nlrn_jax.planning import flops, hlo
from nlrn_jax.planning.flops import Work
from nlrn_jax.planning.hlo import Collective
from nlrn_jax.planning.machines import HOP, Chip, Machine
from nlrn_jax.training.state import create_state, trace_step


class TooLargeError(MemoryError):
    """A step that the compiler could not fit into the device's memory; its words."""


class Step(NamedTuple):
    """What one compiled training step takes.

    Attributes:
      batch: patches, on all devices together.
      memory: on one device, bytes by name: arguments, temporaries, outputs that are not written
        over the arguments, and the program.
      work: arithmetic of all devices together.
      traffic: to and from the memory of one device, bytes.
      collectives: on one device.
    """

    batch: int
    memory: dict[str, int]
    work: Work
    traffic: float
    collectives: list[Collective]

    @property
    def total(self) -> int:
        """Return all bytes on one device."""
        return sum(self.memory.values())


class Speed(NamedTuple):
    """Seconds of a step on one device: at best, and 0 where the machine's figure is unknown.

    Attributes:
      arithmetic: at the whole peak.
      traffic: at the whole bandwidth of the memory.
      reductions: their way from chip to chip, and their bytes at the whole bandwidth of the links.
    """

    arithmetic: float
    traffic: float
    reductions: float

    def seconds(self, fraction: float) -> float:
        """Return the seconds of a step at a fraction of the peak."""
        return max(self.arithmetic / fraction, self.traffic) + self.reductions

    def gain(self, fraction: float) -> float:
        """Return how many times as fast twice the devices would be at most, at the same batch."""
        return self.seconds(fraction) / (
            max(self.arithmetic / fraction, self.traffic) / 2 + self.reductions
        )


def estimate(step: Step, chip: Chip, devices: int, hops: int) -> Speed:
    """Estimate the speed of a step.

    Args:
      step: as compiled for the devices.
      chip: each of them.
      devices: their number.
      hops: from chip to chip, of a sum over all and back.
    """
    reductions = 0.0
    if chip.interconnect:
        count = sum(c.count for c in step.collectives)
        moved = sum(c.bytes for c in step.collectives)
        reductions = count * hops * HOP + 2 * moved / chip.interconnect  # in, and out again
    return Speed(
        arithmetic=step.work.passes / devices / chip.peak,
        traffic=step.traffic / chip.bandwidth if chip.bandwidth else 0.0,
        reductions=reductions,
    )


def compile_step(config: ConfigDict, machine: Machine, batch: int) -> Step:
    """Compile the training step of a batch for a machine.

    Raises:
      TooLargeError: the compiler says that it does not fit.
    """
    asked = ConfigDict(config.to_dict())
    asked.train.batch = batch
    state = jax.eval_shape(lambda: create_state(config))
    traced = trace_step(asked, data_mesh(machine.devices), state)
    try:
        program = traced.lower().compile()
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        raise TooLargeError(_why(str(error))) from error
    text = program.as_text()
    return Step(
        batch,
        _memory(program.memory_analysis()),
        flops.count(traced.jaxpr, machine.chip.passes),
        hlo.traffic(text),
        hlo.collectives(text),
    )


def _why(message: str) -> str:
    """Return the compiler's sum, as 'Used 20.16G of 15.75G hbm', or its first words."""
    used = re.search(r"Used \S+ of \S+ \w+", message)
    return used[0] if used else " ".join(message.split()).removeprefix("RESOURCE_EXHAUSTED: ")[:200]


def _memory(analysis: object) -> dict[str, int]:
    return {
        "arguments": analysis.argument_size_in_bytes,
        "temporaries": analysis.temp_size_in_bytes,
        "outputs": analysis.output_size_in_bytes - analysis.alias_size_in_bytes,
        "program": analysis.generated_code_size_in_bytes,
    }
