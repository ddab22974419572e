#!/usr/bin/env bash
# jax 0.10.2 on a CPU: a batch of small float32 products keeps one core busy, whatever the batch.
#
# A product of [16, 64, 1024] and [16, 1024, 64] is split among threads by the rows and columns of
# its result, in blocks of more than 64, and not by its batch: each of the 16 products is too small
# to be split, and they run one after another on one core. With 128 rows instead of 64 (twice the
# arithmetic) all cores work, and it takes hardly longer. So attention in small tiles gains nothing
# from batching them; tiles of 128 queries do.
#
# Seen on 2 cores: 64 rows: 1.1 cores busy; 128 rows: 1.7 cores busy
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6
JAX_PLATFORMS=cpu "$folder/venv/bin/python" - <<'END'
import resource
import time

import jax
import jax.numpy as jnp


def busy(rows):
    """Return how many cores a loop of batched products keeps busy."""
    a, b = jnp.ones((16, rows, 1024)), jnp.ones((16, 1024, 64))

    def product(_, out):
        return jnp.einsum("bqk,bkm->bqm", a, b + 0 * out[0, 0, 0])

    loop = jax.jit(lambda: jax.lax.fori_loop(0, 2000, product, jnp.zeros((16, rows, 64))))
    loop().block_until_ready()
    before, begin = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    loop().block_until_ready()
    wall = time.perf_counter() - begin
    after = resource.getrusage(resource.RUSAGE_SELF)
    return (after.ru_utime - before.ru_utime) / wall


few, many = busy(64), busy(128)
print(f"jax {jax.__version__}: 64 rows: {few:.1f} cores busy; 128 rows: {many:.1f} cores busy")
assert few < 1.4 < 1.6 < many, "behaves otherwise now, or there are no two free cores"
END
