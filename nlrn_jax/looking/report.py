"""An evaluation as one page to look at: `report.html`, self-contained, for any browser.

`results.json` and the pictures beside it become the page's data, from which the scripts of `page/`
draw tables, pictures and curves.
"""

import itertools
import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nlrn_jax.errors import UserError
from nlrn_jax.looking.album import Album, filled
from nlrn_jax.pictures.colours import palette
from nlrn_jax.pictures.files import read_pixels
from nlrn_jax.training.record import gains, read_record
from nlrn_jax.writing import write_text

ERROR_LEVELS = 32  # grey levels at which an error map is brightest
PICTURED = 12  # images of a table whose pictures are in the page: half the worst, half the best
PICTURE_BYTES = 48 * 2**20  # of pictures in a page, shared by its tables
EXPLAINED = 12  # newest pictures of `--mode=explain` of each run
POINTS = 600  # of a curve
SCRIPTS = (
    "dom.js", "tables.js", "gestures.js", "viewer.js", "gallery.js", "facts.js", "curves.js",
    "report.js",
)  # fmt: skip


def write_report(folder: str | Path, runs: Sequence[str | Path] = ()) -> Path:
    """Write `report.html` into the folder of an evaluation.

    Pictures are embedded as they are, without loss. In a large benchmark those of the images with
    the least and the greatest gain are: `PICTURED` of each table, and fewer where they are large
    (`PICTURE_BYTES`). The tables have all images.

    Args:
      folder: holds `results.json` and the pictures that it names.
      runs: workdirs whose training curves and explanations are shown, where they have some.

    Returns:
      The path of the page.

    Raises:
      UserError: the results are missing or not an evaluation's, or a picture or the record of a
        run is damaged.
    """
    folder, runs = Path(folder), [Path(run) for run in runs]
    results = _read_results(folder / "results.json")
    try:
        data = _page_data(results, folder, runs)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise UserError(
            f"{folder / 'results.json'}: not the results of an evaluation ({reason}); "
            "run --mode=evaluate again"
        ) from error
    path = folder / "report.html"
    write_text(path, filled(data, SCRIPTS))
    return path


def _read_results(path: Path) -> dict:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run --mode=evaluate first") from None
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error}); run --mode=evaluate again") from error


def _page_data(results: dict, folder: Path, runs: list[Path]) -> dict:
    """Return all that the page shows; pictures are numbers in its list of pictures."""
    album = Album()
    share = PICTURE_BYTES // max(1, len(results["tables"]))
    facts = ("protocol", "seed", "date", "commit", "command")
    return {
        "title": _title(results),
        "facts": [[name, str(results[name])] for name in facts if results[name] is not None],
        "methods": results["methods"],
        "tables": [_table(table, results, folder, album, share) for table in results["tables"]],
        "curves": [curve for run in runs if (curve := _curve(run))],
        "explanations": [found for run in runs for found in _explanations(run, album)],
        "pictures": album.pictures,
        "error_levels": ERROR_LEVELS,
        "palette": palette(16).tolist(),
    }


def _title(results: dict) -> str:
    task = {"denoise": "Denoising", "sr": "Super-resolution"}[results["task"]]
    return f"{task}: {', '.join(dict.fromkeys(t['benchmark'] for t in results['tables']))}"


def _table(table: dict, results: dict, folder: Path, album: Album, share: int) -> dict:
    baseline, ours = _compared(results["methods"], table)
    images = [
        {
            "name": image["name"],
            "height": image["height"],
            "width": image["width"],
            "notes": [],
            "figures": image["figures"],
            "gain": _gain(image["figures"], baseline, ours),
            "start": ["baseline" if baseline is None else baseline, ours or "original"],
            "views": None,
        }
        for image in table["images"]
    ]
    for index in _pictured(images, table["images"], folder, share):
        images[index]["views"] = _views(table["images"][index], baseline, folder, album)
    title = f"{table['benchmark']}, {table['label']}"
    return {"title": title, "means": table["means"], "ours": ours, "images": images}


