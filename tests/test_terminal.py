"""What a terminal shows: long work is never silent, short work is; tables are aligned or drawn."""

import io
import re
import time

import pytest

from nlrn_jax import terminal as shown_by
from nlrn_jax.terminal import Progress, Work, print_table, spelt, working

ROWS = [("baby", 35.1, "0.9"), ("butterfly [x3]", 9, "0.9135")]


def test_a_plain_table_is_aligned():
    stream = io.StringIO()
    print_table("Set5, x3", ["image", "PSNR", "SSIM"], ROWS, stream=stream)
    assert stream.getvalue() == (
        "Set5, x3\n"
        "image           PSNR    SSIM\n"
        "baby            35.1     0.9\n"
        "butterfly [x3]     9  0.9135\n"
    )


def test_a_table_without_rows_has_its_head():
    stream = io.StringIO()
    print_table("Set5", ["image", "PSNR"], [], stream=stream)
    assert stream.getvalue() == "Set5\nimage  PSNR\n"


def test_standard_output_is_the_usual_stream(capsys):
    print_table("Set5", ["image"], [("baby",)])
    assert capsys.readouterr().out == "Set5\nimage\nbaby\n"


def test_a_terminal_draws_the_table_with_every_cell(terminal):
    print_table("Set5 [x3]", ["image", "PSNR [dB]", "SSIM"], ROWS, stream=terminal)
    shown = re.sub(r"\x1b\[[\d;]*m", "", terminal.getvalue())
    assert "Set5 [x3]" in shown
    assert "PSNR [dB]" in shown
    for row in ROWS:
        pattern = r".*\s".join(re.escape(str(cell)) for cell in row)
        assert re.search(pattern, shown)


def test_a_row_of_another_length_is_refused():
    with pytest.raises(ValueError, match="'Set5': 2 columns"):
        print_table("Set5", ["image", "PSNR"], [("baby",)])


# --- long work -------------------------------------------------------------------------------


@pytest.fixture
def stream():
    return io.StringIO()


def wait(progress, clock, seconds):
    """Let so much time pass, the heart beating every second."""
    for _ in range(seconds):
        clock.now += 1
        progress.beat()


def test_work_of_which_no_part_is_known_says_every_ten_seconds_how_long_it_goes_on(clock, stream):
    with Progress(stream=stream, clock=clock) as progress, progress.work("compiling the step"):
        wait(progress, clock, 34)
    assert stream.getvalue().splitlines() == [
        f"compiling the step ... {seconds} s" for seconds in (10, 20, 30)
    ]


def test_work_in_parts_says_how_far_it_is_and_how_long_the_rest_takes(clock, stream):
    """The first part, with its compilation, takes 15 s, and the other three 8 s each."""
    with Progress(stream=stream, clock=clock) as progress, progress.work("restoring a.jpg") as work:
        work.advance(0)
        for seconds in (15, 8, 8, 8):
            wait(progress, clock, seconds)
            work.advance(1 / 4)
    assert stream.getvalue().splitlines() == [
        "restoring a.jpg ... 10 s", "restoring a.jpg: 25%", "restoring a.jpg: 50%, 9 s left"
    ]  # fmt: skip


def test_work_of_less_than_ten_seconds_says_nothing(clock, stream):
    with Progress(stream=stream, clock=clock) as progress, progress.work("restoring a.jpg") as work:
        wait(progress, clock, 9)
        work.advance(1)
    assert not stream.getvalue()


def test_many_short_pieces_of_work_do_not_add_up_to_silence(clock, stream):
    with Progress(stream=stream, clock=clock) as progress:
        for number in range(10):
            with progress.work(f"picture {number}"):
                wait(progress, clock, 4)
    assert [line.split(" ...")[0] for line in stream.getvalue().splitlines()] == [
        "picture 2", "picture 4", "picture 7", "picture 9"
    ]  # fmt: skip


def test_a_line_is_word_enough_for_ten_seconds(clock, stream):
    with Progress(stream=stream, clock=clock) as progress, progress.work("a"):
        wait(progress, clock, 9)
        progress.say("b [bold]is done[/bold]")
        wait(progress, clock, 9)
    assert stream.getvalue() == "b [bold]is done[/bold]\n"


