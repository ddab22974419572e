#!/usr/bin/env bash
# jax 0.12.0.1: zeros_like of an array on explicit axes is on none, where no mesh is set.
#
# The axes of jax.make_mesh are explicit, and the type of an array says over which it is split. Under
# jit without jax.set_mesh, jnp.zeros_like, jnp.full_like and lax.full_like forget that, and so does
# the gradient by what lax.scan holds constant, though its value was split. With 0.10.2 neither did.
#
# Seen: jax 0.10.2: array 8@batch, zeros 8@batch, gradient 8@batch
#       jax 0.12.0.1: array 8@batch, zeros 8, gradient 8
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat >"$folder/zeros.py" <<'END'
import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec

mesh = jax.make_mesh((8,), ("batch",))
x = jax.device_put(jnp.ones((8, 3)), NamedSharding(mesh, PartitionSpec("batch")))


def first(array):
    return str(jax.typeof(array)).removeprefix("float32[").partition(",")[0]


def loss(x, constant):
    return jax.lax.scan(lambda c, _: (jnp.sin(c) * constant, None), x, length=3)[0].sum()


@jax.jit
def tell(x):
    gradient = jax.grad(loss, 1)(x, x)
    print(f"array {first(x)}, zeros {first(jnp.zeros_like(x))}, gradient {first(gradient)}")
    return x


print(f"jax {jax.__version__}: ", end="")
tell(x)
END
for version in 0.10.2 0.12.0.1; do
  rm -rf "$folder/venv"
  python3 -m venv "$folder/venv"
  "$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    "jax==$version" "jaxlib==$version" ||
    { echo "jax $version wants another Python than $(python3 --version)" >&2; exit 2; }
  JAX_PLATFORMS=cpu JAX_NUM_CPU_DEVICES=8 "$folder/venv/bin/python" "$folder/zeros.py" | tee -a "$folder/told"
done
wanted="jax 0.10.2: array 8@batch, zeros 8@batch, gradient 8@batch
jax 0.12.0.1: array 8@batch, zeros 8, gradient 8"
[[ $(cat "$folder/told") == "$wanted" ]] || { echo "behaves otherwise now" >&2; exit 1; }
