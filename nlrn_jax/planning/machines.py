"""Machines to plan for: TPU slices that need not be there, and the devices of this process."""

import importlib.metadata
import importlib.util
import math
import os
import re
import statistics
import time
from typing import NamedTuple

import jax
import jax.numpy as jnp
import psutil

from nlrn_jax.errors import UserError

GIB = 2**30


class Chip(NamedTuple):
    """What one device can do; None where nothing is known.

    Attributes:
      peak: bfloat16 products with float32 sums (where measured: float32 products), FLOP/s.
      memory: bytes.
      bandwidth: of the memory, bytes/s.
      interconnect: of all links together, one direction, bytes/s.
      passes: bfloat16 passes that a float32 product takes, by precision; None: it takes none.
    """

    peak: float
    memory: float
    bandwidth: float | None
    interconnect: float | None
    passes: dict[str, int] | None


class Machine(NamedTuple):
    """The devices to plan for, what one of them can do, and how we know."""

    name: str
    devices: list[jax.Device]
    chip: Chip
    source: str


# On a TPU every product is of bfloat16: one of float32 is rounded to it, or takes three or six
# passes (jax.lax.Precision).
TPU_PASSES = {"default": 1, "high": 3, "highest": 6}

# The tables of cloud.google.com/tpu/docs/v4, v5e, v5p and v6e. The interconnect is given there for
# both directions (v5e 400, v5p 1200, v6e 800 GB/s): one is half of it. That of the v4 is six links
# of 50 GB/s a direction (Jouppi et al. 2023, arXiv:2304.01433).
TPUS = {
    "v4": Chip(275e12, 32 * GIB, 1200e9, 300e9, TPU_PASSES),
    "v5e": Chip(197e12, 16 * GIB, 819e9, 200e9, TPU_PASSES),
    "v5p": Chip(459e12, 95 * GIB, 2765e9, 600e9, TPU_PASSES),
    "v6e": Chip(918e12, 32 * GIB, 1638e9, 400e9, TPU_PASSES),
}
EXAMPLES = "v5e:1x1, v5e:4x4, v5e:16x16, v6e:2x2, v4:2x2x1, v5p:2x2x1 or local"

# From a chip to its neighbour, seconds: about a microsecond (Austin et al. 2025, How to Scale Your
# Model, jax-ml.github.io/scaling-book).
HOP = 1e-6


def find_machine(topology: str) -> Machine:
    """Return the machine of a name: a TPU slice such as 'v5e:4x4', or 'local'.

    Raises:
      UserError: an unknown name, a slice that does not exist, or libtpu is missing.
    """
    if topology == "local":
        return _local(jax.devices())
    generation, _, shape = topology.partition(":")
    if generation not in TPUS or not re.fullmatch(r"\d+(x\d+){1,2}", shape):
        raise UserError(f"--topology={topology} is unknown; name one such as {EXAMPLES}")
    _require_libtpu(topology)
    source = "Compiled for it by libtpu without it; peak and bandwidths as published."
    return Machine(topology, _tpu_devices(generation, shape), TPUS[generation], source)


def hops(devices: list[jax.Device]) -> int:
    """Return the steps from chip to chip that a sum over all of them and back takes.

    Along each side of the slice in turn, as in an open line; where a side closes to a ring, half.
    0 where the devices have no coordinates.
    """
    if not hasattr(devices[0], "coords"):
        return 0
    sides = zip(*(device.coords for device in devices), strict=True)
    return 2 * sum(max(side) - min(side) for side in sides)


def _local(devices: list[jax.Device]) -> Machine:
    """Measure; CPU devices share one machine, and are each given their part of it."""
    shared = len(devices) if devices[0].platform == "cpu" else 1
    limit = (devices[0].memory_stats() or {}).get("bytes_limit")
    memory = (limit or psutil.virtual_memory().total) / shared
    rate = _product_rate(devices[0]) / shared
    source = f"Its peak is measured, {rate / 1e9:,.0f} GFLOP/s a device in a float32 product" + (
        "; its memory is this machine's RAM." if limit is None else "."
    )
    return Machine("local", devices, Chip(rate, memory, None, None, None), source)


def _product_rate(device: jax.Device) -> float:
    side, seconds = 2048, []
    matrix = jax.device_put(jnp.ones((side, side), jnp.float32), device)
    product = jax.jit(lambda a: jnp.dot(a, a, precision="highest"))
    for _ in range(6):  # the first compiles
        begin = time.perf_counter()
        product(matrix).block_until_ready()
        seconds.append(time.perf_counter() - begin)
    return 2 * side**3 / statistics.median(seconds[1:])


def _require_libtpu(topology: str) -> None:
    if importlib.util.find_spec("libtpu") is None:
        named = [r for r in importlib.metadata.requires("jax") if r.startswith("libtpu")]
        wanted = named[0].split(";")[0].strip() if named else "libtpu"
        raise UserError(
            f"--topology={topology} is compiled by libtpu, which is missing: pip install '{wanted}'"
        )


def _tpu_devices(generation: str, shape: str) -> list[jax.Device]:
    # Without these libtpu asks the cloud's metadata which machine this is, complains of the answer,
    # and wants to be alone on a chip that is not there.
    os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
    os.environ.setdefault("TPU_WORKER_HOSTNAMES", "localhost")
    os.environ.setdefault("TPU_ACCELERATOR_TYPE", "v5litepod-4")
    os.environ["ALLOW_MULTIPLE_LIBTPU_LOAD"] = "1"
    from jax.experimental import topologies

    options, name = {}, f"{generation}:{shape}"
    if math.prod(int(side) for side in shape.split("x")) == 1:
        options["chips_per_host_bounds"] = (1, 1, 1)  # else a host has four chips
    if generation in ("v4", "v5p"):
        options["chip_config_name"] = "megacore"  # two cores are one device, as on the machine
    try:
        return topologies.get_topology_desc(name, "tpu", **options).devices
    except jax.errors.JaxRuntimeError as error:
        reason = str(error).split(": ", 1)[-1]
        raise UserError(f"--topology={name}: {reason}; name one such as {EXAMPLES}") from error
