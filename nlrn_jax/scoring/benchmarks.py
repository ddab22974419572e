"""Benchmarks: sets of test images by name, by folder, or as pairs; read and checked before use.

    Set5, BSD68, ...    a set of the table below, found under `data.root` whatever its case
    pairs:HIGH:LOW      two folders; LOW holds the degraded or the low-resolution pictures, with the
                        names of HIGH, or with x2, x3 or x4 after them
    folder:PATH, ...    whatever else `sources.py` reads

Several, with commas between, are one table each.
"""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from nlrn_jax.config.levels import PROTOCOLS
from nlrn_jax.data.sources import Image, read_images, require_size, split_sources
from nlrn_jax.errors import UserError
from nlrn_jax.pictures.files import read_all
from nlrn_jax.pictures.finding import find_pictures
from nlrn_jax.scoring.methods import require_room
from nlrn_jax.scoring.protocols import Setting, least_side, setting_of

# Images of each set, and what else its folder may be called.
SETS = {
    "Set5": (5, ()),
    "Set14": (14, ()),
    "Set12": (12, ()),
    "BSD68": (68, ()),
    "CBSD68": (68, ()),
    "Classic5": (5, ()),
    "B100": (100, ("BSD100", "BSDS100")),
    "Urban100": (100, ()),
    "Kodak24": (24, ("Kodak",)),
    "McMaster": (18, ("McM",)),
}
# Where the originals lie in a set's folder, if not in it itself, by what packagers call it.
_ORIGINALS = ("hr", "gt", "gtmod12", "original")
_SUFFIX = re.compile(r"[-_]?x[2-8]$", re.IGNORECASE)


class Benchmark(NamedTuple):
    """Test images under one name, and what they were degraded to where that is given: uint8."""

    name: str
    images: list[Image]
    low: list[np.ndarray] | None = None


class Table(NamedTuple):
    """What one table of figures is about: a benchmark, at a noise level, quality or scale."""

    benchmark: Benchmark
    level: float


def read_benchmarks(source: str, root: str) -> list[Benchmark]:
    """Read the benchmarks of a list such as `set5,folder:PATH`, each once.

    Args:
      source: as above.
      root: folder in which sets are looked for by name.

    Raises:
      UserError: an unknown name, a set that is not there or not whole, pictures without a pair, a
        missing folder, or a picture that cannot be read.
    """
    parts = list(dict.fromkeys(split_sources(source)))
    return [_read(part, root) for part in parts]


def tables_to_score(
    config: ConfigDict, levels: tuple[float, ...], held_out: list[Image]
) -> list[Table]:
    """Read what `data.eval` names, or take the held-out images, and list what is to be scored.

    Raises as `read_benchmarks`, `tables` and `require_room`.
    """
    if config.data.eval:
        benchmarks = read_benchmarks(config.data.eval, config.data.root)
    else:
        benchmarks = [Benchmark("held-out", held_out)] if held_out else []
    found = tables(benchmarks, levels, setting_of(config))
    require_room(config, [image.pixels.shape[:2] for table in found for image in table[0].images])
    return found


def tables(benchmarks: list[Benchmark], levels: tuple[float, ...], how: Setting) -> list[Table]:
    """List what is to be scored, and refuse now what could not be scored then.

    Raises:
      UserError: naming the image that is too small, or that does not fit its pair.
    """
    found = []
    for benchmark in benchmarks:
        here = levels if benchmark.low is None else _paired_levels(benchmark, levels, how)
        for level in here:
            side = least_side(how.protocol, level)
            require_size(benchmark.images, side, f"scoring by {how.protocol}")
            found.append(Table(benchmark, level))
    return found


def label(protocol: str, level: float) -> str:
    """Name a level of a protocol as tables do: 'sigma 25', 'quality 40', 'noise 20' or 'x3'."""
    if PROTOCOLS[protocol].task == "sr":
        return f"x{level}"
    kind = {"jpeg": "quality", "photo": "noise"}.get(protocol, "sigma")
    return f"{kind} {level:g}"


def _read(part: str, root: str) -> Benchmark:
    kind, _, rest = part.partition(":")
    if kind == "pairs":
        return _read_pairs(part, *_two_folders(part, rest))
    if ":" in part or part == "samples":
        return Benchmark(part, read_images(part))
    names = {alias.lower(): name for name in SETS for alias in (name, *SETS[name][1])}
    if part.lower() not in names:
        folder = part if Path(part).expanduser().is_dir() else "PATH"
        raise UserError(
            f"benchmark {part!r} is unknown: use {', '.join(SETS)}, folder:{folder}, "
            "pairs:HIGH:LOW, samples or tfds:NAME/CONFIG[:SPLIT]"
        )
    return _read_set(names[part.lower()], Path(root).expanduser())


