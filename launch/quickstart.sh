#!/usr/bin/env bash
# Train the small network for a few minutes: launch/quickstart.sh [further flags of nlrn_jax.main]
# Paths among the flags count from the repository root.
set -euo pipefail
source "$(dirname -- "${BASH_SOURCE[0]}")/setup.sh"

set -- .venv/bin/python -m nlrn_jax.main \
  --config=configs/sr_x3.py:quick --workdir=runs/quickstart "$@"
printf '$'
printf ' %q' "$@"
printf '\n'
exec "$@"
