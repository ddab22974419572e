"""What a compiled program moves: collectives and memory traffic, read from XLA's text (HLO).

A loop's body stands once in the text and runs as often as the loop goes round. How often, XLA
writes beside the loop on some backends; on others the loop's condition compares with a constant.
"""

import math
import re
from collections.abc import Iterator
from typing import NamedTuple

COLLECTIVES = (
    "all-reduce", "all-gather", "all-to-all", "ragged-all-to-all", "reduce-scatter",
    "collective-permute", "collective-broadcast", "send", "recv",
)  # fmt: skip
# These name what lies in memory, or give control away, and move nothing themselves.
FREE = ("parameter", "constant", "tuple", "get-tuple-element", "bitcast", "while", "conditional",
        "call", "after-all", "partition-id", "replica-id", "async-done", "copy-done")  # fmt: skip


class Instruction(NamedTuple):
    """One line of HLO: %name = result opcode(%operands), attributes."""

    name: str
    result: str
    opcode: str
    operands: list[str]
    attributes: str


class Run(NamedTuple):
    """An instruction that is executed `times` times, within a loop that goes round `rounds` times.

    `sizes` are the bytes in memory of all results of its computation, by name.
    """

    instruction: Instruction
    times: int
    rounds: int
    sizes: dict[str, float]
    fused: bool


class Collective(NamedTuple):
    """One kind of collective of a step.

    Attributes:
      kind: 'all-reduce', 'all-gather', ...
      purpose: 'gradients' or 'statistics' of an all-reduce; '' of others.
      count: how many a step.
      bytes: of their results on one device, a step.
    """

    kind: str
    purpose: str
    count: int
    bytes: float


def collectives(text: str) -> list[Collective]:
    """List the collectives of a step, by kind and purpose, largest first.

    An all-reduce that carries a kernel, or that no batch norm asked for, is of gradients; the
    others are of batch statistics, with what XLA lets ride along: sums of their backward pass, and
    gradients of the norms' scales and offsets.
    """
    found: dict[tuple[str, str], Collective] = {}
    for run in executed(text):
        kind = run.instruction.opcode.removesuffix("-start")
        if kind in COLLECTIVES:
            key = kind, _purpose(run.instruction) if kind == "all-reduce" else ""
            old = found.get(key, Collective(*key, 0, 0))
            moved = old.bytes + run.times * size(run.instruction.result)
            found[key] = Collective(*key, old.count + run.times, moved)
    return sorted(found.values(), key=lambda collective: -collective.bytes)


def traffic(text: str) -> float:
    """Estimate the bytes that one device reads from and writes to its memory in a step.

    Each instruction reads its operands and writes its result; what lies in on-chip memory (space 1
    of a TPU) is free. In a loop of n rounds an array [n, ...] is a stack of which a round touches
    one slice. Kernels are taken to read everything once.
    """
    total = 0.0
    for instruction, times, rounds, sizes, fused in executed(text):
        if fused or instruction.opcode in FREE:
            continue
        moved = size(instruction.result, rounds, in_memory=True)
        if not instruction.opcode.endswith("-start"):  # whose result names its operand as well
            moved += sum(sizes.get(operand, 0) for operand in instruction.operands)
        total += times * moved
    return total


def executed(text: str) -> Iterator[Run]:
    """Walk over what the program executes, from its entry, with how often.

    Raises:
      ValueError: a loop whose number of rounds cannot be read.
    """
    computations, entry = parse(text)

    def walk(name: str, times: int, rounds: int, fused: bool) -> Iterator[Run]:
        body = computations[name]
        sizes = {i.name: size(i.result, rounds, in_memory=True) for i in body}
        for instruction in body:
            yield Run(instruction, times, rounds, sizes, fused)
            again = _rounds(instruction, computations) if instruction.opcode == "while" else 1
            inside = fused or instruction.opcode == "fusion"
            for callee in _called(instruction):
                yield from walk(callee, times * again, rounds if again == 1 else again, inside)

    yield from walk(entry, 1, 1, False)


def parse(text: str) -> tuple[dict[str, list[Instruction]], str]:
    """Read HLO text: the computations by name, and the name of the entry."""
    computations, entry, current = {}, "", None
    for line in re.sub(r"/\*.*?\*/", "", text).splitlines():
        head = re.match(r"(ENTRY )?%?([\w.-]+) \(.*\{$", line)
        if head:
            current = computations.setdefault(head[2], [])
            entry = head[2] if head[1] else entry
        elif current is not None and (found := _instruction(line)):
            current.append(found)
    return computations, entry


def size(shape: str, rounds: int = 1, in_memory: bool = False) -> float:
    """Return the bytes of a shape or tuple as HLO writes it, such as f32[8,128]{1,0:T(8,128)S(1)}.

    Args:
      shape: the text.
      rounds: arrays [rounds, ...] count as one slice.
      in_memory: leave out what lies in on-chip memory.
    """
    total = 0.0
    for kind, dims, layout in re.findall(r"(\w+)\[([\d,]*)\](\{[^}]*\})?", shape):
        bits = 8 if kind == "pred" else int((re.search(r"\d+", kind) or [0])[0])
        dims = [int(n) for n in dims.split(",") if n]
        if in_memory and "S(" in layout:
            continue
        stacked = rounds if rounds > 1 and dims[:1] == [rounds] else 1
        total += bits / 8 * math.prod(dims) / stacked
    return total


def _instruction(line: str) -> Instruction | None:
    match = re.match(r"\s+(?:ROOT )?%?([\w.-]+) = (.*?) ([a-z][a-z0-9-]*)\((.*)", line)
    if not match:
        return None
    name, result, opcode, rest = match.groups()
    operands, _, attributes = rest.partition("), ")
    names = re.findall(r"%([\w.-]+)", operands)
    return Instruction(name, result, opcode, names, attributes if names else rest)


def _called(instruction: Instruction) -> list[str]:
    """Return the computations that an instruction runs, those of its reductions left out."""
    names = ["calls", "body", "true_computation", "false_computation", "branch_computations"]
    names += ["to_apply"] if instruction.opcode == "call" else []
    values = re.findall(rf"(?:{'|'.join(names)})=(\{{[^}}]*\}}|[^,\s]+)", instruction.attributes)
    return [name for value in values for name in re.findall(r"[\w.-]+", value)]


def _rounds(loop: Instruction, computations: dict[str, list[Instruction]]) -> int:
    known = re.search(r'"known_trip_count":\{"n":"(\d+)"', loop.attributes)
    if known:
        return int(known[1])
    condition = re.search(r"condition=%?([\w.-]+)", loop.attributes)[1]
    by_name = {i.name: i for i in computations[condition]}
    for compare in by_name.values():
        if compare.opcode == "compare" and "direction=LT" in compare.attributes:
            limit = by_name.get(compare.operands[1])
            if limit is not None and limit.opcode == "constant":
                return int(limit.attributes.split(")")[0])
    raise ValueError(f"the compiled program does not say how often its loop {loop.name} goes round")


def _purpose(reduction: Instruction) -> str:
    shapes = re.findall(r"\w+\[([\d,]*)\]", reduction.result)
    carries_kernel = any(sum(n not in ("", "1") for n in dims.split(",")) > 1 for dims in shapes)
    name = re.search(r'op_name="([^"]*)"', reduction.attributes)
    of_norm = name is not None and re.search(r"norm(_\d)?/", name[1])
    return "statistics" if of_norm and not carries_kernel else "gradients"