def _read_set(name: str, root: Path) -> Benchmark:
    count, _ = SETS[name]
    folder = _set_folder(name, root)
    images = read_images(f"folder:{folder}")
    if len(images) != count:
        raise UserError(
            f"{folder}: {name} has {count} images, this folder {len(images)}; mend it, or score "
            f"it as it is with --config.data.eval=folder:{folder}"
        )
    return Benchmark(name, images)


def _set_folder(name: str, root: Path) -> Path:
    known = [alias.lower() for alias in (name, *SETS[name][1])]
    below = sorted(root.iterdir()) if root.is_dir() else []
    for folder in below:
        if folder.name.lower() in known and folder.is_dir():
            inside = [f for f in sorted(folder.iterdir()) if f.name.lower() in _ORIGINALS]
            return inside[0] if inside else folder
    looked = " or ".join(f"{root / alias}" for alias in (name, *SETS[name][1]))
    reason = "" if root.is_dir() else f", but {root} is no folder"
    raise UserError(
        f"benchmark {name} is not there: looked for {looked}, in any case of letters{reason}; "
        "name the folder around it, as --config.data.root=FOLDER"
    )


def _two_folders(part: str, rest: str) -> tuple[Path, Path]:
    folders = rest.split(":")
    if len(folders) != 2 or not all(folders):
        raise UserError(f"{part!r}: paired folders are written pairs:HIGH:LOW")
    return tuple(Path(folder).expanduser() for folder in folders)


def _read_pairs(part: str, high: Path, low: Path) -> Benchmark:
    originals = _by_stem(high, find_pictures(high), suffix=False)
    partners = _by_stem(low, find_pictures(low), suffix=True)
    lonely = [path for stem, path in originals.items() if stem not in partners]
    extra = [path for stem, path in partners.items() if stem not in originals]
    if lonely or extra:
        raise UserError(
            f"{part}: {len(lonely)} pictures of {high} and {len(extra)} of {low} have no partner, "
            f"the first is {(lonely + extra)[0]}; names may differ by x2, x3 or x4 alone"
        )
    paths = [*originals.values(), *(partners[stem] for stem in originals)]
    pixels = [read.pixels for read in read_all(paths)]
    images = [Image(str(path), p) for path, p in zip(originals.values(), pixels, strict=False)]
    return Benchmark(part, images, pixels[len(images) :])


def _by_stem(folder: Path, paths: list[Path], suffix: bool) -> dict[str, Path]:
    """Return the pictures by their place in the folder, without extension and scale."""
    found = {}
    for path in paths:
        place = str(path.relative_to(folder).with_suffix(""))
        place = _SUFFIX.sub("", place) if suffix else place
        if place in found:
            raise UserError(f"{found[place]} and {path} have one name; keep one of them")
        found[place] = path
    return found


def _paired_levels(
    benchmark: Benchmark, levels: tuple[float, ...], how: Setting
) -> tuple[float, ...]:
    """Return the levels that paired pictures can stand for.

    Low resolution has the scale that its size says; else the level must be given.
    """
    quantised = {"denoise": "denoise_clipped", "sr_y_float": "sr_y"}.get(how.protocol)
    if quantised:
        raise UserError(
            f"{benchmark.name}: pictures of 8 bits do not suit the protocol {how.protocol}; "
            f"set --config.evaluate.protocol={quantised}"
        )
    labels = [label(how.protocol, level) for level in levels]
    if how.task == "denoise" and len(levels) > 1:
        raise UserError(
            f"{benchmark.name}: which is that, of {', '.join(labels)}? Name it: "
            f"--config.evaluate.levels='({levels[-1]},)'"
        )
    scales = {level: 1 if how.task == "denoise" else level for level in levels}
    misfits = {level: _misfits(benchmark, scale) for level, scale in scales.items()}
    fitting = tuple(level for level in levels if not misfits[level])
    if fitting:
        return fitting
    level = min(levels, key=lambda level: len(misfits[level]))
    name, original, low = misfits[level][0]
    raise UserError(
        f"{name}: {original} and its partner of {low} (rows x columns) do not fit "
        f"{label(how.protocol, level)} ({len(misfits[level])} of {len(benchmark.images)} pairs): "
        "cut the originals, or name another level, as --config.evaluate.levels='(2,)'"
    )


def _misfits(benchmark: Benchmark, scale: int) -> list[tuple[str, str, str]]:
    shapes = [
        (image.name, image.pixels.shape[:2], low.shape[:2])
        for image, low in zip(benchmark.images, benchmark.low, strict=True)
    ]
    return [
        (name, f"{high[0]} x {high[1]}", f"{low[0]} x {low[1]}")
        for name, high, low in shapes
        if low != tuple(side // scale for side in high)
    ]
