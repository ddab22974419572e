"""Result files: one content in four forms, for programs and for papers."""

import csv
import io
import itertools
import json
import shutil
import subprocess

import pytest

from nlrn_jax.scoring import results as module
from nlrn_jax.scoring.published import NLRN, published
from nlrn_jax.scoring.results import (
    as_csv,
    as_latex,
    as_markdown,
    finite,
    git_commit,
    keep_other_results,
    summary,
    write_results,
)


def method(name, kind, **facts):
    return {"name": name, "kind": kind, "parameters": None, "run": None, "checkpoint": None} | facts


def mean(psnr, ssim, seconds=None):
    return {"psnr": psnr, "ssim": ssim, "seconds_per_megapixel": seconds}


@pytest.fixture
def results():
    """Two tables, of which one has a published figure, and one equals its original."""
    network = method("NLRN a_b", "network", parameters=5715, run="runs/a_b", checkpoint=60)
    figures = {"noisy": {"psnr": 20.0, "ssim": 0.3}, "NLRN a_b": {"psnr": 29.0, "ssim": 0.8}}
    images = [{"name": "01", "height": 9, "width": 8, "pictures": {}, "figures": figures}]
    return {
        "protocol": "denoise", "task": "denoise", "seed": 3, "commit": "abc123",
        "command": "python -m nlrn_jax.main --mode=evaluate", "date": "2026-01-02T03:04:05+00:00",
        "settings": {"whole": False, "patch": 43, "stride": 7, "ensemble": True},
        "methods": [method("noisy", "baseline"), network, method("BM3D", "published")],
        "tables": [
            {"benchmark": "Set12", "level": 25.0, "label": "sigma 25", "images": images,
             "means": {"noisy": mean(20.174, 0.3), "NLRN a_b": mean(29.123, 0.85, 12.3456),
                       "BM3D": mean(29.97, 0.8504)}},
            {"benchmark": "folder:x|y", "level": 50.0, "label": "sigma 50", "images": images,
             "means": {"noisy": mean(None, 1.0), "NLRN a_b": mean(24.5, None, 150.2)}},
        ],
    }  # fmt: skip


def test_the_json_reads_back_and_nothing_else_is_left(results, tmp_path):
    write_results(results, tmp_path / "evaluation")
    folder = tmp_path / "evaluation"
    assert json.loads((folder / "results.json").read_text()) == results
    assert sorted(path.name for path in folder.iterdir()) == [
        f"results.{extension}" for extension in ("csv", "json", "md", "tex")
    ]


def test_infinite_is_null():
    infinite = {"a": [float("inf"), 1.5, {"b": float("nan")}], "c": "inf", "d": 3}
    assert finite(infinite) == {"a": [None, 1.5, {"b": None}], "c": "inf", "d": 3}


def test_the_csv_has_a_line_for_each_image_and_mean_of_each_method(results):
    lines = list(csv.DictReader(io.StringIO(as_csv(results))))
    assert [(line["benchmark"], line["image"], line["method"]) for line in lines] == [
        ("Set12", "01", "noisy"), ("Set12", "01", "NLRN a_b"),
        ("Set12", "mean", "noisy"), ("Set12", "mean", "NLRN a_b"), ("Set12", "mean", "BM3D"),
        ("folder:x|y", "01", "noisy"), ("folder:x|y", "01", "NLRN a_b"),
        ("folder:x|y", "mean", "noisy"), ("folder:x|y", "mean", "NLRN a_b"),
    ]  # fmt: skip
    ours = lines[3]
    assert (ours["psnr"], ours["parameters"], ours["checkpoint"]) == ("29.123", "5715", "60")
    assert (ours["kind"], ours["run"], ours["protocol"]) == ("network", "runs/a_b", "denoise")
    assert (ours["seed"], ours["commit"], ours["level"]) == ("3", "abc123", "25.0")
    assert lines[4]["kind"] == "published" and lines[7]["psnr"] == ""


def test_the_markdown_has_methods_in_rows_and_benchmarks_in_columns(results):
    lines = as_markdown(results).splitlines()
    assert [line.replace(r"\|", "").count("|") for line in lines[:5]] == [6] * 5
    assert r"| Set12, sigma 25 | folder:x\|y, sigma 50 |" in lines[0]
    assert lines[2] == "| noisy | 20.17 / 0.3000 | inf / 1.0000 | - | - |"
    assert lines[3] == "| NLRN a_b | 29.12 / 0.8500 | 24.50 / - | 81.3 | 5,715 |"
    assert lines[4] == "| BM3D, published | 29.97 / 0.8504 | - | - | - |"
    for fact in ("denoise", "seed 3", "abc123", "patches of 43 with stride 7", "eight views"):
        assert fact in lines[6]
    assert lines[8].strip() == results["command"]


def test_the_latex_escapes_what_latex_would_take_for_a_command(results):
    text = as_latex(results)
    assert r"NLRN a\_b & 29.12 / 0.8500" in text and r"BM3D, published &" in text
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len(rows) == 4 and all(row.count("&") == 4 for row in rows)
    assert text.index(r"\toprule") < text.index(r"\midrule") < text.index(r"\bottomrule")
    assert text.count("{table}") == 2 and text.count("{tabular}") == 2


