"""A run that is told to stop saves and goes on later; one that is killed loses nothing."""

import contextlib
import os
import random
import re
import signal
import subprocess
import sys
import textwrap
import time

import psutil
import pytest
import tiny
from bench import soak

from nlrn_jax.scoring.validation import Validator
from nlrn_jax.training import loop, meter
from nlrn_jax.training.checkpoints import Checkpoints
from nlrn_jax.training.interruption import Interrupted

SCRIPT = soak.ROOT / "launch" / "local_processes.sh"


@pytest.fixture
def tell(monkeypatch):
    """Return a function that lets a signal come while the n-th batch is drawn."""

    def tell(kind, number):
        draw, calls = meter.Meter.draw, iter(range(1, 100))

        def told(self, iterator):
            if next(calls) == number:
                os.kill(os.getpid(), kind)
            return draw(self, iterator)

        monkeypatch.setattr(meter.Meter, "draw", told)

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


def test_a_signal_while_a_checkpoint_is_validated_stops_after_that_checkpoint(tmp_path):
    class Told(Validator):
        def score(self, variables, advance=None):
            os.kill(os.getpid(), signal.SIGTERM)
            return super().score(variables, advance)

    config, images = tiny.config(), tiny.photographs()
    with pytest.raises(Interrupted, match=r"^saved step 4;"):
        loop.train(config, tmp_path, images[:3], Told(config, images[3:]))


# What a program does at the moment of the signal, after it has begun to listen.
MOMENTS = {
    "at rest": "time.sleep(60)",
    "where exceptions are ignored": """
        class Gone:
            def __del__(self):
                for _ in range(6000):
                    time.sleep(0.01)
        Gone()
        """,
    "where they are caught": """
        while True:
            try:
                time.sleep(60)
            except BaseException:
                pass
        """,
    "in C, where handlers wait": "hashlib.pbkdf2_hmac('sha256', b'', b'', 2**31 - 1)",
    "while a file is written": """
        with writing.created(sys.argv[1] + "/out.png") as temporary:
            temporary.write_bytes(b"half")
            time.sleep(60)
        """,
}


def listening(moment, *arguments, begin="interruption.listen()"):
    """Start a program that listens and then comes to a moment; it says so."""
    lines = "import hashlib, os, signal, sys, time", "from nlrn_jax import writing"
    script = "\n".join((
        *lines, "from nlrn_jax.training import interruption", begin, "print('now', flush=True)",
        textwrap.dedent(moment),
    ))  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        cwd=soak.ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


@pytest.mark.parametrize("kind, status", [(signal.SIGINT, 130), (signal.SIGTERM, 75)])
@pytest.mark.parametrize("moment", MOMENTS)
def test_one_signal_ends_the_program_with_one_sentence(moment, kind, status, tmp_path):
    program = listening(MOMENTS[moment], str(tmp_path))
    program.stdout.readline()
    time.sleep(0.1)
    program.send_signal(kind)
    _, said = program.communicate(timeout=30)
    assert program.returncode == status
    assert said == ("interrupted; nothing was to be saved yet, the same command starts again\n")
    assert not list(tmp_path.iterdir())


def test_what_is_said_is_what_was_told_last():
    program = listening("interruption.tell('interrupted; step 7 is saved'); time.sleep(60)")
    program.stdout.readline()
    time.sleep(0.1)
    program.send_signal(signal.SIGINT)
    assert program.communicate(timeout=30)[1] == "interrupted; step 7 is saved\n"


def test_a_signal_that_is_held_arrives_in_the_program_that_takes_ones_place():
    again = (
        "interruption.hold()\n"
        "if len(sys.argv) < 2:\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    os.execv(sys.executable, [*sys.orig_argv, 'again'])\n"
        "interruption.listen()"
    )
    program = listening("time.sleep(60)", begin=again)
    said, _ = program.communicate(timeout=30)
    assert program.returncode == 75 and not said


def test_at_the_end_of_the_interpreter_a_signal_changes_nothing():
    """Python has put its handlers away by then, and all is done."""
    program = listening("""
        class Late:
            def __del__(self, kill=os.kill, me=os.getpid(), kind=signal.SIGTERM):
                kill(me, kind)
        late = Late()
        """)
    assert program.communicate(timeout=30) == ("now\n", "")
    assert program.returncode == 0


@pytest.mark.parametrize("moment", [0.1, 0.4, 1.5])
def test_a_signal_while_the_program_starts_ends_it(moment, tmp_path):
    """The flags, JAX; `soak.py --moments=100` is the long form."""
    kind = signal.SIGINT if moment == 0.4 else signal.SIGTERM
    end = soak.Moment([*soak.TINY, "--mode=plan"], kind, moment, tmp_path)
    assert not end.fault and end.words


def test_a_signal_while_the_step_is_compiled_ends_the_program(folder, tmp_path):
    """Compiled anew, as nowhere else here: that takes its seconds."""
    command = [*soak.TINY, f"--config.data.train=folder:{folder}/pictures", f"--workdir={tmp_path}"]
    end = soak.Moment(command, signal.SIGINT, 0.5, tmp_path, after="compiling")
    assert (end.fault, end.status) == ("", 130)
    assert end.words == ["interrupted; nothing was to be saved yet, the same command starts again"]
    assert end.seconds < 10


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