def _compared(methods: list[dict], table: dict) -> tuple[str | None, str | None]:
    """Name the baseline, and what is held against it: the first network, or else first method."""
    scored = set().union(*(image["figures"] for image in table["images"]))
    kinds = {method["name"]: method["kind"] for method in methods if method["name"] in scored}
    baseline = next((name for name, kind in kinds.items() if kind == "baseline"), None)
    others = [name for name in kinds if name != baseline]
    return baseline, next((n for n in others if kinds[n] == "network"), next(iter(others), None))


def _gain(figures: dict, baseline: str | None, ours: str | None) -> float | None:
    before, after = (figures.get(name, {}).get("psnr") for name in (baseline, ours))
    return None if before is None or after is None else after - before


def _pictured(images: list[dict], entries: list[dict], folder: Path, share: int) -> list[int]:
    """Choose images, by turns the worst and the best that are left, within `share` bytes."""
    order = sorted(
        range(len(images)), key=lambda i: (images[i]["gain"] is None, images[i]["gain"] or 0)
    )
    turns = itertools.chain.from_iterable(zip(order, reversed(order), strict=True))
    chosen, left = [], share
    for index in itertools.islice(dict.fromkeys(turns), PICTURED):
        paths = {folder / path for path in entries[index]["pictures"].values()}
        # an error map is about as large as a picture, and base64 a third larger than bytes
        left -= sum(path.stat().st_size for path in paths if path.is_file()) * 2 * 4 // 3
        if left < 0 and chosen:
            break
        chosen.append(index)
    return chosen


def _views(entry: dict, baseline: str | None, folder: Path, album: Album) -> list[dict]:
    """Return the pictures of an image: input, baseline, methods, original, with error maps."""
    paths, figures = dict(entry["pictures"]), entry["figures"]
    original = read_pixels(folder / paths["original"])
    last = {"original": paths.pop("original")}
    if paths.get("input") == paths.get("baseline"):
        paths.pop("input", None)
    views = []
    for key, path in (paths | last).items():
        name = baseline if key == "baseline" and baseline else key
        low = key == "input"
        label = "low resolution" if low else name
        place = folder / path
        pixels = read_pixels(place)
        error = None
        if key not in ("input", "original"):
            error = album.draw(_error(pixels, original, place), palette())
        views.append({
            "label": label, "figures": figures.get(name), "picture": album.add(place),
            "error": error, "low": low,
        })  # fmt: skip
    return views


def _error(pixels: np.ndarray, original: np.ndarray, path: Path) -> np.ndarray:
    """Return |output - original|, the mean of the channels, as uint8: 255 is `ERROR_LEVELS`."""
    if pixels.shape != original.shape:
        raise UserError(
            f"{path}: {list(pixels.shape)} pixels, but its original has {list(original.shape)}; "
            "run --mode=evaluate again"
        )
    error = np.abs(pixels.astype(np.float32) - original)
    error = error.mean(axis=-1) if error.ndim == 3 else error
    return np.rint(np.minimum(error / ERROR_LEVELS, 1) * 255).astype(np.uint8)


def _curve(run: Path) -> dict | None:
    """Return the training curves of a run: gains over the input, of batches and validations."""
    lines = read_record(run)
    training, validation = (
        [list(point) for point in zip(*gains(lines, of), strict=True)] for of in ("", "validation_")
    )
    if not training and not validation:
        return None
    return {"run": run.name, "training": _thinned(training), "validation": _thinned(validation)}


def _thinned(line: list[list[float]]) -> list[list[float]]:
    """Average neighbouring points of a long line."""
    size = -(-len(line) // POINTS)
    groups = (line[i : i + size] for i in range(0, len(line), max(size, 1)))
    return [[float(value) for value in np.mean(group, axis=0)] for group in groups]


def _explanations(run: Path, album: Album) -> list[dict]:
    """Return the newest explanations of a run."""
    newest = sorted((run / "explain").glob("*.png"), key=lambda path: path.stat().st_mtime)
    return [
        {"name": f"{run.name}: {_spelt(path.stem)}", "picture": album.add(path)}
        for path in newest[-EXPLAINED:]
    ]


def _spelt(stem: str) -> str:
    """Spell out the name that `--mode=explain` gives its picture: NAME_ROW_COLUMN."""
    return re.sub(r"_(\d+)_(\d+)$", r", row \1, column \2", stem)
