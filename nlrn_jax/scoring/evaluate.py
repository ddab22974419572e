"""Score methods on benchmarks: figures beside the baseline's, and pictures to look at.

`protocols.py` says how figures are measured, `results.py` what is written.
"""

import contextlib
import datetime
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from nlrn_jax.restoring.forecast import when_compiled
from nlrn_jax.restoring.restore import Advance
from nlrn_jax.scoring.benchmarks import Table, label
from nlrn_jax.scoring.gallery import file_name, unique_name, write_pictures
from nlrn_jax.scoring.methods import Figures, Method, Output
from nlrn_jax.scoring.protocols import Example, Setting, example, score, score_baseline, setting_of
from nlrn_jax.scoring.published import published
from nlrn_jax.scoring.results import (
    decibels,
    finite,
    git_commit,
    keep_other_results,
    similarity,
    summary,
    write_results,
)
from nlrn_jax.terminal import print_table, working

_SETTINGS = ("whole", "patch", "stride", "ensemble")  # how networks restore


def evaluate(
    methods: list[Method], config: ConfigDict, tables: list[Table], folder: Path, command: str
) -> dict:
    """Score whole images; print tables, write pictures and figures.

    Args:
      methods: the baseline first.
      config: says how is measured; its channels are those of the networks.
      tables: what is measured on.
      folder: gets `results.*` and the pictures, see `gallery.py`. Results of another question that
        lie there are moved beside it.
      command: told in the results.

    Returns:
      The results, see `results.py`.
    """
    setting = setting_of(config)
    results = _blank(methods, config, tables, command)
    kept = keep_other_results(results, folder)
    if kept:
        print(f"earlier results, of other networks or benchmarks, are now in {kept}", flush=True)
    for table, result in zip(tables, results["tables"], strict=True):
        means, result["images"] = _score_table(methods, setting, table, folder)
        result["means"] = means | result["means"]
        _print_images(result, methods)
    results = finite(results)
    write_results(results, folder)
    gain = f"over {methods[0].name}"
    columns = ["benchmark", "method", "dB", gain, "SSIM", "s/megapixel", "parameters"]
    title = f"mean by the protocol {setting.protocol}, seed {setting.seed}"
    print()
    print_table(title, columns, summary(results))
    return results


def _blank(methods: list[Method], config: ConfigDict, tables: list[Table], command: str) -> dict:
    """Return the results before anything is measured, published figures in their place."""
    setting = setting_of(config)
    results = {
        "protocol": setting.protocol,
        "task": setting.task,
        "seed": setting.seed,
        "commit": git_commit(),
        "command": command,
        "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "settings": {name: config.evaluate[name] for name in _SETTINGS},
        "methods": [
            {name: value for name, value in method._asdict().items() if name != "restore"}
            for method in methods
        ],
        "tables": [],
    }
    names = {}
    for benchmark, level in tables:
        cells = published(setting.protocol, setting.channels, benchmark.name, level)
        names |= dict.fromkeys(cells)
        means = {
            name: {"psnr": psnr, "ssim": ssim, "seconds_per_megapixel": None}
            for name, (psnr, ssim) in cells.items()
        }
        called = label(setting.protocol, level)
        place = {"benchmark": benchmark.name, "level": level, "label": called}
        results["tables"].append(place | {"means": means, "images": []})
    results["methods"] += [
        {"name": name, "kind": "published", "parameters": None, "run": None, "checkpoint": None}
        for name in names
    ]
    return results


def _score_table(
    methods: list[Method], setting: Setting, table: Table, folder: Path
) -> tuple[dict, list[dict]]:
    """Return the `means`, without the published ones, and the `images` of a table."""
    (benchmark, level), names = table, set()
    called = label(setting.protocol, level)
    place = Path(file_name(benchmark.name)) / file_name(called)
    images, speeds = [], {method.name: [] for method in methods}
    count, title = len(benchmark.images), f"scoring {benchmark.name}, {called}"
    with working(title) as work:
        for number, image in enumerate(benchmark.images):
            work.name = f"{title}, image {number + 1} of {count}"
            low = benchmark.low and benchmark.low[number]
            test = example(image, setting, level, low)
            outputs = outputs_of(
                methods, setting, test, level, lambda fraction: work.advance(fraction / count)
            )
            name = unique_name(file_name(Path(image.name).stem), names)
            pictures = write_pictures(test, outputs, place / name, folder)
            megapixels = test.input.shape[0] * test.input.shape[1] / 1e6
            for method, output in outputs.items():
                if output.seconds is not None:
                    speeds[method].append((output.seconds, megapixels))
            height, width = test.original.shape[:2]
            images.append({
                "name": name, "height": height, "width": width, "pictures": pictures,
                "figures": {method: output.figures for method, output in outputs.items()},
            })  # fmt: skip
    return _means(images, speeds), images


def outputs_of(
    methods: list[Method],
    setting: Setting,
    test: Example,
    level: float,
    advance: Advance | None = None,
) -> dict[str, Output]:
    """Restore and score an example by each method.

    `advance` is called with the fraction done since the last call; the baseline takes no time.
    """
    outputs, timed = {}, sum(method.kind != "baseline" for method in methods)
    share = advance and (lambda fraction: advance(fraction / timed))
    for method in methods:
        with _clock() as seconds:
            pixels = method.restore(test, level, share)
        if share and method.kind == "classical":  # whose libraries don't tell
            share(1.0)
        if method.kind == "baseline":
            figures = score_baseline(test, setting.protocol, level)
            outputs[method.name] = Output(pixels, figures, None)
        else:
            figures = score(pixels, test.original, setting.protocol, level)
            outputs[method.name] = Output(pixels, figures, seconds())
    return outputs


@contextlib.contextmanager
def _clock() -> Iterator[Callable[[], float | None]]:
    """Give a function that, afterwards, returns the seconds spent; None if JAX compiled."""
    compiled, end = [], None
    with when_compiled(lambda: compiled.append(True)):
        begin = time.perf_counter()
        try:
            yield lambda: None if compiled else end - begin
        finally:
            end = time.perf_counter()


def _means(images: list[dict], speeds: dict[str, list[tuple[float, float]]]) -> dict:
    def mean(method: str, figure: str) -> float:
        return float(np.mean([image["figures"][method][figure] for image in images]))

    def speed(timed: list[tuple[float, float]]) -> float | None:
        return float(np.sum(timed, axis=0)[0] / np.sum(timed, axis=0)[1]) if timed else None

    return {
        method: {
            "psnr": mean(method, "psnr"),
            "ssim": mean(method, "ssim"),
            "seconds_per_megapixel": speed(timed),
        }
        for method, timed in speeds.items()
    }


def _print_images(result: dict, methods: list[Method]) -> None:
    names = [method.name for method in methods]
    columns = ["image"]
    for name in names:
        columns += [f"{name} dB", "SSIM"]
    rows = [[image["name"], image["figures"]] for image in result["images"]]
    rows.append(["mean", result["means"]])
    cells = [[name, *_cells([figures[n] for n in names])] for name, figures in rows]
    print_table(f"{result['benchmark']}, {result['label']}", columns, cells)


def _cells(figures: list[Figures]) -> list[str]:
    pairs = ((decibels(f["psnr"]), similarity(f["ssim"])) for f in figures)
    return [cell for pair in pairs for cell in pair]
