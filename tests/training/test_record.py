"""The record: exact figures on disk at once, and the same file however often a run was killed."""

import json
import math

import pytest

from nlrn_jax.errors import UserError
from nlrn_jax.training.record import Record, read_record, series


def lines_of(workdir):
    return (workdir / "metrics.jsonl").read_text().splitlines()


def write(workdir, first_step, last_step):
    """Append figures every 10 steps, as a run would that is resumed at `first_step`."""
    workdir.mkdir(exist_ok=True)
    record = Record(workdir, first_step or -1)
    for step in range(first_step + 10, last_step + 1, 10):
        record.append(step, {"loss": 1 / step, "psnr": 20 + step / 7})
    record.close()
    return record.dropped


def test_every_line_is_a_json_object_with_exact_figures(tmp_path):
    record = Record(tmp_path, -1)
    record.append(5, {"loss": 0.1 + 0.2, "set12/psnr": 30.0})
    (line,) = lines_of(tmp_path)  # on disk before the record is closed
    record.close()
    assert json.loads(line) == {"step": 5, "loss": 0.1 + 0.2, "set12/psnr": 30.0}
    assert next(iter(json.loads(line))) == "step"


def test_nan_and_infinity_are_null(tmp_path):
    record = Record(tmp_path, -1)
    record.append(1, {"a": math.nan, "b": math.inf, "c": -math.inf, "d": 2.0})
    record.close()

    def refuse(word):
        raise AssertionError(f"{word} is not JSON")

    (line,) = lines_of(tmp_path)
    expected = {"step": 1, "a": None, "b": None, "c": None, "d": 2.0}
    assert json.loads(line, parse_constant=refuse) == expected


@pytest.mark.parametrize("killed_at", [40, 50, 70, 90])
@pytest.mark.parametrize("cut", [0, 1, 2, 20])
def test_a_resumed_run_leaves_the_file_of_an_uninterrupted_one(tmp_path, killed_at, cut):
    write(tmp_path / "whole", 0, 100)
    write(tmp_path / "killed", 0, killed_at)
    path = tmp_path / "killed" / "metrics.jsonl"
    if killed_at > 40:  # the figures of the checkpoint's own step are whole: written before it
        path.write_bytes(path.read_bytes()[: -cut or None])
    assert write(tmp_path / "killed", 40, 100) == (killed_at - 40) // 10
    assert path.read_bytes() == (tmp_path / "whole" / "metrics.jsonl").read_bytes()


def test_a_run_from_step_0_keeps_nothing(tmp_path):
    assert write(tmp_path, 0, 30) == 0
    assert write(tmp_path, 0, 0) == 3
    assert lines_of(tmp_path) == []


@pytest.mark.parametrize("line", ["not json", "[1]", '{"loss": 1}', '{"step": "x"}'])
def test_a_foreign_line_is_named_and_the_file_left_alone(tmp_path, line):
    text = f'{{"step": 1}}\n{line}\n{{"step": 3}}\n'
    (tmp_path / "metrics.jsonl").write_text(text)
    for use in (lambda: Record(tmp_path, 1), lambda: read_record(tmp_path)):
        with pytest.raises(UserError, match=r"metrics\.jsonl, line 2: not a JSON object"):
            use()
    assert (tmp_path / "metrics.jsonl").read_text() == text


def test_the_record_is_read_as_it_was_written_but_for_a_line_cut_short(tmp_path):
    assert read_record(tmp_path) == []
    record = Record(tmp_path, -1)
    record.append(1, {"loss": 2.5})
    record.append(3, {"loss": math.nan, "psnr": 20.0})
    record.close()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "lo')
    lines = read_record(tmp_path)
    assert lines == [{"step": 1, "loss": 2.5}, {"step": 3, "loss": None, "psnr": 20.0}]
    assert series(lines, "loss") == ([1], [2.5])
    assert series(lines, "psnr") == ([3], [20.0])
    assert series(lines, "other") == ([], [])
