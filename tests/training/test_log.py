"""The log: TensorBoard files are well formed, lines come in time, and the bar is a bar."""

import io
import math
import os
import re
import resource
import struct
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nlrn_jax.training.log import Log, TensorBoard
from nlrn_jax.training.record import read_record

ROOT = Path(__file__).parents[2]


class Clock:
    """A clock that a test moves by hand."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def train(workdir, first_step, last_step, stop=None):
    """Write a figure every 10 steps, as a run would; `stop` ends it early."""
    with Log(workdir, first_step, last_step, stream=io.StringIO()) as log:
        for step in range(first_step + 10, (stop or last_step) + 1, 10):
            log.write(step, {"loss": 1 / step, "psnr": np.float32(20 + step / 7)})


# --- the record ------------------------------------------------------------------------------


def test_figures_of_every_type_are_numbers_in_the_record(tmp_path):
    with Log(tmp_path / "new" / "run", 0, 10, stream=io.StringIO()) as log:
        log.write(np.int32(5), {"loss": 0.1 + 0.2, "psnr": np.float32(0.1), "set12/psnr": 30})
        (line,) = read_record(tmp_path / "new" / "run")  # on disk before the log is closed
    psnr = float(np.float32(0.1))
    assert line == {"step": 5, "loss": 0.1 + 0.2, "psnr": psnr, "set12/psnr": 30.0}


def test_a_figure_called_step_is_refused(tmp_path):
    with (
        Log(tmp_path, 0, 10, stream=io.StringIO()) as log,
        pytest.raises(ValueError, match="'step'"),
    ):
        log.write(1, {"step": 3.0})


def test_a_run_from_step_0_starts_a_new_record_and_says_so(tmp_path):
    train(tmp_path, 0, 30)
    stream = io.StringIO()
    with Log(tmp_path, 0, 30, stream=stream):
        pass
    assert read_record(tmp_path) == []
    assert "dropped 3 lines written after step 0" in stream.getvalue()


def test_a_resume_keeps_the_lines_up_to_its_step(tmp_path):
    train(tmp_path, 0, 30)
    stream = io.StringIO()
    with Log(tmp_path, 20, 60, stream=stream):
        pass
    assert [line["step"] for line in read_record(tmp_path)] == [10, 20]
    assert "metrics.jsonl: dropped 1 line written after step 20" in stream.getvalue()


def test_a_resume_that_drops_nothing_says_nothing(tmp_path):
    train(tmp_path, 0, 30)
    stream = io.StringIO()
    with Log(tmp_path, 30, 60, stream=stream):
        pass
    assert (len(read_record(tmp_path)), stream.getvalue()) == (3, "")


def test_steps_out_of_order_are_refused(tmp_path):
    with pytest.raises(ValueError, match="first_step <= last_step"):
        Log(tmp_path, 11, 10)


# --- TensorBoard -----------------------------------------------------------------------------


def masked_crc32c(data):
    """CRC-32C bit by bit (RFC 3720, B.4), masked as TFRecord does."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 * (crc & 1))
    crc ^= 0xFFFFFFFF
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def events_of(workdir):
    """Read all events: TFRecords (length, crc, data, crc) of Event messages."""
    from tensorboardX.proto.event_pb2 import Event

    for path in sorted((workdir / "tensorboard").iterdir()):
        data = path.read_bytes()
        while data:
            (length,) = struct.unpack("<Q", data[:8])
            body = data[12 : 12 + length]
            checks = struct.unpack("<I", data[8:12]) + struct.unpack("<I", data[12 + length :][:4])
            assert checks == (masked_crc32c(data[:8]), masked_crc32c(body))
            yield Event.FromString(body)
            data = data[16 + length :]


def scalars_of(workdir):
    return [
        (event.step, value.tag, value.simple_value)
        for event in events_of(workdir)
        for value in event.summary.value
    ]


def test_the_checksum_of_this_test_is_crc32c():
    """RFC 3720, B.4: 32 bytes of zeros give 8a9136aa."""
    crc = (masked_crc32c(bytes(32)) - 0xA282EAD8) & 0xFFFFFFFF
    assert ((crc << 15) | (crc >> 17)) & 0xFFFFFFFF == 0x8A9136AA


def test_tensorboard_shows_the_figures_of_the_record(tmp_path):
    with Log(tmp_path, 0, 10, stream=io.StringIO()) as log:
        log.write(5, {"loss": 0.1, "set12/psnr": 30.5})
        log.write(10, {"loss": math.nan})
    *scalars, (step, tag, value) = scalars_of(tmp_path)
    assert scalars == [(5, "loss", float(np.float32(0.1))), (5, "set12/psnr", 30.5)]
    assert (step, tag) == (10, "loss") and math.isnan(value)