def test_within_work_the_inner_one_is_what_is_said(clock, stream):
    with Progress(stream=stream, clock=clock) as progress, progress.work("outer"):
        with progress.work("inner"):
            wait(progress, clock, 10)
        wait(progress, clock, 10)
    assert stream.getvalue().splitlines() == ["inner ... 10 s", "outer ... 20 s"]


def test_nothing_is_said_where_nothing_goes_on(clock, stream):
    with Progress(stream=stream, clock=clock) as progress:
        wait(progress, clock, 30)
    assert not stream.getvalue()


def test_the_time_left_shrinks_while_a_part_goes_on(clock):
    work = Work("a", clock)
    for _ in range(2):
        clock.now += 20
        work.advance(1 / 10)
    assert work.status() == "20%, 3 min left"
    clock.now += 100
    assert work.status() == "20%, 60 s left"
    clock.now += 100
    assert work.status() == "20%, 0 s left"


@pytest.mark.parametrize(
    "parts, done, said",
    [(15_000, 1, "0.0067%"), (200, 7, "3.5%"), (210, 44, "21%"), (3, 3, "100%")],
)  # fmt: skip
def test_no_part_of_long_work_is_0_percent(parts, done, said):
    work = Work("a", lambda: 0.0)
    for _ in range(done):
        work.advance(1 / parts)
    assert work.status().split(",")[0] == said


@pytest.mark.parametrize(
    "seconds, words",
    [(0.2, "0 s"), (99, "99 s"), (100, "2 min"), (5000, "83 min"), (7500, "2 h 5 min"),
     (200_000, "2 d 8 h")],
)  # fmt: skip
def test_times_are_spelt_out(seconds, words):
    assert spelt(seconds) == words


def test_the_heart_beats_by_itself_while_the_work_does_not_come_back(monkeypatch, stream):
    """As while XLA compiles."""
    monkeypatch.setattr(shown_by, "SILENCE_SECONDS", 0.05)
    with Progress(stream=stream) as progress, progress.work("compiling the step"):
        end = time.monotonic() + 20
        while stream.getvalue().count("\n") < 2 and time.monotonic() < end:
            time.sleep(0.01)
    assert stream.getvalue().startswith("compiling the step ... 0 s\n" * 2)


def test_one_piece_of_work_speaks_on_standard_output(monkeypatch, capsys):
    monkeypatch.setattr(shown_by, "SILENCE_SECONDS", 0.01)
    with working("reading") as work:
        time.sleep(0.3)
        work.advance(1)
    assert capsys.readouterr().out.startswith("reading ... 0 s\n")


def test_a_stream_that_is_gone_does_not_end_the_work(monkeypatch, capsys):
    monkeypatch.setattr(shown_by, "SILENCE_SECONDS", 0.01)

    class Gone(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    with Progress(stream=Gone()) as progress, progress.work("a"):
        time.sleep(0.05)
    assert capsys.readouterr() == ("", "")


def test_no_thread_is_left(clock, stream):
    with Progress(stream=stream, clock=clock) as progress, progress.work("a"):
        assert progress._thread.is_alive()
    assert not progress._thread.is_alive()


def test_a_terminal_has_one_bar_for_one_work_after_another(clock, terminal):
    with Progress(stream=terminal, clock=clock) as progress:
        for name in ("a [b].png", "c.png"):
            with progress.work(name) as work:
                for _ in range(3):
                    clock.now += 30
                    work.advance(1 / 4)
                progress.redraw()
                progress.say(f"{name}: done")
    shown = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", terminal.getvalue())
    for name in ("a [b].png", "c.png"):
        assert re.search(re.escape(name) + r" +\S+ 75%, 30 s left", shown)
        assert f"{name}: done\n" in shown
    assert "\x1b[?25h" in terminal.getvalue()  # the cursor is visible again


def test_force_color_does_not_put_a_bar_into_a_file(clock, stream, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    with Progress(stream=stream, clock=clock) as progress, progress.work("a"):
        wait(progress, clock, 30)
    assert "\x1b" not in stream.getvalue() and len(stream.getvalue().splitlines()) == 3
