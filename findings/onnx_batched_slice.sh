#!/usr/bin/env bash
# jax2onnx 0.17.1 (jax 0.10.2): slices at several places lose their last axis in the ONNX model.
#
# jax.vmap of lax.dynamic_slice is one gather in JAX. Of an array [1, 6, 7, 5] the model gives what
# JAX gives; of an array [2, 6, 7, 5], sliced the same way, it loads, runs and gives an array of one
# dimension less. Converting says nothing.
#
# Seen: of 1: (1, 1, 3, 4, 5) for (1, 1, 3, 4, 5), equal; of 2: (2, 1, 3, 4) for (2, 1, 3, 4, 5)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  jax2onnx==0.17.1 jax==0.10.2 jaxlib==0.10.2 flax==0.12.8 onnxruntime==1.32.0
cat >"$folder/convert.py" <<'END'
import jax
import jax2onnx
import numpy as np
import onnxruntime
from jax import lax


def slices(x, places):
    return jax.vmap(lambda k: lax.dynamic_slice(x, (k, 0, 0, 0), (1, 3, 4, 5)))(places)


told = []
for count in (1, 2):
    x = np.random.default_rng(0).random((count, 6, 7, 5), np.float32)
    given = x, np.arange(count, dtype=np.int32)
    shapes = [jax.ShapeDtypeStruct(array.shape, array.dtype) for array in given]
    model = jax2onnx.to_onnx(slices, shapes)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    inputs = zip(session.get_inputs(), given, strict=True)
    (found,) = session.run(None, {one.name: array for one, array in inputs})
    wanted = np.asarray(slices(*given))
    same = ", equal" if found.shape == wanted.shape and (found == wanted).all() else ""
    told.append(f"of {count}: {found.shape} for {wanted.shape}{same}")
print("; ".join(told))
END
told=$(JAX_PLATFORMS=cpu "$folder/venv/bin/python" "$folder/convert.py" 2>/dev/null)
echo "$told"
wanted="of 1: (1, 1, 3, 4, 5) for (1, 1, 3, 4, 5), equal; of 2: (2, 1, 3, 4) for (2, 1, 3, 4, 5)"
[[ $told == "$wanted" ]] || { echo "behaves otherwise now" >&2; exit 1; }
