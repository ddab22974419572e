"""Tables: aligned in a file, drawn on a terminal, the same cells in both."""

import io
import re

import pytest

from nlrn_jax.table import print_table

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
