"""Scoring: figures that depend on no order and no device, the tables, the pictures."""

import json
import os
import pickle
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from drawn import FEW, close
from PIL import Image as Pillow

from nlrn_jax.config.levels import levels
from nlrn_jax.data.sources import Image
from nlrn_jax.network.build import build_model
from nlrn_jax.scoring.benchmarks import Benchmark, tables
from nlrn_jax.scoring.evaluate import evaluate, outputs_of
from nlrn_jax.scoring.methods import Method, baseline, classical, restore_example, way_of
from nlrn_jax.scoring.protocols import example, setting_of
from nlrn_jax.training.state import create_state

ROOT = Path(__file__).parents[2]


@pytest.fixture
def network(tiny_config):
    return build_model(tiny_config), create_state(tiny_config).variables


@pytest.fixture
def score(tiny_config, network, tmp_path):
    """Return a function that evaluates images as `tiny_config` says."""

    def score(images, *more, name="x"):
        def restore(test, level, advance):
            return restore_example(*network, way_of(tiny_config), test, level, advance)

        how = setting_of(tiny_config)
        methods = [baseline(how.protocol), *more, Method("NLRN", "network", restore, 7)]
        scored = tables([Benchmark(name, images)], levels(tiny_config), how)
        return evaluate(methods, tiny_config, scored, tmp_path / "evaluation", "command")

    return score


def test_the_tables_have_each_image_and_the_mean(score, photographs, capsys):
    results = score(photographs)
    lines = capsys.readouterr().out.partition("x, sigma 25\n")[2].splitlines()
    assert "noisy dB" in lines[0] and "NLRN dB" in lines[0]
    assert [line.split()[0] for line in lines[1:6]] == ["0", "1", "2", "3", "mean"]
    means = results["tables"][0]["means"]
    assert lines[5].split()[1::2] == [f"{means[name]['psnr']:.2f}" for name in ("noisy", "NLRN")]
    assert lines[7] == "mean by the protocol denoise, seed 0"
    assert lines[8].split() == [
        "benchmark", "method", "dB", "over", "noisy", "SSIM", "s/megapixel", "parameters",
    ]  # fmt: skip
    assert lines[10].startswith("x, sigma 25") and lines[10].split()[-1] == "7"


def test_the_results_say_what_was_done(score, photographs, tmp_path):
    results = score(photographs, *classical(["tv"]))
    assert json.loads((tmp_path / "evaluation" / "results.json").read_text()) == results
    assert (results["protocol"], results["task"], results["seed"]) == ("denoise", "denoise", 0)
    assert (results["command"], results["settings"]["stride"]) == ("command", 8)
    assert [(method["name"], method["kind"]) for method in results["methods"]] == [
        ("noisy", "baseline"), ("total variation", "classical"), ("NLRN", "network"),
    ]  # fmt: skip
    (table,) = results["tables"]
    assert (table["benchmark"], table["level"], table["label"]) == ("x", 25.0, "sigma 25")
    for method in ("noisy", "total variation", "NLRN"):
        figures = [image["figures"][method] for image in table["images"]]
        for name in ("psnr", "ssim"):
            expected = np.mean([f[name] for f in figures])
            assert table["means"][method][name] == pytest.approx(expected, abs=1e-12)
    assert table["means"]["noisy"]["seconds_per_megapixel"] is None
    assert table["means"]["total variation"]["seconds_per_megapixel"] > 0


def test_published_figures_stand_beside_ours_on_a_set_by_name(score, photographs):
    results = score(photographs, name="Set12")
    published = [m["name"] for m in results["methods"] if m["kind"] == "published"]
    assert "NLRN (Liu et al. 2018)" in published
    means = results["tables"][0]["means"]
    assert means["NLRN (Liu et al. 2018)"] == {
        "psnr": 30.80, "ssim": 0.8689, "seconds_per_megapixel": None,
    }  # fmt: skip
    assert means.keys() == {method["name"] for method in results["methods"]}