def test_resuming_purges_what_tensorboard_saw_after_the_checkpoint(tmp_path):
    train(tmp_path, 0, 100, stop=70)
    train(tmp_path, 40, 100)
    start = [e for e in events_of(tmp_path) if e.HasField("session_log")][-1]
    assert start.step == 41  # TensorBoard forgets this step and later ones
    assert start.session_log.status == start.session_log.START
    steps = [step for step, tag, _ in scalars_of(tmp_path) if tag == "loss"]
    assert steps == [10, 20, 30, 40, 50, 60, 70, 50, 60, 70, 80, 90, 100]


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3), (1, 1), (1, 1, 3)])
def test_a_picture_reaches_tensorboard_exactly(tmp_path, shape):
    picture = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    with Log(tmp_path, 0, 10, stream=io.StringIO()) as log:
        log.image(3, "butterfly", picture)
    (event,) = [event for event in events_of(tmp_path) if event.summary.value]
    (value,) = event.summary.value
    shown = np.asarray(Image.open(io.BytesIO(value.image.encoded_image_string)).convert("RGB"))
    expected = picture if picture.ndim == 3 else np.stack([picture] * 3, axis=-1)
    assert (event.step, value.tag) == (3, "butterfly")
    np.testing.assert_array_equal(shown, expected)


@pytest.mark.parametrize(
    "picture",
    [np.zeros((4, 4), np.float32), np.zeros(4, np.uint8), np.zeros((4, 4, 1), np.uint8)],
    ids=["float", "vector", "one channel"],
)
def test_a_picture_of_another_kind_is_refused(tmp_path, picture):
    with (
        Log(tmp_path, 0, 10, stream=io.StringIO()) as log,
        pytest.raises(ValueError, match=r"butterfly: need uint8 \[H, W\]"),
    ):
        log.image(3, "butterfly", picture)


def test_a_full_disk_is_told_at_once(tmp_path):
    """Files may grow to 300 bytes only."""
    board = TensorBoard(tmp_path, purge=0)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (300, limits[1]))
        with pytest.raises(OSError, match=f"^{tmp_path}: cannot be written to any more"):
            for step in range(9):
                board.figures(step, {"loss": 1.0})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    board.close()


def test_what_is_written_is_there_and_no_thread_writes_it(tmp_path):
    board = TensorBoard(tmp_path / "tensorboard", purge=0)
    threads = threading.active_count()
    board.figures(7, {"loss": 2.0})
    assert scalars_of(tmp_path) == [(7, "loss", 2.0)]
    assert threading.active_count() == threads
    board.close()


def test_tensorflow_is_never_imported(tmp_path):
    """An importable stand-in is put on the path, so that an import could not fail unseen."""
    (tmp_path / "tensorflow.py").write_text("")
    program = """if True:
        import sys
        from nlrn_jax.training.log import Log
        assert "tensorboardX" not in sys.modules, "imported before a log was opened"
        with Log(sys.argv[1], 0, 10) as log:
            log.write(1, {"loss": 1.0})
        assert "tensorboardX" in sys.modules
        print("tensorflow" in sys.modules)
        import tensorflow
    """
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}
    command = [sys.executable, "-c", program, str(tmp_path / "run")]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (0, "False\n"), ran.stderr


# --- lines and the bar -----------------------------------------------------------------------


def plain_run(tmp_path, seconds_a_step, first_step=0, last_step=1000, stop=None):
    stream, clock = io.StringIO(), Clock()
    with Log(tmp_path, first_step, last_step, stream=stream, clock=clock) as log:
        for step in range(first_step + 1, (stop or last_step) + 1):
            log.progress(step, 812.4)
            clock.now += seconds_a_step
    return stream.getvalue().splitlines()


def test_plain_lines_come_every_ten_seconds_with_the_first_and_the_last(tmp_path):
    steps = [int(line.split()[1].split("/")[0]) for line in plain_run(tmp_path, 0.5, last_step=50)]
    assert steps == [1, 21, 41, 50]


def test_a_slow_run_has_a_line_for_every_step(tmp_path):
    assert len(plain_run(tmp_path, 30.0, last_step=5)) == 5


def test_a_run_that_stops_early_still_shows_its_last_line(tmp_path):
    assert plain_run(tmp_path, 0.5, stop=30)[-1].startswith("step   30/1000  loss 812.4")


def test_a_line_says_speed_and_time_left(tmp_path):
    lines = plain_run(tmp_path, 0.25, stop=281)
    assert lines[0] == "step    1/1000  loss 812.4"
    assert lines[-1] == "step  281/1000  loss 812.4  4.00 steps/s  left 0:03:00"


