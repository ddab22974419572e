"""Where arrays lie: one mesh of all devices with one axis, `data`, over which batches are split.

`jit` over such arrays is all that training on many devices takes: XLA adds the reductions of the
gradients and of the batch statistics, so that the result does not depend on the number of devices.
Several processes, each with its own devices, form one mesh once they have joined
(`training/processes.py`).
"""

from collections.abc import Callable, Sequence

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from nlrn_jax.errors import UserError


def data_mesh(devices: Sequence[jax.Device] | None = None) -> Mesh:
    """Return the mesh ('data',) of the given devices, or of all devices of all processes."""
    return Mesh(np.array(jax.devices() if devices is None else devices), ("data",))


def replicated(mesh: Mesh) -> NamedSharding:
    """Return the sharding of what every device holds whole: weights, optimiser, statistics."""
    return NamedSharding(mesh, PartitionSpec())


def by_batch(mesh: Mesh) -> NamedSharding:
    """Return the sharding of a batch [N, ...], each device holding its share of N."""
    return NamedSharding(mesh, PartitionSpec("data"))


def on_first_device(tree: dict) -> dict:
    """Copy what every device holds whole to the first device of this process."""
    return jax.device_put(jax.device_get(tree), jax.local_devices()[0])


def share_out(mesh: Mesh, batch: dict[str, np.ndarray]) -> dict[str, jax.Array]:
    """Make the global batch [N, ...] of what each process has drawn of it, [N / processes, ...]."""
    place = by_batch(mesh)
    return {
        name: jax.make_array_from_process_local_data(place, rows) for name, rows in batch.items()
    }


def require_divisible(batch: int, accumulate: int, devices: int) -> None:
    """Refuse a batch that does not fall into equal micro-batches on all devices.

    Raises:
      UserError: naming the two nearest that do.
    """
    unit = devices * accumulate
    if batch % unit:
        below = max(batch // unit, 1) * unit
        parts = f"{devices} devices" + (f" x {accumulate} micro-batches" if accumulate > 1 else "")
        raise UserError(
            f"config.train.batch={batch} does not divide among {parts}: "
            f"{below} and {below + unit} would"
        )


def on_each_device(function: Callable, *batched: object) -> object:
    """Apply a function of batches [N, ...] to each device's share of them.

    For functions that walk over an axis into which N went, which XLA cannot split: it would gather
    all of it on every device. Where no mesh is set (`jax.set_mesh`), this is `function(*batched)`.
    """
    mesh = jax.sharding.get_abstract_mesh()
    if dict(zip(mesh.axis_names, mesh.axis_types, strict=True)).get("data") != AxisType.Auto:
        return function(*batched)
    split = PartitionSpec("data")
    # check_vma: a loop inside starts from zeros that are the same everywhere, and does not stay so
    return jax.shard_map(function, in_specs=split, out_specs=split, check_vma=False)(*batched)
