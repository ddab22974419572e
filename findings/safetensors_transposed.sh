#!/usr/bin/env bash
# safetensors 0.8.0: safetensors.numpy.save writes a transposed array scrambled, without a word.
#
# The bytes are taken in the order of memory, while the header says the shape of the view: what is
# read back has the right shape and dtype, and other values. Flax kernels are often transposed on
# their way to or from another layout. np.ascontiguousarray before saving helps.
#
# Seen: wrote [[0, 3], [1, 4], [2, 5]]; read [[0, 1], [2, 3], [4, 5]]; contiguous: as written
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  safetensors==0.8.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'END'
from importlib.metadata import version

import numpy as np
from safetensors.numpy import load, save

kernel = np.arange(6).reshape(2, 3).T
back = load(save({"kernel": kernel}))["kernel"]
contiguous = load(save({"kernel": np.ascontiguousarray(kernel)}))["kernel"]
print(f"safetensors {version('safetensors')}: wrote {kernel.tolist()}; read {back.tolist()}; "
      f"contiguous: {'as written' if np.array_equal(contiguous, kernel) else 'otherwise'}")
assert back.tolist() == [[0, 1], [2, 3], [4, 5]], "behaves otherwise now"
assert np.array_equal(contiguous, kernel), "behaves otherwise now"
END
