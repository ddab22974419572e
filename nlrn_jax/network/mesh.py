"""Where arrays lie: one mesh of all devices with one axis, `data`, over which batches are split.

`jit` over such arrays is all that training on many devices takes: XLA adds the reductions of the
gradients and of the batch statistics, so that the result does not depend on the number of devices.
Several processes, each with its own devices, form one mesh once they have joined
(`training/processes.py`).
"""

import contextlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding, PartitionSpec

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
    all of it on every device. Where one device has all images this is `function(*batched)`.
    """
    place = _where(jax.tree.leaves(batched)[0])
    if place is None:
        return function(*batched)
    return _shared(function, batched, place, PartitionSpec(place.axis))


def summed_over_devices(function: Callable, *batched: object) -> object:
    """Apply a function that sums over batches [N, ...], each device over its share of them.

    Only where the caller has said where each axis lies (`AxisType.Explicit`): otherwise XLA adds
    up what devices have.
    """
    place = _where(jax.tree.leaves(batched)[0])
    if place is None or not place.explicit:
        return function(*batched)

    def of_share(*batched: object) -> object:
        return jax.lax.psum(function(*batched), place.axis)

    return _shared(of_share, batched, place, PartitionSpec())


def varied_as(x: jax.Array, weights: jax.Array) -> jax.Array:
    """Say of weights that they differ from device to device as x does, in a caller's `shard_map`.

    There what all devices share gets the sum of their gradients, once JAX has seen it become each
    device's own; a gradient of ours would hide that.
    """
    if AxisType.Manual not in jax.typeof(x).sharding.mesh.axis_types:
        return weights
    return weights + jnp.zeros_like(x, weights.dtype, ())


def laid_as(x: jax.Array, like: jax.Array) -> jax.Array:
    """Lay an array [N, ...] out over explicit axes as another; elsewhere it is as it was.

    JAX 0.12 forgets the axes where no mesh is set: of zeros like an array, and so of the gradient
    by what a scan holds constant (findings/explicit_zeros.sh).
    """
    sharding = jax.typeof(like).sharding
    if AxisType.Explicit not in sharding.mesh.axis_types or jax.typeof(x).sharding == sharding:
        return x
    return jax.sharding.reshard(x, NamedSharding(sharding.mesh, PartitionSpec(*sharding.spec[:1])))


def mesh_of(x: jax.Array) -> contextlib.AbstractContextManager:
    """Set the mesh of an array that lies on several devices, if no `jit` has traced it.

    What is traced inside knows the shape of the mesh alone, and could not run on it.
    """
    if isinstance(x, jax.core.Tracer) or not isinstance(x.sharding, NamedSharding):
        return contextlib.nullcontext()
    return jax.set_mesh(x.sharding.mesh)


class _Place(NamedTuple):
    """Where a batch [N, ...] lies, or should: the mesh, the axis or axes over which N is split."""

    mesh: AbstractMesh
    axis: str | tuple[str, ...] | None
    explicit: bool


def _where(x: jax.Array) -> _Place | None:
    """Return where a batch [N, ...] lies, or should; None: on one device, or in one share.

    An array tells of explicit axes alone. Of those that XLA splits as it likes, N is taken to lie
    on that called 'data', or else on the first: a wrong guess costs time, and changes nothing.
    """
    sharding = None if isinstance(x, jax.core.Tracer) else getattr(x, "sharding", None)
    if not isinstance(sharding, NamedSharding):
        sharding = jax.typeof(x).sharding
    mesh = jax.sharding.get_abstract_mesh() if sharding.mesh.empty else sharding.mesh
    kinds = dict(zip(mesh.axis_names, mesh.axis_types, strict=True))
    if AxisType.Manual in kinds.values():  # inside a `shard_map` of the caller's
        return None
    if AxisType.Explicit in kinds.values():
        axis = sharding.spec[0] if sharding.spec else None
        return _Place(mesh, axis, explicit=True)
    likely = sorted(kinds, key=lambda name: name != "data")[:1]
    if not likely or x.shape[0] % mesh.shape[likely[0]]:
        return None
    return _Place(mesh, likely[0], explicit=False)


def _shared(function: Callable, batched: tuple, place: _Place, out: PartitionSpec) -> object:
    # check_vma: a sum over devices is the same on all, which it cannot tell
    shared = jax.shard_map(
        function,
        mesh=place.mesh,
        in_specs=PartitionSpec(place.axis),
        out_specs=out,
        check_vma=False,
    )
    return shared(*batched)