@pytest.mark.parametrize(
    ("protocol", "low"),
    [
        ("denoise", None), ("jpeg", None), ("photo", None),
        ("sr_y", (8, 6)), ("sr_y_float", (8, 6)), ("sr_rgb", (8, 6, 3)),
    ],
)  # fmt: skip
def test_the_pictures_of_an_image_are_there(score, tiny_config, tmp_path, protocol, low):
    tiny_config.task = "denoise" if low is None else "sr"
    tiny_config.evaluate.protocol = protocol
    pixels = np.random.default_rng(0).integers(0, 256, (25, 20, 3), np.uint8)
    results = score([Image("a/same.png", pixels), Image("b/same.png", pixels)], name="folder:x/y")
    images = results["tables"][0]["images"]
    assert [image["name"] for image in images] == ["same", "same-2"]
    folder = tmp_path / "evaluation"
    for image in images:
        opened = {key: Pillow.open(folder / path) for key, path in image["pictures"].items()}
        assert opened.keys() == {"input", "baseline", "original", "NLRN"}
        shape = (image["height"], image["width"])
        assert shape == ((25, 20) if low is None else (24, 18))
        for key in ("baseline", "original", "NLRN"):
            assert np.asarray(opened[key]).shape == shape + (low or ())[2:]
        assert np.asarray(opened["input"]).shape == (low or shape)
        place = Path(image["pictures"]["original"]).parent
        with Pillow.open(folder / f"{place}.png") as comparison:
            assert comparison.width >= 3 * image["width"] and comparison.height > image["height"]


def unchanged(test, level, advance):
    """Stand in for a network that restores nothing."""
    return test.input


@pytest.mark.parametrize(
    "degrade, name, row",
    [
        ({"sigma": (25.0,)}, "CBSD68", "| FFDNet (Zhang et al. 2018), published | 31.21 / - |"),
        ({"sigma": (0.0,), "jpeg": (40,)}, "Classic5", "| 33.77 / 0.9003 |"),
    ],
)
def test_figures_stand_beside_published_ones_whose_ssim_is_not(
    degrade, name, row, tiny_config, photographs, tmp_path
):
    tiny_config.degrade.update(degrade)
    tiny_config.model.channels = 3 if name == "CBSD68" else 1
    setting = setting_of(tiny_config)
    methods = [baseline(setting.protocol), Method("NLRN", "network", unchanged)]
    scored = tables([Benchmark(name, photographs[:1])], levels(tiny_config), setting)
    results = evaluate(methods, tiny_config, scored, tmp_path, "command")
    assert results["methods"][0]["name"] == ("noisy" if name == "CBSD68" else "JPEG")
    assert row in (tmp_path / "results.md").read_text()


def test_several_levels_are_several_tables(score, tiny_config, photographs):
    tiny_config.degrade.sigma = (15.0, 50.0)
    low, high = score(photographs[:1])["tables"]
    assert (low["label"], high["label"]) == ("sigma 15", "sigma 50")
    assert low["means"]["noisy"]["psnr"] > high["means"]["noisy"]["psnr"] + 8


def test_an_equal_image_scores_null_in_json(score, tmp_path):
    def perfect(test, level, advance):
        return test.original

    black = [Image("black.png", np.zeros((20, 20), np.uint8))]
    results = score(black, Method("perfect", "classical", perfect))
    assert results["tables"][0]["means"]["perfect"]["psnr"] is None
    assert "| perfect | inf / 1.0000 |" in (tmp_path / "evaluation" / "results.md").read_text()


def slow(test, level, advance):
    """Stand in for a network that takes its time."""
    advance(0.5)
    time.sleep(0.3)
    advance(0.5)
    return test.input


def test_each_method_but_the_baseline_has_its_share_of_the_progress(tiny_config, photographs):
    methods, done = [baseline("denoise"), *classical(["tv"]), Method("slow", "network", slow)], []
    setting = setting_of(tiny_config)
    test = example(photographs[0], setting, 25.0)
    outputs_of(methods, setting, test, 25.0, done.append)
    assert done == [0.5, 0.25, 0.25]


