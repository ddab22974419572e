"""Apply the network on eight devices in the ways of other programs, for network/test_mesh.py:

    python tests/on_meshes.py FILE

FILE becomes JSON: for each way, by how much it differs from one device, as a fraction of the
largest value; or what it was refused with.
"""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from nlrn_jax import NLRN, restore

WINDOW = (5, "logits", "nothing")  # window, carry, remat: this one in all ways, others in some
OTHERS = [(None, "logits", "nothing"), (5, "embeddings", "states")]
Ways = Iterator[tuple[str, Callable[[], object], object]]


def all_meshes() -> dict[str, Mesh]:
    """Return meshes as callers make them, by name."""
    pairs = np.array(jax.devices()).reshape(4, 2)
    return {
        "data": Mesh(jax.devices(), ("data",)),
        "another name": Mesh(jax.devices(), ("batch",)),
        "explicit": jax.make_mesh((8,), ("batch",)),
        "two axes": Mesh(pairs, ("data", "model")),
        "two explicit axes": jax.make_mesh((4, 2), ("data", "model")),
    }


class Subject:
    """A network with its variables, eight images, and what one device makes of them."""

    def __init__(self, window: int | None, carry: str, remat: str) -> None:
        """Make all of it."""
        self.model = NLRN(
            filters=4, embedding=2, steps=2, neighborhood=window, carry=carry, remat=remat
        )
        keys = jax.random.split(jax.random.key(0), 3)
        # dark: the running statistics are those of a fresh network, and so would be the logits
        self.x = jax.random.uniform(keys[0], (8, 9, 20, 1), maxval=0.01)
        fresh = jax.jit(self.model.init)(keys[1], self.x)
        stir = lambda a: a + 0.1 * jax.random.uniform(keys[2], a.shape)  # noqa: E731
        self.variables = jax.tree.map(stir, fresh)
        self.restored = jax.jit(self.model.apply)(self.variables, self.x)
        gradient = jax.jit(jax.grad(self.loss), static_argnums=2)
        self.gradient = gradient(self.variables["params"], self.x, True)
        self.of_running = gradient(self.variables["params"], self.x, False)

    def loss(self, params: dict, x: jax.Array, train: bool, variables: dict | None = None) -> float:
        """Return a mean over the images, whose gradient is no constant."""
        variables = (variables or self.variables) | {"params": params}
        y, _ = self.model.apply(variables, x, train=train, mutable=["batch_stats"])
        return jnp.mean(jnp.sin(3 * y))

    def on(self, mesh: Mesh) -> Ways:
        """List what is done with the images on a mesh."""
        x, variables = self.laid_on(mesh)
        apply, loss = self.model.apply, self.loss
        train = jax.jit(lambda v, x: jax.grad(loss)(v["params"], x, True, v))
        yield "not set, jit", lambda: jax.jit(apply)(variables, x), self.restored
        yield "not set, gradient", lambda: train(variables, x), self.gradient
        with jax.set_mesh(mesh):
            yield "set, jit", lambda: jax.jit(apply)(variables, x), self.restored

    def laid_on(self, mesh: Mesh) -> tuple[jax.Array, dict]:
        """Share the images out over the first axis of a mesh, and the variables to all."""
        x = jax.device_put(self.x, NamedSharding(mesh, P(mesh.axis_names[0])))
        return x, jax.device_put(self.variables, NamedSharding(mesh, P()))

    def eagerly(self, mesh: Mesh) -> Ways:
        """List what is done with the images on a mesh without `jit`."""
        x, variables = self.laid_on(mesh)
        yield "not set", lambda: self.model.apply(variables, x), self.restored

    def inside(self, mesh: Mesh) -> Ways:
        """List what is done where a mesh is set, with arrays that lie on one device."""
        one = lambda image: self.model.apply(self.variables, image[None])[0]  # noqa: E731
        with jax.set_mesh(mesh):
            for n in (1, 3):
                few = self.x[:n]
                yield (
                    f"{n} images",
                    lambda x=few: self.model.apply(self.variables, x),
                    (self.restored[:n]),
                )
            yield "image by image", lambda: jax.vmap(one)(self.x), self.restored
            yield "restore", lambda: restore(self.model, self.variables, self.x[0]), None
            yield "init", lambda: self.model.init(jax.random.key(0), self.x[:1]), None

    def by_hand(self, mesh: Mesh) -> Ways:
        """List what is done in a caller's `shard_map`, which checks what varies."""
        axis = mesh.axis_names[0]
        x, variables = self.laid_on(mesh)

        def mapped(function: Callable, out: P) -> Callable:
            return jax.jit(
                jax.shard_map(function, mesh=mesh, in_specs=(P(), P(axis)), out_specs=out)
            )

        def gradient(variables: dict, x: jax.Array) -> dict:
            def mean(params: dict) -> jax.Array:
                return jax.lax.pmean(self.loss(params, x, False, variables), axis)

            return jax.grad(mean)(variables["params"])

        yield "apply", lambda: mapped(self.model.apply, P(axis))(variables, x), self.restored
        yield "gradient", lambda: mapped(gradient, P())(variables, x), self.of_running


def outcome(way: Callable[[], object], expected: object) -> float | str:
    """Return by how much a way differs, or what it was refused with."""
    try:
        result = jax.device_get(way())
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    if expected is None:
        return 0.0
    scale = max(abs(leaf).max() for leaf in jax.tree.leaves(expected))
    apart = jax.tree.map(lambda a, b: abs(a - b).max(), result, jax.device_get(expected))
    return float(max(jax.tree.leaves(apart)) / scale)


def kinds_of_ways(subject: Subject, every: bool) -> dict[str, Ways]:
    """Return what is done with a network, by kind."""
    meshes = all_meshes()
    kinds = {
        "explicit": subject.on(meshes["explicit"]),
        "shard_map, explicit": subject.by_hand(meshes["explicit"]),
    }
    if not every:
        return kinds
    kinds |= {name: subject.on(mesh) for name, mesh in meshes.items()}
    kinds |= {f"no jit, {name}": subject.eagerly(meshes[name]) for name in ("data", "explicit")}
    return kinds | {
        "inside": subject.inside(meshes["data"]),
        "shard_map, data": subject.by_hand(meshes["data"]),
    }


def main(file: str) -> None:
    """Do what the module says."""
    jax.config.update("jax_num_cpu_devices", 8)
    outcomes = {
        f"{form}: {kind}: {name}": outcome(way, expected)
        for form in (WINDOW, *OTHERS)
        for kind, ways in kinds_of_ways(Subject(*form), form == WINDOW).items()
        for name, way, expected in ways
    }
    Path(file).write_text(json.dumps(outcomes))


if __name__ == "__main__":
    main(*sys.argv[1:])
