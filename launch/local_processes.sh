#!/usr/bin/env bash
# Train in several processes on this machine: launch/local_processes.sh N [flags of nlrn_jax.main]
# To try what many hosts do, on one. Process 0 speaks for all; the others show errors only, with their
# number before each line. SIGINT (Ctrl-C) and SIGTERM go to all. When one fails, all end.
# JAX_NUM_CPU_DEVICES=4 gives each process four CPU devices. PYTHON names a Python to use instead of
# .venv; paths among the flags then count from the current folder's repository root all the same.
set -euo pipefail

if [[ ! ${1:-} =~ ^[1-9][0-9]*$ ]]; then
  echo "usage: launch/local_processes.sh N --config=... [flags of nlrn_jax.main]" >&2
  exit 2
fi
count=$1
shift

if [[ -n ${PYTHON:-} ]]; then
  CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
else
  source "$(dirname -- "${BASH_SOURCE[0]}")/setup.sh"
  PYTHON=.venv/bin/python
fi

grace=60 # seconds that the others have to end by themselves once one has failed
port=$("$PYTHON" -c 'import socket
with socket.create_server(("127.0.0.1", 0)) as server:
    print(server.getsockname()[1])')

set -m # each process its own group: Ctrl-C reaches this script alone, which passes it on once
pids=()
pass_on() {
  for pid in "${pids[@]}"; do
    kill -s "$1" "$pid" 2>/dev/null || true
  done
}
trap 'pass_on INT' INT
trap 'pass_on TERM' TERM

for ((i = 0; i < count; i++)); do
  place=--distributed=$i/$count@127.0.0.1:$port
  if ((i == 0)); then
    "$PYTHON" -m nlrn_jax.main "$@" "$place" &
  else
    "$PYTHON" -m nlrn_jax.main "$@" "$place" >/dev/null 2> >(sed -u "s/^/[$i] /" >&2) &
  fi
  pids+=("$!")
done

running() {
  local pid
  for pid in "${pids[@]}"; do
    if kill -0 "$pid" 2>/dev/null; then return; fi
  done
  return 1
}

# A trapped signal ends `wait`: wait again until each process has ended, and keep the first failure.
status=0
failed_at=
declare -A ended=()
while ((${#ended[@]} < count)); do
  for i in "${!pids[@]}"; do
    [[ -z ${ended[$i]:-} ]] || continue
    kill -0 "${pids[$i]}" 2>/dev/null && continue
    result=0
    wait "${pids[$i]}" || result=$?
    ended[$i]=yes
    if ((result && !status)); then
      status=$result
      failed_at=$SECONDS
      ((result == 75 || result == 130)) || echo "launch: process $i ended with status $result" >&2
    fi
  done
  if [[ -n $failed_at ]] && ((SECONDS - failed_at > grace)); then
    echo "launch: the others did not end within $grace s: killing them" >&2
    pass_on KILL
    failed_at=
  fi
  sleep 0.2 &
  wait $! || true
done
exit "$status"
