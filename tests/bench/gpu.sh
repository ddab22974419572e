#!/bin/sh
# Times a GPU in at most five minutes, this checkout and an earlier one:
#     sh tests/bench/gpu.sh PYTHON [CHECKOUT]
# PYTHON has jax[cuda] and the other packages of requirements.txt. Prints the card, JAX's version,
# training steps in full size (float32, bfloat16) and of 64 filters, and restoring in full size.
set -eu
python=$1
here=$(cd "$(dirname "$0")/../.." && pwd)
for checkout in "$here" ${2:+"$2"}; do
    echo "== $checkout"
    (cd "$checkout" && PYTHONPATH=. "$python" - <<'PROGRAM'
import functools, statistics, time
import jax, numpy as np
from configs import base
from nlrn_jax import NLRN, restore
from nlrn_jax.network.build import build_model
from nlrn_jax.training.state import create_state, train_step

print(jax.devices()[0].device_kind, "JAX", jax.__version__, flush=True)


def median(work, count):
    work()
    times = []
    for _ in range(count):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def step(filters, states, patch, batch, dtype):
    config = base.get_config()
    config.model.update(filters=filters, embedding=filters // 2, steps=states, dtype=dtype)
    config.data.patch, config.train.batch = patch, batch
    state = create_state(config)
    target = jax.random.uniform(jax.random.key(0), (batch, patch, patch, 1))
    inputs = {"target": target, "input": target + 0.1}
    run = jax.jit(functools.partial(train_step, build_model(config), config.train))
    return median(lambda: jax.block_until_ready(run(state, inputs)), 10)


for name, case in {
    "full size, 16 patches, float32": (128, 12, 43, 16, "float32"),
    "full size, 16 patches, bfloat16": (128, 12, 43, 16, "bfloat16"),
    "64 filters, 4 states, 16 patches of 32": (64, 4, 32, 16, "float32"),
}.items():
    print(f"step, {name}: {1000 * step(*case):.1f} ms", flush=True)
model = NLRN(neighborhood=45)
for side in (256, 1024):
    image = np.random.default_rng(0).random((side, side), np.float32)
    start = model.clone(neighborhood=5).init
    variables = jax.jit(start)(jax.random.key(0), image[None, :8, :8, None])
    seconds = median(lambda: restore(model, variables, image), 3)
    print(f"restoring {side} x {side}, full size, q = 45: {seconds:.3f} s", flush=True)
PROGRAM
    )
done
