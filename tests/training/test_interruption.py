"""A run that is told to stop saves and goes on later; one that is killed loses nothing."""

import contextlib
import os
import random
import re
import signal
import subprocess
import time

import psutil
import pytest
import tiny
from bench import soak

from nlrn_jax.training import loop
from nlrn_jax.training.checkpoints import Checkpoints
from nlrn_jax.training.interruption import Interrupted

SCRIPT = soak.ROOT / "launch" / "local_processes.sh"


@pytest.fixture
def tell(monkeypatch):
    """Return a function that lets a signal come while the n-th batch is drawn."""

    def tell(kind, number):
        draw, calls = loop._Meter.draw, iter(range(1, 100))

        def told(self, iterator):
            if next(calls) == number:
                os.kill(os.getpid(), kind)
            return draw(self, iterator)

        monkeypatch.setattr(loop._Meter, "draw", told)

    return tell


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The workdir of an uninterrupted run."""
    workdir = tmp_path_factory.mktemp("whole")
    tiny.train(tiny.config(), workdir)
    return workdir


@pytest.mark.parametrize(
    ("kind", "status", "step"),
    [(signal.SIGINT, 130, 7), (signal.SIGTERM, 75, 4), (signal.SIGTERM, 75, 12)],
)
def test_a_signal_finishes_the_step_saves_and_the_run_goes_on(
    whole, tell, monkeypatch, tmp_path, capfd, kind, status, step
):
    """At a step of its own, at one that is saved anyway, and at the last one."""
    handlers = [signal.getsignal(kind) for kind in (signal.SIGTERM, signal.SIGINT)]
    tell(kind, step)
    with pytest.raises(Interrupted, match=rf"^saved step {step}; the same command") as told:
        tiny.train(tiny.config(), tmp_path)
    assert told.value.status == status
    assert kind.name in capfd.readouterr().err
    assert [signal.getsignal(kind) for kind in (signal.SIGTERM, signal.SIGINT)] == handlers
    with Checkpoints(tmp_path, keep=2, read_only=True) as checkpoints:
        assert checkpoints.newest == step
    monkeypatch.undo()
    tiny.train(tiny.config(), tmp_path)
    soak.assert_same_run(whole, tmp_path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pictures, and a cache of compiled programs."""
    folder = tmp_path_factory.mktemp("interrupted")
    soak.make_pictures(folder)
    return folder


def test_a_run_killed_and_told_to_stop_ends_as_one_that_was_not(folder):
    """Killed while saving, then stopped by SIGTERM: bit for bit. `soak.py` is the long form."""
    whole = soak.Run(folder, folder / "whole", steps=60)
    assert whole.end() == [0]
    assert any((folder / "compiled").iterdir())  # --compilation_cache
    run = soak.Run(folder, folder / "cut", steps=60)
    soak.kill(run, during_save=True, chance=random.Random(0))
    run = soak.Run(folder, folder / "cut", steps=60)
    begin = run.newest()
    if run.until(lambda: run.newest() > begin):
        run.processes[0].send_signal(signal.SIGTERM)
        assert run.end() in ([75], [0])  # 0: it had just finished
        assert re.search(r"^saved step \d+; ", run.output.read_text(), re.MULTILINE)
    last = soak.Run(folder, folder / "cut", steps=60)
    assert last.end() == [0]
    soak.assert_same_run(whole.workdir, last.workdir)


@pytest.fixture
def launched(folder):
    """Return a function that starts two processes by the script, and tells where its words go."""
    started = []

    def launch(*flags):
        environment = os.environ | {
            "PYTHON": soak.sys.executable, "JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "1",
        }  # fmt: skip
        output = folder / "launched.txt"
        command = [
            SCRIPT, "2", *soak.TINY, f"--workdir={folder}/pair", "--config.train.steps=100000",
            f"--config.data.train=folder:{folder}/pictures",
            f"--compilation_cache={folder}/compiled", *flags,
        ]  # fmt: skip
        with output.open("w") as stream:
            started.append(subprocess.Popen(command, env=environment, stdout=stream, stderr=stream))
        return started[-1], output

    yield launch
    for script in started:
        if script.poll() is None:  # the test has failed
            for process in [*psutil.Process(script.pid).children(recursive=True), script]:
                with contextlib.suppress(psutil.Error):
                    process.kill()
            script.wait()


def wait_for(script, output, words):
    """Wait until the script has said something."""
    end = time.monotonic() + 900  # other work beside it costs time and no test
    while words not in output.read_text():
        assert script.poll() is None and time.monotonic() < end, output.read_text()
        time.sleep(0.1)


def words_of(process):
    """Return the command line of a process; none where it has just ended."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def test_of_two_processes_neither_outlives_the_other(launched):
    script, output = launched()
    wait_for(script, output, "step      1/100000")
    (other,) = (
        process
        for process in psutil.Process(script.pid).children(recursive=True)
        if any(word.startswith("--distributed=1/2") for word in words_of(process))
    )
    other.kill()
    assert script.wait(400) not in (0, 75, 130)
    assert re.search(
        r"^error: another process ended.*goes on from the newest checkpoint$|detected fatal errors",
        output.read_text(), re.MULTILINE,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("kind, status", [(signal.SIGTERM, 75), (signal.SIGINT, 130)])
def test_two_processes_stop_at_one_step_and_go_on_from_there(launched, kind, status):
    script, output = launched()
    wait_for(script, output, "/100000  loss")
    script.send_signal(kind)
    assert script.wait(400) == status
    (step,) = re.findall(r"^saved step (\d+); ", output.read_text(), re.MULTILINE)
    script, output = launched(f"--config.train.steps={int(step) + 3}")
    assert script.wait(400) == 0
    assert f"resumes at step {step}" in output.read_text()
