"""Kill a training run again and again, and show that nothing is lost:

    PYTHONPATH=. python tests/bench/soak.py --folder=EMPTY [--kills=20] [--processes=1] [--seed=0]

Trains a tiny network twice: once uninterrupted, and once killed (SIGKILL) at random moments, every
other time during a save, and started again by the same command. The final states, weights,
optimiser and all, must be equal bit for bit, and so must the figures of metrics.jsonl.

    PYTHONPATH=. python tests/bench/soak.py --folder=EMPTY --moments=100 [--seed=0]

instead sends one SIGINT or SIGTERM at a random moment of training, planning and restoring. Each
must end within seconds by its status, with one sentence, no traceback and no half-written file.
"""

import argparse
import collections
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
from PIL import Image

from nlrn_jax.training.checkpoints import Checkpoints
from nlrn_jax.training.interruption import STATUSES
from nlrn_jax.training.run import read_config
from nlrn_jax.training.state import TrainState, create_state

ROOT = Path(__file__).parents[2]
CLOCK = ("steps_per_second", "patches_per_second", "loader_wait")
TINY = (
    "--config=configs/denoise_25.py:quick", "--config.model.filters=8",
    "--config.model.embedding=4", "--config.model.steps=2", "--config.data.patch=10",
    "--config.data.holdout=0", "--config.train.batch=4", "--config.log.every=7",
    "--config.checkpoint.every=5",
)  # fmt: skip


class Run:
    """The processes of one training run, started."""

    def __init__(self, folder: Path, workdir: Path, steps: int, processes: int = 1):
        self.workdir = workdir
        self._begin = time.time()
        self.output = folder / f"{workdir.name}.txt"
        self.recipe = [
            *TINY, f"--config.train.steps={steps}",
            f"--config.data.train=folder:{folder}/pictures",
        ]  # fmt: skip
        command = [
            sys.executable, "-m", "nlrn_jax.main", *self.recipe, f"--workdir={workdir}",
            f"--compilation_cache={folder}/compiled",
        ]  # fmt: skip
        environment = os.environ | {"JAX_PLATFORMS": "cpu"}
        places = [[]]
        if processes > 1:
            address = f"127.0.0.1:{free_port()}"
            places = [[f"--distributed={i}/{processes}@{address}"] for i in range(processes)]
        with self.output.open("a") as stream:
            self.processes = [
                subprocess.Popen(
                    command + place, cwd=ROOT, env=environment, stdout=stream, stderr=stream
                )
                for place in places
            ]

    def until(self, happens, seconds: float = 300) -> bool:
        """Wait until `happens()`, or the end; return whether it still runs."""
        end = time.monotonic() + seconds
        while all(process.poll() is None for process in self.processes):
            if happens():
                return True
            if time.monotonic() > end:
                raise TimeoutError(f"nothing came of it in {seconds} s: see {self.output}")
            time.sleep(0.001)
        return False

    def end(self, seconds: float = 300) -> list[int]:
        """Wait for all processes; return their statuses."""
        return [process.wait(seconds) for process in self.processes]

    def newest(self) -> int:
        """Return the step of the newest complete checkpoint, 0 without one."""
        return max((int(path.name) for path in self._saved() if path.name.isdigit()), default=0)

    def is_saving(self) -> bool:
        """Return whether a checkpoint is being written, besides what an earlier kill left."""
        return any("tmp" in path.name and self._is_new(path) for path in self._saved())

    def _is_new(self, path: Path) -> bool:
        try:
            return path.stat().st_ctime > self._begin
        except FileNotFoundError:  # just renamed: complete
            return False

    def _saved(self) -> list[Path]:
        folder = self.workdir / "checkpoints"
        return list(folder.iterdir()) if folder.is_dir() else []


