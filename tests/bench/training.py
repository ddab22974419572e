"""Time the training step against the machine's own matrix product, and weigh its memory.

    PYTHONPATH=. python tests/bench/training.py [NAME ...]

Each case runs in a process of its own, for its peak resident memory; a product of 2048 x 2048
matrices runs between the steps, and medians are compared. The ratio of rates counts the
arithmetic of convolutions and products alone, three times the forward pass.
"""

import multiprocessing
import resource
import statistics
import sys
import time

from nlrn_jax.commands.allocator import use_huge_pages

CASES = {  # filters, embedding, states, patch, batch
    "full": (128, 64, 12, 43, 2),
    "full_16": (128, 64, 12, 43, 16),
    "quick": (32, 16, 4, 24, 16),
    "f32_t4_p32": (32, 16, 4, 32, 8),
    "f32_t8_p43": (32, 16, 8, 43, 8),
    "f64_t4_p32": (64, 32, 4, 32, 8),
    "f64_t8_p43": (64, 32, 8, 43, 8),
}
PRODUCT_GFLOP = 2 * 2048**3 / 1e9


def main(names: list[str]) -> None:
    """Print a table, a row for each case."""
    use_huge_pages()  # as the program does; the children inherit it
    context = multiprocessing.get_context("spawn")
    print("case           GFLOP  compile   step   product   ratio   patches/s   peak memory")
    for name in names or CASES:
        with context.Pool(1) as pool:
            print(pool.apply(row, (name, *CASES[name])), flush=True)


def row(name, filters, embedding, states, patch, batch) -> str:
    """Time one case."""
    import jax

    config = configure(filters, embedding, states, patch, batch)
    step, state, inputs, seconds_to_compile = compiled_step(config)
    matrix = jax.random.normal(jax.random.key(1), (2048, 2048))
    product = jax.jit(jax.numpy.dot)
    products, steps = [], []
    for _ in range(5 if batch * filters > 1000 else 12):
        products.append(timed(product, matrix, matrix)[0])
        second, (state, _) = timed(step, state, inputs)
        steps.append(second)
    rate = PRODUCT_GFLOP / statistics.median(products[1:])
    second, work = statistics.median(steps[1:]), gflop(filters, embedding, states, patch, batch)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return (
        f"{name:12} {work:7.1f} {seconds_to_compile:6.1f} s {second:7.3f} s {rate:4.0f}/s "
        f"{work / second / rate:8.2f} {batch / second:9.1f} {peak:10.2f} GiB"
    )


def configure(filters, embedding, states, patch, batch):
    """Return the published recipe in another size."""
    from configs import base

    config = base.get_config()
    config.model.update(filters=filters, embedding=embedding, steps=states)
    config.data.patch, config.train.batch = patch, batch
    return config


def compiled_step(config):
    """Compile the step; return it with a state, a batch and the seconds that it took."""
    import functools

    import jax

    from nlrn_jax.network.build import build_model
    from nlrn_jax.training.state import create_state, train_step

    state, side = create_state(config), config.data.patch
    target = jax.random.uniform(jax.random.key(0), (config.train.batch, side, side, 1))
    noise = 0.1 * jax.random.normal(jax.random.key(1), target.shape)
    inputs = {"input": target + noise, "target": target}
    step = functools.partial(train_step, build_model(config), config.train)
    begin = time.perf_counter()
    compiled = jax.jit(step, donate_argnums=0).lower(state, inputs).compile()
    return compiled, state, inputs, time.perf_counter() - begin


def gflop(filters, embedding, states, patch, batch) -> float:
    """Count a step: two convolutions, three embeddings and two products for each state."""
    pixels = patch**2
    a_pixel = 2 * 9 * 2 * filters**2 + 2 * filters * (2 * embedding + filters)
    a_pixel += 2 * pixels * (embedding + filters)
    return 3 * states * batch * pixels * a_pixel / 1e9


def timed(function, *arrays):
    """Return the seconds of one call, and its result."""
    import jax

    begin = time.perf_counter()
    result = jax.block_until_ready(function(*arrays))
    return time.perf_counter() - begin, result


if __name__ == "__main__":
    main(sys.argv[1:])
