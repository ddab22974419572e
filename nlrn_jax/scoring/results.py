"""The results of an evaluation as files: JSON for programs, CSV, Markdown and LaTeX for papers.

`results.json` (its folder also holds the pictures that it names, by paths relative to it):

    {"protocol": "denoise", "task": "denoise" | "sr", "seed": 0, "commit": str | null,
     "command": str, "date": ISO 8601, "settings": how networks restored: {"whole": bool, ...},
     "methods": [{"name": str, "kind": "baseline" | "classical" | "network" | "published",
                  "parameters": int | null, "run": folder | null, "checkpoint": step | null}],
     "tables": [{"benchmark": str, "level": 25.0 | 3, "label": "sigma 25" | "x3" | ...,
                 "means": {method: {"psnr": dB, "ssim": float | null,
                                    "seconds_per_megapixel": float | null}},
                 "images": [{"name": str, "height": int, "width": int,
                             "pictures": {"input" | "baseline" | "original" | method: path},
                             "figures": {method: {"psnr": dB, "ssim": float}}}]}]}

An infinite PSNR is null.
"""

import csv
import datetime
import io
import json
import math
import subprocess
from collections.abc import Iterator
from pathlib import Path

from nlrn_jax.writing import write_text

_COLUMNS = (
    "benchmark", "level", "image", "method", "kind", "psnr", "ssim", "seconds_per_megapixel",
    "parameters", "run", "checkpoint", "protocol", "seed", "commit",
)  # fmt: skip
_LATEX = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"
}  # fmt: skip


def finite(tree: object) -> object:
    """Copy results with null where JSON has no number: for an infinite PSNR."""
    if isinstance(tree, dict):
        return {name: finite(value) for name, value in tree.items()}
    if isinstance(tree, list):
        return [finite(value) for value in tree]
    return None if isinstance(tree, float) and not math.isfinite(tree) else tree


def write_results(results: dict, folder: Path) -> None:
    """Write `results.json`, `.csv`, `.md` and `.tex` into a folder.

    The JSON comes last: where it is, the others are.
    """
    texts = {
        "csv": as_csv(results),
        "md": as_markdown(results),
        "tex": as_latex(results),
        "json": json.dumps(results, indent=2, allow_nan=False) + "\n",
    }
    for extension, text in texts.items():
        write_text(folder / f"results.{extension}", text)


def keep_other_results(results: dict, folder: Path) -> Path | None:
    """Move a folder aside that holds the results of another question; return where to.

    The question is all but the figures, the date, the command and the weights: the same networks
    evaluated again in the same way replace their earlier results.
    """
    path = folder / "results.json"
    if not path.is_file():
        return None
    try:
        earlier = json.loads(path.read_text(encoding="utf-8"))
        if _question(earlier) == _question(results):
            return None
        date = datetime.datetime.fromisoformat(earlier["date"])
    except (ValueError, KeyError, TypeError):  # not of our writing, or of an older program
        date = datetime.datetime.fromtimestamp(path.stat().st_mtime)
    place = folder.with_name(f"{folder.name}-{date:%Y%m%d-%H%M%S}")
    while place.exists():
        place = place.with_name(place.name + "+")
    return folder.rename(place)


