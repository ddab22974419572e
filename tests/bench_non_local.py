"""Time the windowed non-local operation against the machine's own matrix product.

    python tests/bench_non_local.py

192 x 192 positions, q = 45, l = 64, m = 128, float32; medians of runs that alternate with a product
of 2048 x 2048 matrices. The ratio of rates counts the windows' 28.7 GFLOP a call.
"""

import functools
import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np

from nlrn_jax.non_local import initial_correlation, non_local, respond

SIDE, WINDOW, EMBEDDING, FEATURES = 192, 45, 64, 128
GFLOP = 2 * SIDE**2 * WINDOW**2 * (EMBEDDING + FEATURES) / 1e9
PRODUCT_GFLOP = 2 * 2048**3 / 1e9


def main() -> None:
    """Print the rates, the ways to carry the correlation, the backward pass, and the growth."""
    theta, phi, g = inputs(SIDE)
    correlation = initial_correlation(theta.shape, WINDOW)
    stacks = [jnp.concatenate([x] * 12, -1) for x in (theta, phi)]
    plain = functools.partial(respond, neighborhood=WINDOW)

    def loss(*arrays):
        return jnp.sum(plain(*arrays) ** 2)

    carried = functools.partial(non_local, neighborhood=WINDOW)
    report("without carry", plain, theta, phi, g)
    report("logits carried", carried, theta, phi, g, correlation)
    report("embeddings of 12 states carried", plain, *stacks, g)
    report("forward and backward", jax.grad(loss, (0, 1, 2)), theta, phi, g)
    sides = (128, 256, 512, 1024)
    seconds = [median(jax.jit(plain), inputs(side), 3) for side in sides]
    for side, second in zip(sides, seconds, strict=True):
        print(f"{side} x {side}: {second:.3f} s", flush=True)
    exponent = np.polyfit(2 * np.log(sides), np.log(seconds), 1)[0]
    print(f"time grows with the pixels to the power {exponent:.2f}")


def inputs(side):
    """Draw theta, phi and g."""
    keys = jax.random.split(jax.random.key(0), 3)
    return [
        0.3 * jax.random.normal(key, (1, side, side, size))
        for key, size in zip(keys, (EMBEDDING, EMBEDDING, FEATURES), strict=True)
    ]


def report(name, operation, *arrays):
    """Print the median time, and its rate relative to the matrix product's."""
    matrix = jax.random.normal(jax.random.key(1), (2048, 2048))
    compiled, product = jax.jit(operation), jax.jit(jnp.dot)
    pairs = [(timed(product, matrix, matrix), timed(compiled, *arrays)) for _ in range(8)][
        1:
    ]  # the first compiles
    products, times = (statistics.median(column) for column in zip(*pairs, strict=True))
    rate = PRODUCT_GFLOP / products
    print(
        f"{name}: {times:.3f} s; product {rate:.0f} GFLOP/s; ratio {GFLOP / times / rate:.2f}",
        flush=True,
    )


def median(function, arrays, count):
    """Return the median time of a compiled function."""
    timed(function, *arrays)
    return statistics.median(timed(function, *arrays) for _ in range(count))


def timed(function, *arrays):
    """Return the seconds of one call."""
    start = time.perf_counter()
    jax.block_until_ready(function(*arrays))
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
