#!/usr/bin/env bash
# optax 0.2.8 with jax_numpy_dtype_promotion=strict: Adam takes no step.
#
# Strict promotion is JAX's own guard against mixed dtypes. What corrects a moving average for its
# start mixes a Python float with an int32 count, and raises: adam, adamw and ema do, sgd with
# momentum and clip_by_global_norm do not, nor ema without that correction.
#
# Seen: adam TypePromotionError; ema TypePromotionError; ema without debias fine; sgd with momentum fine
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6 optax==0.2.8
JAX_PLATFORMS=cpu JAX_NUMPY_DTYPE_PROMOTION=strict "$folder/venv/bin/python" - <<'END'
from importlib.metadata import version

import jax
import jax.numpy as jnp
import optax

weights = jnp.ones(3)


def told(optimizer):
    try:
        optimizer.update(weights, optimizer.init(weights), weights)
    except Exception as error:
        return type(error).__name__
    return "fine"


found = {
    "adam": told(optax.adam(1e-3)),
    "ema": told(optax.ema(0.9)),
    "ema without debias": told(optax.ema(0.9, debias=False)),
    "sgd with momentum": told(optax.sgd(0.1, momentum=0.9)),
}
print(f"optax {version('optax')}, jax {jax.__version__}: "
      + "; ".join(f"{name} {what}" for name, what in found.items()))
wanted = ["TypePromotionError", "TypePromotionError", "fine", "fine"]
assert list(found.values()) == wanted, "behaves otherwise now"
END
