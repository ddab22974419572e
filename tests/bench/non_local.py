"""Time the windowed non-local operation against the machine's own matrix product.

    python tests/bench/non_local.py

192 x 192 positions, q = 45, l = 64, m = 128, float32; medians of runs that alternate with a product
of 2048 x 2048 matrices. The ratio of rates counts the windows' 28.7 GFLOP a call. Where torch is
installed, its compiled flex_attention does the same work: positions row by row, as one would write
it, and in the order of tiles of 8 x 16, which leaves it the fewest blocks to look at.
"""

import functools
import importlib.util
import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np

from nlrn_jax.network.non_local import form_of, non_local, respond

SIDE, WINDOW, EMBEDDING, FEATURES = 192, 45, 64, 128
GFLOP = 2 * SIDE**2 * WINDOW**2 * (EMBEDDING + FEATURES) / 1e9
PRODUCT_GFLOP = 2 * 2048**3 / 1e9


def main() -> None:
    """Print the rates, the ways to carry the correlation, the backward pass, and the growth."""
    theta, phi, g = inputs(SIDE)
    correlation = form_of(WINDOW).zero(theta)
    stacks = [jnp.concatenate([x] * 12, -1) for x in (theta, phi)]

    def plain(*arrays):
        return respond(*arrays, None, None, form_of(WINDOW))[0]

    def loss(*arrays):
        return jnp.sum(plain(*arrays) ** 2)

    carried = functools.partial(non_local, neighborhood=WINDOW)
    report("without carry", plain, theta, phi, g)
    report("logits carried", carried, theta, phi, g, correlation)
    report("embeddings of 12 states carried", plain, *stacks, g)
    report("forward and backward", jax.grad(loss, (0, 1, 2)), theta, phi, g)
    if importlib.util.find_spec("torch"):
        compare_with_flex_attention(jax.jit(plain), theta, phi, g)
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
    pairs = [(timed(product, matrix, matrix), timed(compiled, *arrays)) for _ in range(8)]
    products, times = map(statistics.median, zip(*pairs[1:], strict=True))  # the first compiles
    rate = PRODUCT_GFLOP / products
    print(
        f"{name}: {times:.3f} s; product {rate:.0f} GFLOP/s; ratio {GFLOP / times / rate:.2f}",
        flush=True,
    )


def compare_with_flex_attention(ours, theta, phi, g):
    """Print how many times longer PyTorch takes for the same response, in two orders."""
    expected = np.asarray(ours(theta, phi, g)).reshape(SIDE**2, FEATURES)
    rows, columns = np.divmod(np.arange(SIDE**2), SIDE)
    by_tiles = np.lexsort((columns % 16, rows % 8, columns // 16, rows // 8))
    for name, order in (("row by row", np.arange(SIDE**2)), ("by tiles", by_tiles)):
        attend = flex_attention(rows[order], columns[order], theta, phi, g, order)
        np.testing.assert_allclose(attend().numpy()[0, 0], expected[order], atol=1e-4)
        pairs = [(elapsed(attend), timed(ours, theta, phi, g)) for _ in range(5)]
        theirs, mine = (statistics.median(column) for column in zip(*pairs, strict=True))
        print(f"flex_attention {name}: {theirs:.3f} s, ours {mine:.3f} s: {theirs / mine:.1f}x")


def flex_attention(rows, columns, theta, phi, g, order):
    """Compile torch's operation for positions in a given order; return a call of it."""
    import torch
    from torch.nn.attention import flex_attention as flex

    rows, columns = torch.from_numpy(rows), torch.from_numpy(columns)

    def in_window(batch, head, query, key):
        apart = torch.maximum(
            (rows[query] - rows[key]).abs(), (columns[query] - columns[key]).abs()
        )
        return apart <= WINDOW // 2

    # compiled, or it would hold all (HW)^2 positions' indices at once
    make = torch.compile(flex.create_block_mask)
    mask = make(in_window, None, None, SIDE**2, SIDE**2, device="cpu")
    arrays = [
        torch.from_numpy(np.array(x).reshape(1, 1, SIDE**2, -1)[:, :, order])
        for x in (theta, phi, g)
    ]
    compiled = torch.compile(flex.flex_attention)
    return torch.no_grad()(lambda: compiled(*arrays, block_mask=mask, scale=1.0))


def elapsed(function):
    """Return the seconds of a call that returns when it is done."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


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
