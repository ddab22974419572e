#!/usr/bin/env bash
# jax 0.10.2 on a CPU: the gradient of a bfloat16 bias sticks at a power of two.
#
# The gradient of a bias is the sum of what comes back over batch, height and width. XLA compiles
# that sum for CPUs in bfloat16, one addition after another: at 256 for a sum over one axis, at
# 1024 here, adding 1 changes nothing any more. A sum over all axes at once is right, so a plain
# check of jnp.sum does not show it. For 43 x 43 pixels a bias is told 1024 instead of 1849, and
# trains at half its rate, without a word.
#
# Seen: 1849 pixels: gradient 1024; the same in float32: 1849; jnp.sum over everything: 1848
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6
JAX_PLATFORMS=cpu "$folder/venv/bin/python" - <<'END'
import jax
import jax.numpy as jnp

side = 43
features = jnp.ones((1, side, side, 16), jnp.bfloat16)


def gradient(dtype):
    total = lambda bias: (features.astype(dtype) + bias).astype(jnp.float32).sum()
    return float(jax.jit(jax.grad(total))(jnp.zeros(16, dtype))[0])


half, single = gradient(jnp.bfloat16), gradient(jnp.float32)
plain = float(jax.jit(jnp.sum)(features[..., 0]))
print(f"jax {jax.__version__}, {jax.default_backend()}: {side * side} pixels: gradient {half:g}; "
      f"the same in float32: {single:g}; jnp.sum over everything: {plain:g}")
assert (half, single, plain) == (1024, 1849, 1848), "behaves otherwise now"
END
