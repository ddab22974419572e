"""Compare this checkout with an earlier one and with its peers, taking turns on one machine.

    PYTHONPATH=. python tests/bench/paired.py restore --before=CHECKOUT --torch=PYTHON \\
        --scico=PYTHON
    PYTHONPATH=. python tests/bench/paired.py train --before=CHECKOUT

Each contender is a process of its own, waits while another works, and is timed again and again:
medians are compared. What is not given, or lacks its package, is left out with a line. DnCNN-S in
PyTorch has 17 layers of 64 filters (Zhang et al. 2017), SCICO's is its `DnCNN("17M")` under `jit`.
"""

import argparse
import os
import statistics
import subprocess
import sys

SIZES = {  # of restoring: rows, columns, filters, states, window
    "64 filters, 4 states, q = 25": (512, 512, 64, 4, 25),
    "full size, q = 45": (256, 256, 128, 12, 45),
}
STEPS = {  # of training: filters, states, patch, batch
    "64 filters, 4 states, 4 patches of 24": (64, 4, 24, 4),
    "full size, 2 patches of 43": (128, 12, 43, 2),
    "full size, 16 patches of 43": (128, 12, 43, 16),
}

WAIT = """
import sys, time
print("ready", flush=True)
for _ in sys.stdin:
    begin = time.perf_counter()
    work()
    print(time.perf_counter() - begin, flush=True)
"""

RESTORE = """
import sys
import jax, numpy as np
from nlrn_jax import NLRN, restore
rows, columns, filters, states, window = map(int, sys.argv[1:])
model = NLRN(filters=filters, embedding=filters // 2, steps=states, neighborhood=window)
image = np.random.default_rng(0).random((rows, columns), np.float32)
variables = jax.jit(model.clone(neighborhood=5).init)(jax.random.key(0), image[None, :8, :8, None])
work = lambda: restore(model, variables, image)
work()
"""

TRAIN = """
import functools, sys
import jax
from configs import base
from nlrn_jax.network.build import build_model
from nlrn_jax.training.state import create_state, train_step
filters, states, patch, batch = map(int, sys.argv[1:])
config = base.get_config()
config.model.update(filters=filters, embedding=filters // 2, steps=states)
config.data.patch, config.train.batch = patch, batch
state = create_state(config)
target = jax.random.uniform(jax.random.key(0), (batch, patch, patch, 1))
noise = 0.1 * jax.random.normal(jax.random.key(1), target.shape)
inputs = {"target": target, "input": target + noise}
step = jax.jit(functools.partial(train_step, build_model(config), config.train), donate_argnums=0)
def work():
    global state
    state, metrics = step(state, inputs)
    jax.block_until_ready(metrics)
work()
"""

TORCH = """
import sys
import torch
from torch import nn
rows, columns = map(int, sys.argv[1:3])
layers = [nn.Conv2d(1, 64, 3, padding=1), nn.ReLU()]
for _ in range(15):
    layers += [nn.Conv2d(64, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU()]
network = nn.Sequential(*layers, nn.Conv2d(64, 1, 3, padding=1)).eval()
network = network.to(memory_format=torch.channels_last)
image = torch.rand(1, 1, rows, columns).to(memory_format=torch.channels_last)
work = torch.inference_mode()(lambda: image - network(image))
work()
"""

SCICO = """
import sys
import jax
from scico.denoiser import DnCNN
rows, columns = map(int, sys.argv[1:3])
image = jax.random.uniform(jax.random.key(0), (rows, columns))
network = jax.jit(DnCNN("17M"))
work = lambda: network(image).block_until_ready()
work()
"""


def main() -> None:
    """Print the medians of each case, relative to this checkout's."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("restore", "train"))
    parser.add_argument("--before", help="folder of an earlier checkout")
    parser.add_argument("--torch", default=sys.executable, help="a Python that has torch")
    parser.add_argument("--scico", default=sys.executable, help="a Python that has scico")
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    code = RESTORE if given.what == "restore" else TRAIN
    for name, case in (SIZES if given.what == "restore" else STEPS).items():
        contenders = {"now": start(sys.executable, code, case, ".")}
        if given.before:
            contenders["before"] = start(sys.executable, code, case, given.before)
        if given.what == "restore" and case[2] == 64:
            contenders["PyTorch's DnCNN-S"] = start(given.torch, TORCH, case, ".")
            contenders["SCICO's DnCNN"] = start(given.scico, SCICO, case, ".")
        report(name, {k: process for k, process in contenders.items() if ready(k, process)}, given)


def start(python, code, case, folder):
    """Start a contender in a folder."""
    environment = os.environ | {
        "PYTHONPATH": ".", "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",  # as the program sets it
    }  # fmt: skip
    program = [python, "-c", code + WAIT, *map(str, case)]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        program, cwd=folder, env=environment, stdin=pipe, stdout=pipe, stderr=pipe, text=True
    )


def ready(name, process):
    """Tell whether a contender is there; say why not."""
    if process.stdout.readline():
        return True
    print(f"{name} is left out: {process.stderr.read().strip().splitlines()[-1]}", flush=True)
    return False


def report(name, contenders, given):
    """Let the contenders take turns; print their medians."""
    times = {contender: [] for contender in contenders}
    for _ in range(given.rounds):
        for contender, process in contenders.items():
            print(file=process.stdin, flush=True)
            times[contender].append(float(process.stdout.readline()))
    for process in contenders.values():
        process.kill()
    ours = statistics.median(times["now"])
    for contender, seconds in times.items():
        second = statistics.median(seconds)
        print(f"{name}: {contender}: {second:.4f} s, now / this {ours / second:.2f}", flush=True)


if __name__ == "__main__":
    main()
