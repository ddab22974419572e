#!/usr/bin/env bash
# Train on all workers of a TPU VM slice that exists: launch/tpu_pod.sh NAME ZONE [flags of nlrn_jax.main]
# Sends the commit that is checked out, installs it on every worker, and runs one process on each; the
# processes find each other. --workdir and the data must be paths that all workers share (NFS or a
# mounted bucket). Should the connection drop, the same command goes on from the newest checkpoint.
# Needs gcloud, logged in, with the project set.
set -euo pipefail

if (($# < 3)) || [[ $1 == -* || $2 == -* ]]; then
  echo "usage: launch/tpu_pod.sh NAME ZONE --config=... --workdir=SHARED_PATH [flags of nlrn_jax.main]" >&2
  exit 2
fi
name=$1 zone=$2
shift 2

CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
archive=$(mktemp "${TMPDIR:-/tmp}/nlrn_jax.XXXXXX")
git archive --format=tar.gz --output="$archive" HEAD
gcloud compute tpus tpu-vm scp "$archive" "$name:nlrn_jax.tar.gz" --zone="$zone" --worker=all

flags=$(printf ' %q' "$@")
# jax[tpu] adds the libtpu that belongs to the JAX that requirements.txt brought.
gcloud compute tpus tpu-vm ssh "$name" --zone="$zone" --worker=all --command="
  set -euo pipefail
  command -v python3.11 >/dev/null || sudo apt-get install -y python3.11 python3.11-venv
  mkdir -p nlrn_jax
  tar -xzf nlrn_jax.tar.gz -C nlrn_jax
  cd nlrn_jax
  source launch/setup.sh
  .venv/bin/python -m pip install --quiet \"jax[tpu]==\$(.venv/bin/python -c 'import jax; print(jax.__version__)')\"
  exec .venv/bin/python -m nlrn_jax.main --distributed=auto$flags"