def test_a_resumed_run_counts_its_own_steps_for_the_speed(tmp_path):
    lines = plain_run(tmp_path, 4.0, first_step=900, stop=950)
    assert lines[-1] == "step  950/1000  loss 812.4  0.2500 steps/s  left 0:03:20"


def test_the_speed_follows_a_change_within_minutes(tmp_path):
    stream, clock = io.StringIO(), Clock()
    with Log(tmp_path, 0, 10**6, stream=stream, clock=clock) as log:
        for step in range(2000):
            log.progress(step, 1.0)
            clock.now += 0.1 if step < 1000 else 1.0
    speed = float(re.search(r"([\d.]+) steps/s", stream.getvalue().splitlines()[-1])[1])
    assert 1.0 <= speed < 1.01


def test_a_step_of_a_minute_is_not_silent(tmp_path):
    stream, clock = io.StringIO(), Clock()
    with Log(tmp_path, 0, 4, stream=stream, clock=clock) as log:
        for step in (1, 2):
            for _ in range(25):
                clock.now += 1
                log._progress.beat()
            log.progress(step, 9.0)
    assert stream.getvalue().splitlines() == [
        "step 0/4  step 1 since 10 s",
        "step 0/4  step 1 since 20 s",
        "step 1/4  loss 9",
        "step 1/4  loss 9  step 2 since 15 s",
        "step 1/4  loss 9  step 2 since 25 s",
        "step 2/4  loss 9  0.0400 steps/s  left 0:00:50",
    ]


def test_a_line_that_was_due_by_itself_is_not_said_twice(tmp_path):
    stream, clock = io.StringIO(), Clock()
    with Log(tmp_path, 0, 100, stream=stream, clock=clock) as log:
        for step in range(1, 26):
            log.progress(step, 9.0)
            clock.now += 1
            log._progress.beat()
    steps = [int(line.split()[1].split("/")[0]) for line in stream.getvalue().splitlines()]
    assert steps == [1, 10, 20, 25]


def test_compiling_and_validating_are_not_silent_and_not_counted_as_a_step(tmp_path):
    stream, clock = io.StringIO(), Clock()
    with Log(tmp_path, 0, 4, stream=stream, clock=clock) as log:
        with log.work("validating step 0") as work:
            for _ in range(4):
                clock.now += 6
                work.advance(1 / 8)
                log._progress.beat()
        clock.now += 11
        log._progress.beat()
    assert stream.getvalue().splitlines() == [
        "validating step 0: 25%, 36 s left",
        "validating step 0: 50%, 24 s left",
        "step 0/4  step 1 since 11 s",
    ]


def test_a_note_ends_the_line_and_nan_is_shown(tmp_path):
    stream = io.StringIO()
    with Log(tmp_path, 0, 10, stream=stream, clock=Clock()) as log:
        log.progress(1, np.float32(math.nan), note="rate 1e-3 [warm]")
    assert stream.getvalue() == "step  1/10  loss nan  rate 1e-3 [warm]\n"


def test_calls_at_one_instant_do_not_divide_by_zero(tmp_path):
    assert len(plain_run(tmp_path, 0.0, last_step=3)) == 2


def test_force_color_does_not_put_a_bar_into_a_file(tmp_path, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b" not in "".join(plain_run(tmp_path, 1.0, last_step=30))


def test_a_terminal_has_a_bar_and_words_above_it(tmp_path, terminal):
    clock, words = Clock(), "saved runs/[x]/checkpoints " + "long " * 40
    with Log(tmp_path, 0, 1000, stream=terminal, clock=clock) as log:
        for step in (100, 300):
            log.progress(step, 812.4, note="[note]")
            clock.now += 100.0
        log.say(words)
    shown = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", terminal.getvalue())
    assert "step 300/1000" in shown
    assert "loss 812.4  2.00 steps/s  left 0:05:50  [note]" in shown
    assert words in shown
    assert shown.rindex("step 300/1000") > shown.index(words)
    assert "\x1b[?25h" in terminal.getvalue()  # the cursor is visible again


def test_a_dumb_terminal_gets_plain_lines(tmp_path, terminal, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    with Log(tmp_path, 0, 10, stream=terminal, clock=Clock()) as log:
        log.progress(1, 2.0)
    assert terminal.getvalue() == "step  1/10  loss 2\n"


def test_standard_output_is_the_usual_stream(tmp_path, capsys):
    with Log(tmp_path, 0, 10) as log:
        log.say("hello [bold]world[/bold]")
    assert capsys.readouterr().out == "hello [bold]world[/bold]\n"
