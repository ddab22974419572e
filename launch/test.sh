#!/usr/bin/env bash
# Lint and test: launch/test.sh [pytest arguments]
# Tests marked slow run only when asked for: launch/test.sh -m slow, or -m '' for all of them.
set -euo pipefail
source "$(dirname -- "${BASH_SOURCE[0]}")/setup.sh"

.venv/bin/ruff check
.venv/bin/ruff format --check

selected=no
for argument in "$@"; do
  [[ $argument != -m* ]] || selected=yes
done
[[ $selected == yes ]] || set -- -m "not slow" "$@"
exec .venv/bin/python -m pytest "$@"
