#!/usr/bin/env bash
# jax 0.10.2: jax.export makes an exported function that it cannot write to a file.
#
# Exporting works; .serialize(), which is what one exports for, needs the package flatbuffers. It is
# no dependency of jax, and jax has no extra by which to ask for it, so that a program that passed
# its tests beside TensorFlow (which brings it) fails where jax is installed alone.
#
# Seen: exported for ('cpu',); serialize: ImportError (Please install 'flatbuffers' in order to use
# Exported serialization); with flatbuffers: written
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6
cat >"$folder/export.py" <<'END'
import jax
from jax import export

exported = export.export(jax.jit(jax.numpy.sin))(jax.ShapeDtypeStruct((3,), jax.numpy.float32))
print(f"jax {jax.__version__}: exported for {exported.platforms}; serialize: ", end="")
try:
    exported.serialize()
    print("written")
except ImportError as error:
    print(f"ImportError ({error})")
END
told=$(JAX_PLATFORMS=cpu "$folder/venv/bin/python" "$folder/export.py")
echo "$told"
[[ $told == *"ImportError"*flatbuffers* ]] || { echo "behaves otherwise now" >&2; exit 1; }
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check flatbuffers==25.9.23
told=$(JAX_PLATFORMS=cpu "$folder/venv/bin/python" "$folder/export.py")
echo "with flatbuffers: $told"
[[ $told == *written ]] || { echo "behaves otherwise now" >&2; exit 1; }