def test_latex_compiles(results, tmp_path):
    if not shutil.which("pdflatex"):
        pytest.skip("pdflatex is absent")
    text = (
        "\\documentclass{article}\\usepackage{booktabs}\\begin{document}\n"
        + as_latex(results)
        + "\\end{document}\n"
    )
    (tmp_path / "t.tex").write_text(text)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)


def test_the_summary_has_the_gain_over_the_baseline(results):
    assert summary(results) == [
        ["Set12, sigma 25", "noisy", "20.17", "", "0.3000", "", ""],
        ["Set12, sigma 25", "NLRN a_b", "29.12", "+8.95", "0.8500", "12.3", "5,715"],
        ["Set12, sigma 25", "BM3D, published", "29.97", "+9.80", "0.8504", "", ""],
        ["folder:x|y, sigma 50", "noisy", "inf", "", "1.0000", "", ""],
        ["folder:x|y, sigma 50", "NLRN a_b", "24.50", "", "", "150", "5,715"],
    ]


def test_published_figures_rise_with_quality_and_fall_with_noise():
    for protocol, channels, name, levels in [
        ("jpeg", 1, "Classic5", (10, 20, 30, 40)), ("denoise", 3, "CBSD68", (50, 25, 15)),
    ]:  # fmt: skip
        rows = [published(protocol, channels, name, level) for level in levels]
        for worse, better in itertools.pairwise(rows):
            assert all(better[method][0] > worse[method][0] + 0.8 for method in better)


def test_results_of_another_question_are_kept(results, tmp_path):
    folder = tmp_path / "evaluation"
    assert keep_other_results(results, folder) is None
    write_results(results, folder)
    (folder / "report.html").write_text("mine")
    again = results | {"date": "2027-01-01T00:00:00", "commit": None, "command": "x"}
    assert keep_other_results(again, folder) is None
    other = results | {"seed": 4}
    kept = keep_other_results(other, folder)
    assert kept == tmp_path / "evaluation-20260102-030405" and not folder.exists()
    assert json.loads((kept / "results.json").read_text()) == results
    assert (kept / "report.html").read_text() == "mine"
    write_results(results, folder)
    assert keep_other_results(other, folder).name == "evaluation-20260102-030405+"


def test_files_of_an_older_program_are_kept_too(results, tmp_path):
    (tmp_path / "evaluation").mkdir()
    (tmp_path / "evaluation" / "results.json").write_text('{"held-out, x3": {}}')
    kept = keep_other_results(results, tmp_path / "evaluation")
    assert (kept / "results.json").read_text() == '{"held-out, x3": {}}'


def test_the_commit_is_that_of_the_program_and_not_of_a_repository_around_it(tmp_path, monkeypatch):
    if not shutil.which("git"):
        pytest.skip("git is absent")
    program = tmp_path / "venv" / "results.py"
    program.parent.mkdir()
    program.write_text("")
    monkeypatch.setattr(module, "__file__", str(program))
    assert git_commit() is None

    def git(*words):
        who = ("-c", "user.name=a", "-c", "user.email=a@b")
        command = ["git", "-C", str(tmp_path), *who, *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    git("init")
    git("commit", "--allow-empty", "-m", "theirs")
    assert git_commit() is None
    git("add", "venv")
    git("commit", "-m", "ours")
    assert git_commit() == git("rev-parse", "HEAD")
    program.write_text("changed")
    assert git_commit() == git("rev-parse", "HEAD") + "-dirty"


def test_published_figures_stand_where_they_were_measured_so():
    assert published("denoise", 1, "BSD68", 25.0)[NLRN] == (29.41, 0.8331)
    for protocol in ("sr_y", "sr_y_float"):
        assert published(protocol, 1, "B100", 4)[NLRN] == (27.48, 0.7306)
    for protocol in ("denoise_clipped", "sr_rgb"):
        assert not published(protocol, 1, "Set12", 25) | published(protocol, 1, "Set5", 2)
    assert not published("denoise", 3, "Set12", 25.0), "of grey images"
    assert published("denoise", 3, "CBSD68", 50.0)["FFDNet (Zhang et al. 2018)"] == (27.96, None)
    assert not published("denoise", 1, "CBSD68", 25.0), "of colour images"
    assert len(published("jpeg", 1, "Classic5", 10)) == 3
    assert len(published("jpeg", 1, "Classic5", 40)) == 2, "TNRD's is not printed"
    assert not published("jpeg", 3, "Classic5", 10) | published("photo", 3, "CBSD68", 25.0)
    assert published("sr_y", 3, "Set5", 2) == published("sr_y", 1, "Set5", 2), "of the luma"
    assert not published("denoise", 1, "folder:set12", 25.0), "who knows what that is"
    assert not published("denoise", 1, "Set12", 30.0)


def test_the_networks_of_the_paper_lead_its_tables():
    """A slip of the pen in a figure would most likely break this order."""
    for protocol, name, level in [
        *(("denoise", name, s) for name in ("Set12", "BSD68", "Urban100") for s in (15, 25, 50)),
        *(("sr_y", n, s) for n in ("Set5", "Set14", "B100", "Urban100") for s in (2, 3, 4)),
    ]:
        cells = published(protocol, 1, name, level)
        others = [cells[method] for method in cells if method != NLRN]
        assert len(others) >= 2
        assert all(psnr < cells[NLRN][0] and ssim < cells[NLRN][1] for psnr, ssim in others)
