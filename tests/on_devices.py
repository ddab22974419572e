"""Train and restore on several devices, for training/test_processes.py:

    python tests/on_devices.py DEVICES PLACE WORKDIR...

DEVICES is what this process has, PLACE where it belongs among several ('-' for one alone), as
--distributed takes it. Each workdir is trained to its end, from the checkpoint that it holds. With
eight devices the first gets `restored.npy` and `collectives.json` besides.
"""

import json
import re
import sys
from collections import Counter
from pathlib import Path

import jax
import numpy as np
import tiny
from ml_collections import ConfigDict

from nlrn_jax.network.build import build_model
from nlrn_jax.network.mesh import data_mesh
from nlrn_jax.restoring.patches import restore_patches
from nlrn_jax.training.processes import join
from nlrn_jax.training.state import create_state, trace_step

KINDS = "all-reduce|all-gather|all-to-all|collective-permute|collective-broadcast|reduce-scatter"


def config() -> ConfigDict:
    """Return the run of `tiny`, in 20 steps of 8 patches.

    Smaller still: a few activations in a million are so near to zero that rounding decides what
    the ReLU does with them, and that is no small difference.
    """
    config = tiny.config()
    config.model.update(filters=4, embedding=2)
    config.data.patch = 6
    config.train.update(steps=20, batch=8)
    config.log.every = 5
    config.checkpoint.update(every=10, keep=5)
    config.evaluate.batch = 8
    return config


def collectives(**changes) -> dict[str, int]:
    """Count the collectives in the compiled step, by kind."""
    changed = config()
    changed.train.accumulate = changes.pop("accumulate", 1)
    changed.train.batch = 16
    changed.model.update(changes)
    state = jax.eval_shape(lambda: create_state(changed))
    text = trace_step(changed, data_mesh(), state).lower().compile().as_text()
    return Counter(re.findall(rf" ({KINDS})(?:-start)?\(", text))


def main(devices: str, place: str, *workdirs: str) -> None:
    """Do what the module says."""
    jax.config.update("jax_num_cpu_devices", int(devices))
    if place != "-":
        join(place)
    states = [tiny.train(config(), workdir) for workdir in workdirs]
    if devices != "8":
        return
    variables = jax.device_get(states[0].variables)
    model, pixels = build_model(config()), tiny.photographs()[3].pixels
    restored = restore_patches(model, variables, pixels, patch=6, stride=5, batch=8)
    np.save(Path(workdirs[0]) / "restored.npy", restored)
    counts = {
        "the whole patch": collectives(),
        "a window, embeddings": collectives(neighborhood=5, carry="embeddings"),
        "a window, logits, micro-batches": collectives(neighborhood=5, accumulate=2),
        "DnCNN, blocks that hand on": collectives(
            network="dncnn", depth=5, blocks=(1, 3), neighborhood=5
        ),
    }
    (Path(workdirs[0]) / "collectives.json").write_text(json.dumps(counts))


if __name__ == "__main__":
    main(*sys.argv[1:])