def git_commit() -> str | None:
    """Return the commit of this program, with '-dirty' after changes; None where it has none."""
    here = Path(__file__).resolve()

    def git(*words):
        return subprocess.run(
            ["git", "-C", str(here.parent), *words], check=True, capture_output=True, text=True
        ).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", here.name)  # or the repository is somebody else's
        return git("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    except (OSError, subprocess.CalledProcessError):
        return None


def summary(results: dict) -> list[list[str]]:
    """List what is to be shown of each table and method: a row of seven cells.

    Benchmark and level, method, PSNR, gain over the baseline, SSIM, seconds a megapixel, and the
    number of parameters.
    """
    baseline = results["methods"][0]["name"]
    rows = []
    for table in results["tables"]:
        for method in results["methods"]:
            means = table["means"].get(method["name"])
            if means:
                gain = _gain(means["psnr"], table["means"][baseline]["psnr"])
                rows.append([
                    _place(table), _title(method), decibels(means["psnr"]),
                    gain if method["name"] != baseline else "", similarity(means["ssim"]),
                    _seconds(means["seconds_per_megapixel"]), _count(method["parameters"]),
                ])  # fmt: skip
    return rows


def as_csv(results: dict) -> str:
    """Write a line for each image and method, and for each mean; '' where there is no value."""
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    methods = {method["name"]: method for method in results["methods"]}
    shared = {name: results[name] for name in ("protocol", "seed", "commit")}
    for table in results["tables"]:
        for image, name, figures in _lines(table):
            method = methods[name]
            facts = {key: method[key] for key in ("kind", "parameters", "run", "checkpoint")}
            place = {"benchmark": table["benchmark"], "level": table["level"], "image": image}
            writer.writerow(place | {"method": name} | facts | figures | shared)
    return text.getvalue()


def as_markdown(results: dict) -> str:
    """Write a table with a row for each method and a column for each benchmark and level."""
    header, rows = _grid(results)
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    lines = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{table}\n\n{caption(results)}\n\n    {results['command']}\n"


def as_latex(results: dict) -> str:
    """Write the same table for LaTeX with the package booktabs."""
    header, rows = _grid(results)
    lines = [" & ".join(map(_escaped, line)) + r" \\" for line in (header, *rows)]
    comment = "".join(f"% {line}\n" for line in results["command"].splitlines())
    return (
        f"% needs \\usepackage{{booktabs}}\n{comment}"
        "\\begin{table}\n\\centering\n"
        f"\\caption{{{_escaped(caption(results))}}}\n"
        f"\\begin{{tabular}}{{l{'r' * (len(header) - 1)}}}\n\\toprule\n{lines[0]}\n\\midrule\n"
        + "\n".join(lines[1:])
        + "\n\\bottomrule\n\\end{tabular}\n\\end{table}\n"
    )


def caption(results: dict) -> str:
    """Say how the figures were measured, in one line."""
    settings = results["settings"]
    way = (
        "each pixel once"
        if settings["whole"]
        else f"patches of {settings['patch']} with stride {settings['stride']}"
    )
    views = ", mean of eight views" if settings["ensemble"] else ""
    commit = f", commit {results['commit']}" if results["commit"] else ""
    return (
        f"PSNR in dB / SSIM by the protocol {results['protocol']}, seed {results['seed']}; "
        f"networks: {way}{views}{commit}."
    )


def decibels(psnr: float | None) -> str:
    """Write a PSNR; None, as in JSON, is infinite."""
    return "inf" if psnr is None else f"{psnr:.2f}"


def similarity(ssim: float | None) -> str:
    """Write an SSIM; None is unknown."""
    return "" if ssim is None else f"{ssim:.4f}"


def _grid(results: dict) -> tuple[list[str], list[list[str]]]:
    tables = results["tables"]
    header = ["method", *map(_place, tables)]
    rows = []
    for method in results["methods"]:
        means = [table["means"].get(method["name"]) for table in tables]
        cells = [
            f"{decibels(m['psnr'])} / {similarity(m['ssim']) or '-'}" if m else "-" for m in means
        ]
        times = [m["seconds_per_megapixel"] for m in means if m and m["seconds_per_megapixel"]]
        time = _seconds(sum(times) / len(times)) if times else "-"
        rows.append([_title(method), *cells, time, _count(method["parameters"]) or "-"])
    return [*header, "s / megapixel", "parameters"], rows


def _lines(table: dict) -> Iterator[tuple[str, str, dict]]:
    for image in table["images"]:
        yield from ((image["name"], name, figures) for name, figures in image["figures"].items())
    yield from (("mean", name, means) for name, means in table["means"].items())


def _place(table: dict) -> str:
    return f"{table['benchmark']}, {table['label']}"


def _title(method: dict) -> str:
    return method["name"] + (", published" if method["kind"] == "published" else "")


def _gain(psnr: float | None, baseline: float | None) -> str:
    return "" if psnr is None or baseline is None else f"{psnr - baseline:+.2f}"


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}" if value < 100 else f"{value:.0f}"


def _count(parameters: int | None) -> str:
    return "" if parameters is None else f"{parameters:,}"


def _escaped(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)


def _question(results: dict) -> tuple:
    methods = [(m["name"], m["kind"], m["run"]) for m in results["methods"]]
    tables = [(table["benchmark"], table["level"]) for table in results["tables"]]
    return results["protocol"], results["seed"], results["settings"], methods, tables
