#!/usr/bin/env bash
# Restore pictures with the weights that came along: launch/restore.sh PHOTO [flags of --mode=restore]
# PHOTO is a picture, or a folder of them. The results lie beside it.
set -euo pipefail

if [[ $# -eq 0 || $1 == -* ]]; then
  echo "usage: launch/restore.sh PHOTO [--scale=3] [--compare] [flags of --mode=restore]" >&2
  exit 2
fi
here=$PWD
source "$(dirname -- "${BASH_SOURCE[0]}")/setup.sh"
root=$PWD
cd -- "$here" # from where paths count
export PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH}
exec "$root/.venv/bin/python" -m nlrn_jax.main --mode=restore --input="$1" "${@:2}"
