#!/usr/bin/env bash
# Lint and test: launch/test.sh [pytest arguments]
# Files of tests run two at a time; -n 0 runs them one after another, as a debugger needs.
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
# A file stays with one process, which shares what it has trained and compiled; in their order, so
# that the longest do not come last.
exec .venv/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder "$@"
