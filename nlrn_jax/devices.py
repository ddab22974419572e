"""Where arrays lie: one mesh of all devices with one axis, `data`, over which batches are split.

`jit` over such arrays is all that training on many devices takes: XLA adds the reductions of the
gradients and of the batch statistics, so that the result does not depend on the number of devices.
"""

from collections.abc import Sequence

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec


def data_mesh(devices: Sequence[jax.Device] | None = None) -> Mesh:
    """Return the mesh ('data',) of the given devices, or of all devices of all processes."""
    return Mesh(np.array(jax.devices() if devices is None else devices), ("data",))


def replicated(mesh: Mesh) -> NamedSharding:
    """Return the sharding of what every device holds whole: weights, optimiser, statistics."""
    return NamedSharding(mesh, PartitionSpec())


def by_batch(mesh: Mesh) -> NamedSharding:
    """Return the sharding of a batch [N, ...], each device holding its share of N."""
    return NamedSharding(mesh, PartitionSpec("data"))