def test_scoring_says_which_image_it_is_at(tiny_config, photographs, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("nlrn_jax.terminal.SILENCE_SECONDS", 0.05)
    methods = [baseline("denoise"), Method("slow", "network", slow, 7)]
    scored = tables([Benchmark("x", photographs[:2])], (25.0,), setting_of(tiny_config))
    evaluate(methods, tiny_config, scored, tmp_path, "command")
    printed = capsys.readouterr().out
    assert "scoring x, sigma 25, image 1 of 2: 25%\n" in printed
    assert "scoring x, sigma 25, image 2 of 2: 75%, 0 s left\n" in printed


def test_another_question_does_not_overwrite_the_results_of_the_first(
    score, tiny_config, photographs, tmp_path, capsys
):
    first = score(photographs[:1])
    score(photographs[:1])
    assert len(list(tmp_path.iterdir())) == 1
    tiny_config.seed = 1
    score(photographs[:1])
    (kept,) = (path for path in tmp_path.iterdir() if path.name != "evaluation")
    assert str(kept) in capsys.readouterr().out
    there = json.loads((kept / "results.json").read_text())
    assert there["seed"] == 0 and there["tables"][0]["images"] == first["tables"][0]["images"]


def test_seconds_do_not_count_compiling(score, tiny_config, network, photographs):
    tiny_config.evaluate.batch = 3  # a shape that nothing else compiled
    jax.clear_caches()
    assert score(photographs[:1])["tables"][0]["means"]["NLRN"]["seconds_per_megapixel"] is None
    assert score(photographs[:1])["tables"][0]["means"]["NLRN"]["seconds_per_megapixel"] > 0


@pytest.mark.parametrize("whole", [False, True])
def test_the_ensemble_is_the_mean_of_eight_views(tiny_config, network, photographs, whole):
    model, variables = network
    variables = jax.tree.map(lambda a: a + 0.02, variables)
    tiny_config.evaluate.whole = whole
    test = example(photographs[0], setting_of(tiny_config), 25.0)
    views = []
    for k in range(8):
        turned = np.rot90(test.input, k % 4)[:: -1 if k >= 4 else 1]
        output = restore_example(
            model, variables, way_of(tiny_config), test._replace(input=turned), 25.0
        )
        views.append(np.rot90(output[:: -1 if k >= 4 else 1], -(k % 4)))
    assert abs(views[0] - views[5]).max() > 1e-4, "or there is nothing to average"
    tiny_config.evaluate.ensemble = True
    done = []
    output = restore_example(model, variables, way_of(tiny_config), test, 25.0, done.append)
    close(output, np.mean(views, axis=0))
    assert sum(done) == pytest.approx(1)


def test_a_network_of_the_luma_leaves_the_chroma_bicubic(tiny_config, network):
    tiny_config.task, tiny_config.evaluate.protocol = "sr", "sr_rgb"
    model, variables = network
    variables = jax.tree.map(lambda a: a + 0.02, variables)
    pixels = np.random.default_rng(0).integers(0, 256, (24, 24, 3), np.uint8)
    test = example(Image("c.png", pixels), setting_of(tiny_config), 2)
    change = restore_example(model, variables, way_of(tiny_config), test, 2) - test.input
    assert abs(change).max() > 1e-3
    np.testing.assert_allclose(change - change[..., :1], 0, atol=FEW)


def test_a_restored_image_is_what_is_scored(score, network, photographs):
    """A network of random weights cannot score what its input does."""
    kernel = network[1]["params"]["output_conv"]["kernel"]
    network[1]["params"]["output_conv"]["kernel"] = kernel + jax.random.normal(
        jax.random.key(1), kernel.shape
    )
    means = score(photographs[:1])["tables"][0]["means"]
    assert abs(means["NLRN"]["psnr"] - means["noisy"]["psnr"]) > 0.1


EIGHT_DEVICES = """
import functools, pathlib, pickle, sys
import jax
from nlrn_jax.scoring.benchmarks import Table
from nlrn_jax.scoring.evaluate import evaluate
from nlrn_jax.scoring.methods import Method, baseline, restore_example, way_of
from nlrn_jax.network.build import build_model
from nlrn_jax.training.state import create_state

assert jax.device_count() == 8
config, benchmark = pickle.load(sys.stdin.buffer)
model, variables = build_model(config), create_state(config).variables
restore = functools.partial(restore_example, model, variables, way_of(config))
methods = [baseline("denoise"), Method("NLRN", "network", restore, 7)]
evaluate(methods, config, [Table(benchmark, 25.0)], pathlib.Path(sys.argv[1]), "command")
"""


def test_figures_are_the_same_on_eight_devices_and_in_another_order(
    score, tiny_config, photographs, tmp_path
):
    expected = {image["name"]: image for image in score(photographs)["tables"][0]["images"]}
    environment = os.environ | {
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8", "JAX_PLATFORMS": "cpu",
    }  # fmt: skip
    program = [sys.executable, "-c", EIGHT_DEVICES, str(tmp_path / "eight")]
    given = pickle.dumps((tiny_config, Benchmark("x", photographs[::-1])))
    done = subprocess.run(program, cwd=ROOT, env=environment, input=given, capture_output=True)
    assert not done.returncode, done.stderr.decode()
    (table,) = json.loads((tmp_path / "eight" / "results.json").read_text())["tables"]
    assert [image["name"] for image in table["images"]] == ["3", "2", "1", "0"]
    for image in table["images"]:
        for method, figures in expected[image["name"]]["figures"].items():
            assert image["figures"][method] == pytest.approx(figures, abs=1e-9)
