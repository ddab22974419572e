#!/usr/bin/env bash
# Train on the GPUs of one host: launch/multi_gpu.sh all|0,1,... [flags of nlrn_jax.main]
# One process drives them all. PYTHON names a Python to use instead of .venv.
# Paths among the flags count from the repository root.
set -euo pipefail

if [[ ! ${1:-} =~ ^(all|[0-9]+(,[0-9]+)*)$ ]]; then
  echo "usage: launch/multi_gpu.sh all|0,1,... --config=... [flags of nlrn_jax.main]" >&2
  exit 2
fi
[[ $1 == all ]] || export CUDA_VISIBLE_DEVICES=$1
shift

if [[ -n ${PYTHON:-} ]]; then
  CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
else
  source "$(dirname -- "${BASH_SOURCE[0]}")/setup.sh"
  PYTHON=.venv/bin/python
fi

if ! gpus=$("$PYTHON" -c 'import jax; print(len(jax.devices("gpu")))' 2>/dev/null); then
  echo "launch: JAX sees no GPU. nvidia-smi shows whether the driver does; JAX needs its CUDA part:" >&2
  echo "  $PYTHON -m pip install -U 'jax[cuda13]'    # for drivers before 580: jax[cuda12]" >&2
  exit 1
fi
echo "launch: $gpus GPU(s); train.batch is divided among them"
exec "$PYTHON" -m nlrn_jax.main "$@"
