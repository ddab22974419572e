#!/usr/bin/env bash
# safetensors 0.8.0: the same arrays and metadata give another file each time.
#
# The texts of `metadata` are written in an order that changes by chance from one call to the next,
# also within a process; the arrays keep theirs. So of two exports of one network the check sums
# differ, and a cache or a repository takes the second for a new file. With a single text (all that
# is to be told, as one JSON) the bytes are always the same.
#
# Seen: 3 texts: 6 different files of 64 calls; 1 text: 1 of 64
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  safetensors==0.8.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'END'
from importlib.metadata import version

import numpy as np
from safetensors.numpy import save

arrays = {"kernel": np.zeros((3, 3), np.float32), "bias": np.zeros(3, np.float32)}
texts = {"config": "a", "facts": "b", "format": "c"}
several = len({save(arrays, texts) for _ in range(64)})
one = len({save(arrays, {"config": "a"}) for _ in range(64)})
print(f"safetensors {version('safetensors')}: 3 texts: {several} different files of 64 calls; "
      f"1 text: {one} of 64")
assert several > 1 and one == 1, "behaves otherwise now"
END
