#!/usr/bin/env bash
# Train weights on one GPU in minutes: launch/weights.sh NAME PICTURES OUTPUT [MINUTES, 8 unless said]
# NAME is denoise, denoise_color, photo or sr; PICTURES a source as config.data.train has it; OUTPUT a
# folder, which gets NAME.safetensors and the run. Times three sizes for 20 s each, takes the largest
# that makes STEPS steps in the time that is left, and trains it. PYTHON names a Python with jax[cuda].
set -euo pipefail

if [[ $# -lt 3 || ! ${4:-8} =~ ^[0-9]+$ ]]; then
  echo "usage: launch/weights.sh denoise|denoise_color|photo|sr PICTURES OUTPUT [MINUTES]" >&2
  exit 2
fi
name=$1 pictures=$2 output=$(realpath -m -- "$3") minutes=${4:-8}
begin=$SECONDS
if [[ -n ${PYTHON:-} ]]; then
  CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
else
  source "$(dirname -- "${BASH_SOURCE[0]}")/setup.sh"
  PYTHON=.venv/bin/python
fi
export STEPS=${STEPS:-10000}  # fewer teach a large network less than more a small one

recipe=$("$PYTHON" -c 'import sys
from nlrn_jax.exchanging.shipped import RECIPES
sys.exit(f"{sys.argv[1]} is none of {list(RECIPES)}") if sys.argv[1] not in RECIPES else None
print(RECIPES[sys.argv[1]])' "$name")

size=$("$PYTHON" - "$recipe" "$((60 * minutes - 150))" <<'PROGRAM'
import functools, os, sys, time
import jax, jax.numpy as jnp
from nlrn_jax.commands import recipe
from nlrn_jax.network.build import build_model
from nlrn_jax.training.state import create_state, train_step

named, seconds = sys.argv[1], int(sys.argv[2])
print(jax.devices()[0].device_kind, file=sys.stderr)
for filters, states, patch in ((128, 8, 40), (96, 6, 40), (64, 4, 32)):
    config = recipe.load(named)
    config.model.update(filters=filters, embedding=filters // 2, steps=states)
    config.data.patch, config.train.batch = patch, 16
    batch = jnp.full((16, patch, patch, config.model.channels), 0.5)
    step = jax.jit(functools.partial(train_step, build_model(config), config.train), donate_argnums=0)
    state, _ = step(create_state(config), {"input": batch, "target": batch})
    begin, done = time.perf_counter(), 0
    while time.perf_counter() < begin + 20:
        state, loss = step(state, {"input": batch, "target": batch})
        loss.block_until_ready()
        done += 1
    pace = done / (time.perf_counter() - begin)
    print(f"{filters} filters, {states} states, patches of {patch}: {pace:.1f} steps/s", file=sys.stderr)
    chosen = filters, states, patch, int(0.9 * pace * seconds)
    if chosen[-1] >= int(os.environ["STEPS"]):
        break
print(*chosen)
PROGRAM
)
read -r filters states patch steps <<<"$size"
echo "trains $filters filters, $states states, patches of $patch, $steps steps"
# should it be slower than it was, what is saved by then is taken
limit=$((60 * minutes - 45 - SECONDS + begin))
timeout --signal=TERM "$limit" "$PYTHON" -m nlrn_jax.main --config="$recipe" \
  --workdir="$output/$name" --config.data.train="$pictures" --config.train.start= \
  --config.model.filters="$filters" --config.model.embedding="$((filters / 2))" \
  --config.model.steps="$states" --config.data.patch="$patch" --config.train.batch=16 \
  --config.train.steps="$steps" --config.checkpoint.every=1000 \
  --config.checkpoint.validation_share=0.02 || status=$?
[[ -d $output/$name/checkpoints ]] || exit "${status:-1}"  # it has said why
[[ -z ${status:-} ]] || echo "ended early, with status $status"
"$PYTHON" -m nlrn_jax.main --mode=export --workdir="$output/$name" \
  --output="$output/$name.safetensors" --overwrite