def free_port() -> int:
    """Return a port that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def make_pictures(folder: Path) -> None:
    """Write four smooth random pictures to FOLDER/pictures."""
    rng = np.random.default_rng(0)
    (folder / "pictures").mkdir(parents=True)
    for number in range(4):
        ramp = rng.uniform(0, 9, (24, 1)) + rng.uniform(0, 9, (1, 20))
        wave = 127 + 100 * np.sin(ramp.cumsum(0).cumsum(1) / 40)
        Image.fromarray(wave.astype(np.uint8)).save(folder / "pictures" / f"{number}.png")


def kill(run: Run, during_save: bool, chance: random.Random) -> tuple[int, bool]:
    """Kill a run's process, a random one of several.

    Returns:
      The newest complete checkpoint then, and whether one was being written; the run may have ended
      before, by itself.
    """
    first, begin = run.newest(), time.monotonic()
    if during_save:
        run.until(lambda: run.newest() > first)  # not always the first save
        run.until(run.is_saving)
        time.sleep(chance.uniform(0, 0.03))
    else:
        moment = chance.uniform(0, 12)
        run.until(lambda: time.monotonic() - begin > moment)
    saving = run.is_saving()
    chance.choice(run.processes).send_signal(signal.SIGKILL)
    run.end()
    return run.newest(), saving


def final(workdir: Path) -> tuple[TrainState, list[dict]]:
    """Return the newest state, and the figures without what a clock decides."""
    config = read_config(workdir)
    with Checkpoints(workdir, keep=1, read_only=True) as checkpoints:
        state = checkpoints.read_state(checkpoints.newest, create_state(config))
    lines = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
    return state, [{k: v for k, v in line.items() if k not in CLOCK} for line in lines]


def assert_same_run(one: Path, other: Path) -> None:
    """Hold the final states and the figures of two runs against each other, bit for bit."""
    (state, figures), (other_state, other_figures) = final(one), final(other)
    jax.tree.map(np.testing.assert_array_equal, state, other_state)
    assert figures == other_figures


SENTENCE = r"^(interrupted; .+|saved step \d+; the same command goes on from there)$"


def listens(process: int) -> bool:
    """Tell whether a program has come to its first line, by what Linux knows of its signals."""
    status = Path(f"/proc/{process}/status")
    if not status.is_file():
        return True
    masks = re.findall(r"^Sig(?:Blk|Cgt):\s*(\w+)", status.read_text(), re.MULTILINE)
    return any(int(mask, 16) >> (signal.SIGTERM - 1) & 1 for mask in masks)


class Moment:
    """One signal at a moment of a command, and what came of it.

    Attributes:
      status: the exit status.
      seconds: from the signal to the end.
      fault: what is wrong with how it ended, or ''.
    """

    def __init__(
        self, command: list[str], kind: signal.Signals, moment: float, folder: Path, after: str = ""
    ):
        """Send a signal some seconds after the start, or after the command has said something."""
        output = folder / "moment.txt"
        program = [sys.executable, "-m", "nlrn_jax.main", *command]
        environment = os.environ | {"JAX_PLATFORMS": "cpu"}
        with output.open("w") as stream:
            process = subprocess.Popen(
                program, cwd=ROOT, env=environment, stdout=stream, stderr=stream
            )
        while after not in output.read_text() and process.poll() is None:
            time.sleep(0.01)
        while not listens(process.pid) and process.poll() is None:
            time.sleep(0.001)
        time.sleep(moment)
        process.send_signal(kind)
        begin = time.monotonic()
        self.status = process.wait(300)
        self.seconds = time.monotonic() - begin
        self.words = re.findall(SENTENCE, text := output.read_text(), re.MULTILINE)
        self.fault = self._fault(kind, text, folder)

    def _fault(self, kind: signal.Signals, text: str, folder: Path) -> str:
        if self.status == 0 and not self.words:
            return ""  # it had just ended
        if self.status != STATUSES[kind] or len(self.words) != 1:
            return f"{kind.name}: status {self.status}, and it said {text!r}"
        if "Traceback" in text or "Exception ignored" in text:
            return text
        stray = [path for path in folder.rglob(".*") if path.is_file()]
        return f"left behind {stray}" if stray else ""


def interrupt_moments(folder: Path, count: int, chance: random.Random) -> None:
    """Send a signal at random moments, and print what came of each."""
    trained = Run(folder, folder / "trained", steps=5)
    assert not any(trained.end()), f"the run failed: see {trained.output}"
    pictures = f"--input={folder}/pictures"
    seen = collections.Counter()
    for number in range(count):
        mode, seconds = chance.choice(
            [("train", 16), ("plan", 9), ("restore", 8), ("evaluate", 10)]
        )
        of_run = [f"--workdir={folder}/trained"]
        command = {
            "train": [*trained.recipe, f"--workdir={folder}/new{number}"],
            "plan": [*trained.recipe],
            "restore": [*of_run, pictures, f"--output={folder}/restored{number}"],
            "evaluate": [*trained.recipe, *of_run, f"--config.data.eval=folder:{folder}/pictures"],
        }[mode]
        kind, moment = chance.choice(list(STATUSES)), chance.uniform(0.05, seconds)
        end = Moment([*command, f"--mode={mode}"], kind, moment, folder)
        seen[mode, kind.name, end.status] += 1
        words = ", ".join(end.words) or "had ended"
        print(f"{mode} {moment:.2f} s, {kind.name}: {end.status}, {end.seconds:.1f} s: {words}",
              end.fault, flush=True)  # fmt: skip
        assert not end.fault
    for (mode, kind, status), times in sorted(seen.items()):
        print(f"{mode}, {kind}: {times} ended with status {status}")


def main() -> None:
    """Run the soak and print a line for each kill."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--moments", type=int, default=0)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    folder, chance = options.folder.absolute(), random.Random(options.seed)
    make_pictures(folder)
    if options.moments:
        interrupt_moments(folder, options.moments, chance)
        return
    begin = time.monotonic()
    whole = Run(folder, folder / "whole", options.steps, options.processes)
    assert not any(whole.end(3600)), f"the uninterrupted run failed: see {whole.output}"
    print(f"uninterrupted: {options.steps} steps in {time.monotonic() - begin:.0f} s", flush=True)
    saves = 0
    for number in range(1, options.kills + 1):
        run = Run(folder, folder / "killed", options.steps, options.processes)
        newest, saving = kill(run, number % 2 == 0, chance)
        saves += saving
        print(f"kill {number}: newest checkpoint {newest}{', while saving' * saving}", flush=True)
        assert newest < options.steps, "the run ended before all kills: give it more --steps"
    last = Run(folder, folder / "killed", options.steps, options.processes)
    assert not any(last.end(3600)), f"the last start failed: see {last.output}"
    assert_same_run(whole.workdir, last.workdir)
    print(
        f"{options.kills} kills, {saves} while saving: the final state is the same to the last bit"
    )


if __name__ == "__main__":
    main()
