"""Forward derivatives of what has reverse ones alone, as the networks here.

Their gradients are written by hand, and JAX lets a function have one such derivative: `jax.grad`
works on them, `jax.jvp` does not. The forward derivative along t is linear in t, and the pull-back
is its transpose; so it is the pull-back of the pull-back:

    y, pull = vjp(f, x)        pull(w) = J^T w
    _, push = vjp(pull, w)     push(t) = J t
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp


def with_jvp(function: Callable) -> Callable:
    """Return the same function of arrays, with forward derivatives as well.

    For `jax.jvp`, `jax.linearize`, `jax.jacfwd`, and solvers that ask for these:

        tangent = jax.jvp(with_jvp(functools.partial(model.apply, variables)), (x,), (t,))[1]

    It keeps what the reverse derivative keeps, and takes about three times as long. Gradients of
    what it returns are right, but slower than those of the function itself.

    Args:
      function: of pytrees of arrays, by position; anything else is to be bound beforehand. What
        it returns is of floating types.
    """

    @functools.wraps(function)
    def both_modes(*arguments: object) -> object:
        leaves, tree = jax.tree.flatten(arguments)
        moving = [i for i, leaf in enumerate(leaves) if _is_floating(leaf)]

        @jax.custom_jvp
        def call(*leaves: jax.Array) -> object:
            return function(*tree.unflatten(leaves))

        @call.defjvp
        def derivative(
            leaves: tuple[jax.Array, ...], tangents: tuple[jax.Array, ...]
        ) -> tuple[object, object]:
            def of_moving(*values: jax.Array) -> object:
                moved = dict(zip(moving, values, strict=True))
                all_leaves = [moved.get(i, leaf) for i, leaf in enumerate(leaves)]
                return function(*tree.unflatten(all_leaves))

            y, pull = jax.vjp(of_moving, *(leaves[i] for i in moving))
            _, push = jax.vjp(pull, jax.tree.map(jnp.zeros_like, y))
            return y, push(tuple(tangents[i] for i in moving))[0]

        return call(*leaves)

    return both_modes


def _is_floating(leaf: object) -> bool:
    return jnp.issubdtype(jnp.result_type(leaf), jnp.floating)
