#!/usr/bin/env bash
# jax 0.12.0.1 on a CPU: the gradient of a bfloat16 kernel comes out a fifth too small.
#
# The kernel of a 1 x 1 convolution, [16, M]: its gradient sums over batch, height and width. For 4
# and for 64 outputs the sum of 29,584 ones is 23,680, for 1 and 8 outputs 29,568, which is 29,584 in
# bfloat16. With preferred_element_type=float32 all are right. jax 0.10.2 gives 29,568 for each, so
# that a program that was right there learns otherwise after an update. Needs Python 3.12 or newer:
# name it as in PYTHON=python3.13 findings/bfloat16_kernel_gradient.sh
#
# Seen: 29584 ones: 1 output 29568, 4 outputs 23680, 8 outputs 29568, 64 outputs 23680; summed in
# float32: 29568
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  jax==0.12.0.1 jaxlib==0.12.0.1 numpy==2.5.5
JAX_PLATFORMS=cpu "$folder/venv/bin/python" - <<'END'
import jax
import jax.numpy as jnp
from jax import lax

x = jnp.ones((16, 43, 43, 16), jnp.bfloat16)


def gradient(outputs, summed_in=None):
    def loss(kernel):
        product = lax.dot_general(
            x, kernel, (((3,), (0,)), ((), ())), preferred_element_type=summed_in
        )
        return product.astype(jnp.float32).sum()

    return float(jax.jit(jax.grad(loss))(jnp.ones((16, outputs), jnp.bfloat16))[0, 0])


found = {outputs: gradient(outputs) for outputs in (1, 4, 8, 64)}
exact = gradient(4, jnp.float32)
said = ", ".join(f"{outputs} output{'s' * (outputs > 1)} {sum_:g}" for outputs, sum_ in found.items())
print(f"jax {jax.__version__}, {jax.default_backend()}: {x.size // 16} ones: {said}; "
      f"summed in float32: {exact:g}")
assert found == {1: 29568, 4: 23680, 8: 29568, 64: 23680}, "behaves otherwise now"
assert abs(exact - 29584) <= 16, "behaves otherwise now"
END
