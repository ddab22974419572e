"""Command line: python -m nlrn_jax.main --config=configs/sr_x3.py:quick --workdir=runs/x."""

import functools
import re
import shlex
import sys
from pathlib import Path

import numpy as np
from absl import app, flags, logging
from ml_collections import ConfigDict, config_flags

from nlrn_jax import config as configuration
from nlrn_jax.allocator import use_huge_pages
from nlrn_jax.benchmarks import Benchmark, Table, planned_tables, tables
from nlrn_jax.checkpoints import CheckpointError, load, read_config
from nlrn_jax.classical import require_installed
from nlrn_jax.compare import compare
from nlrn_jax.config import ConfigError
from nlrn_jax.evaluate import evaluate
from nlrn_jax.explain import check, explain, read_subject
from nlrn_jax.files import find_jobs, restore_files
from nlrn_jax.image import ImageError
from nlrn_jax.methods import (
    Network,
    baseline,
    classical,
    common_levels,
    find_networks,
    held_out_images,
    network,
    remarks,
)
from nlrn_jax.patches import restore_patches
from nlrn_jax.picture import check_output
from nlrn_jax.report import ReportError, write_report
from nlrn_jax.restore import average_views, restore, restore_by
from nlrn_jax.sources import Image, SourceError, hold_out, read_images, require_size
from nlrn_jax.study import read_members, study
from nlrn_jax.train import NotFiniteError, train

CONFIG = config_flags.DEFINE_config_file("config", help_string="Recipe: configs/NAME.py[:quick]")
WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run: made, or resumed")
MODES = ["train", "evaluate", "restore", "explain", "compare", "study"]
MODE = flags.DEFINE_enum("mode", "train", MODES, "What to do")
# Of --mode=evaluate and compare:
RUNS = flags.DEFINE_list("runs", None, "Workdirs of runs, commas between; default: --workdir")
CHECKPOINT = flags.DEFINE_list("checkpoint", "newest", "Of each run: newest, best, or its step")
# Of --mode=explain:
AT = flags.DEFINE_list("at", None, "Y,X: the position that looks, row and column from 0")
STATES = flags.DEFINE_list("states", None, "States to draw, as 1,4,12; default: four of them")
ORIGINAL = flags.DEFINE_string("original", None, "Clean picture; without --input it is spoiled")
# Of --mode=restore, and of explain:
INPUT = flags.DEFINE_string("input", None, "Picture, or folder of pictures, to restore")
OUTPUT = flags.DEFINE_string("output", None, "File or folder; default: beside the input, "
                             "or in WORKDIR/explain")  # fmt: skip
OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replace outputs that exist")
SCALE = flags.DEFINE_integer("scale", None, "Which scale, of a network trained for several")
MEMORY = flags.DEFINE_string("memory", None, "Budget, as 4GiB; default: 4GiB or half of the free")
EXACT = flags.DEFINE_bool("exact", False, "Let tiles overlap by all of a pixel's reach")
ENSEMBLE = flags.DEFINE_bool("ensemble", False, "Average over the eight flips and turns")
PATCHES = flags.DEFINE_integer(
    "patches", None, "The published way: side of overlapping patches", lower_bound=1
)
STRIDE = flags.DEFINE_integer("stride", 7, "Between patches, pixels", lower_bound=1)

# What a user can mend: shown as one line. Anything else is our mistake and keeps its traceback.
USER_ERRORS = (
    ConfigError, SourceError, ImageError, CheckpointError, NotFiniteError, ReportError, OSError
)  # fmt: skip

WITHOUT_CONFIG = ("restore", "explain", "compare")  # modes that read the run's own


def main(_) -> None:
    """Check everything, then do what --mode says."""
    workdir = Path(WORKDIR.value)
    if MODE.value in WITHOUT_CONFIG:
        modes = {"restore": run_restoration, "explain": run_explanation, "compare": run_comparison}
        return modes[MODE.value](workdir)
    configuration.check(CONFIG.value)
    modes = {"train": run_training, "evaluate": run_evaluation, "study": run_study}
    modes[MODE.value](CONFIG.value, workdir)


def run_training(config: ConfigDict, workdir: Path) -> None:
    """Train, score the result, and say where everything is."""
    training, held_out = hold_out(read_images(config.data.train), config.data.holdout)
    require_size(training, _patch_side(config), "data.patch")
    planned = _planned_tables(config, workdir, held_out)
    if config.data.train == "samples" and config.train.steps > 10_000:
        print(f"warning: {len(training)} sample photographs are few for a full run; name your own:"
              " --config.data.train=folder:PATH[,folder:PATH]", flush=True)  # fmt: skip
    train(config, workdir, training, held_out)
    _score(find_networks([str(workdir)], ["newest"], config), planned, config, workdir)
    print(
        f"weights      {workdir}/checkpoints\n"
        f"figures      {workdir}/metrics.jsonl, {workdir}/evaluation/results.json\n"
        f"pictures     {workdir}/evaluation\n"
        f"curves       pip install tensorboard; tensorboard --logdir {workdir}\n"
        f"use it       python -m nlrn_jax.main --mode=restore --workdir={workdir} --input=PHOTOS\n"
        f"score it     {_command('evaluate')} --config.data.eval=folder:PATH\n"
        "own data     --config.data.train=folder:PATH, with another --workdir",
        flush=True,
    )


def run_evaluation(config: ConfigDict, workdir: Path) -> None:
    """Score checkpoints of runs; the results lie in the workdir."""
    networks = find_networks(RUNS.value or [str(workdir)], CHECKPOINT.value, config)
    levels = common_levels(networks, config)
    held_out = [] if config.data.eval else held_out_images(networks)
    planned = planned_tables(networks[0].config, levels, held_out)
    require_installed(configuration.classical_names(config))
    for line in remarks(networks, levels, config):
        print(line, flush=True)
    _score(networks, planned, config, workdir)
    print(
        f"results      {workdir}/evaluation/results.json, .csv, .md, .tex\n"
        f"pictures     {workdir}/evaluation",
        flush=True,
    )


def run_study(config: ConfigDict, workdir: Path) -> None:
    """Train the members of a study, and show what they reach."""
    flag = flags.FLAGS["config"]
    given = config_flags.get_override_values(flag)
    members = read_members(config_flags.get_config_filename(flag), config, given)
    training, held_out = hold_out(read_images(config.data.train), config.data.holdout)
    require_size(training, _patch_side(config), "data.patch")
    _require_validated(config, held_out)
    diverged = study(members, workdir, training, held_out)
    if diverged:
        raise NotFiniteError(f"diverged: {', '.join(diverged)}; the other members are finished")


def run_comparison(workdir: Path) -> None:
    """Lay several runs side by side."""
    compare([Path(run) for run in RUNS.value], workdir)


def run_restoration(workdir: Path) -> None:
    """Restore picture files with the newest checkpoint of a workdir."""
    config = read_config(workdir)
    scale, memory = _scale(config), _bytes(MEMORY.value)
    if PATCHES.value and STRIDE.value > PATCHES.value:
        raise ConfigError(f"--stride={STRIDE.value} leaves gaps between --patches={PATCHES.value}")
    suffix = f"_x{scale}" if scale > 1 else "_restored"
    jobs = find_jobs(Path(INPUT.value), OUTPUT.value and Path(OUTPUT.value), suffix)
    model, variables = load(workdir)

    def restore_pixels(pixels, advance):
        if PATCHES.value:
            way = functools.partial(
                restore_patches, model, variables, patch=PATCHES.value, stride=STRIDE.value
            )
            return restore_by(average_views(way) if ENSEMBLE.value else way, model, pixels, scale)
        return restore(
            model, variables, pixels, scale=scale, neighborhood=configuration.window(config),
            memory=memory, exact=EXACT.value, ensemble=ENSEMBLE.value, advance=advance,
        )  # fmt: skip

    if model.channels == 1:
        how = "the luma, the chroma bicubic" if scale > 1 else "red, green and blue one by one"
        print(f"restores of colour pictures {how}", flush=True)
    failed = restore_files(jobs, restore_pixels, scale, OVERWRITE.value)
    print(f"restored {len(jobs) - failed} of {len(jobs)} pictures, {failed} failed", flush=True)
    if failed:
        sys.exit(1)


def run_explanation(workdir: Path) -> None:
    """Draw what the network of a workdir sees from one position of a picture."""
    config = read_config(workdir)
    at, states = _integers(AT), STATES.value and _integers(STATES)
    if len(at) != 2:
        raise ConfigError(f"--at={','.join(AT.value)}: a row and a column are needed, as 120,80")
    files = (flag.value and Path(flag.value) for flag in (INPUT, ORIGINAL))
    subject = read_subject(config, *files, _scale(config))
    name = f"{subject.name}_{at[0]}_{at[1]}.png"
    path = Path(OUTPUT.value or workdir / "explain" / name)
    states = check(config, subject, at, states)
    check_output(path, np.uint8, has_alpha=False, overwrite=OVERWRITE.value)
    if path.with_suffix(".json").exists() and not OVERWRITE.value:
        raise ConfigError(f"--output={path}: {path.stem}.json is there already; name another")
    model, variables = load(workdir)
    explain(model, variables, config, subject, at, states, path)
    print(f"{path}, and its figures in {path.stem}.json", flush=True)


def _integers(flag) -> list[int]:
    """Read a flag of whole numbers with commas between."""
    try:
        return [int(number) for number in flag.value]
    except ValueError:
        given = ",".join(flag.value)
        raise ConfigError(f"--{flag.name}={given}: whole numbers, with commas between") from None


def _scale(config: ConfigDict) -> int:
    """Return the scale to restore by: 1 for a denoiser, else the only one, or that of --scale."""
    known = config.degrade.scales if config.task == "sr" else (1,)
    if SCALE.value is None and len(known) == 1:
        return known[0]
    if SCALE.value not in known:
        raise ConfigError(f"--scale={SCALE.value}: the network was trained for {known}; name one")
    return SCALE.value


def _bytes(text: str | None) -> int | None:
    """Read an amount of memory, as 4GiB or 500MiB."""
    if text is None:
        return None
    match = re.fullmatch(r"([\d.]+)([KMGT])i?B?", text.strip(), re.IGNORECASE)
    if not match:
        raise ConfigError(f"--memory={text}: write it as 4GiB or 500MiB")
    return int(float(match[1]) * 2 ** (10 * (1 + "KMGT".index(match[2].upper()))))


def _planned_tables(config: ConfigDict, workdir: Path, held_out: list[Image]) -> list[Table]:
    """List what a run will be scored on, and refuse now what could not be scored then."""
    require_installed(configuration.classical_names(config))
    _require_validated(config, held_out)
    levels = common_levels([Network("", str(workdir), 0, config)], config)
    return planned_tables(config, levels, held_out)


def _require_validated(config: ConfigDict, held_out: list[Image]) -> None:
    """Refuse images that could not be validated on, by making their tables."""
    validated = [Benchmark("held-out", held_out)]
    tables(validated, configuration.levels(config), configuration.setting(config))


def _score(
    networks: list[Network], planned: list[Table], config: ConfigDict, workdir: Path
) -> None:
    if not planned:
        print("nothing is held out and data.eval is empty: nothing to score", flush=True)
        return
    methods = [
        baseline(config.task),
        *classical(configuration.classical_names(config)),
        *map(network, networks),
    ]
    command = shlex.join(["python", "-m", "nlrn_jax.main", *sys.argv[1:]])
    evaluate(methods, networks[0].config, planned, workdir / "evaluation", command)
    runs = dict.fromkeys(network.run for network in networks)
    print(f"look at it   {write_report(workdir / 'evaluation', runs)}", flush=True)


def _patch_side(config: ConfigDict) -> int:
    """Return the side an image needs: the patch, in whole low-resolution pixels."""
    patch = config.data.patch
    if config.task == "denoise":
        return patch
    return max(-(-patch // scale) * scale for scale in config.degrade.scales)


def _command(mode: str) -> str:
    """Repeat the command as typed, with another mode."""
    kept = [arg for arg in sys.argv[1:] if not arg.startswith(("--mode", "--config.data.eval"))]
    return shlex.join(["python", "-m", "nlrn_jax.main", *kept, f"--mode={mode}"])


def parse(argv: list[str]) -> list[str]:
    """Parse flags; what is wrong with them is one line and status 2."""
    try:
        _require_config_file(argv)
        rest = flags.FLAGS(argv)
        if len(rest) > 1:
            raise flags.Error(f"unexpected {rest[1]!r}: flags are written --name=value")
        source = {
            "restore": (INPUT, "photos"),
            "explain": (AT, "120,80"),
            "compare": (RUNS, "runs/a,runs/b"),
            "study": (CONFIG, "configs/study_steps.py:quick"),
        }.get(MODE.value, (CONFIG, "configs/sr_x3.py:quick"))
        for flag, example in (source, (WORKDIR, "runs/NAME")):
            if flag.value in (None, "", []):
                raise flags.Error(f"--{flag.name} is missing, as in --{flag.name}={example}")
    except (AttributeError, KeyError) as error:  # how ml_collections says so
        reason = error.args[0]
        reason = reason.args[0] if isinstance(reason, KeyError) else reason
        _fail(f"the configuration has no such field: {reason}", 2)
    except flags.Error as error:  # of an error inside a config file, only the last line helps
        _fail(str(error).strip().splitlines()[-1], 2)
    return rest


def _require_config_file(argv: list[str]) -> None:
    # ml_collections would report a missing file only at the flag's first use, in three lines.
    for name in (arg.removeprefix("--config=") for arg in argv if arg.startswith("--config=")):
        if not Path(name.split(":")[0]).is_file():
            raise flags.Error(f"--config={name}: no such file; configs/ has the recipes")


def run() -> None:
    """Run the program; an error that a user can mend is one line and status 1 or 2."""
    logging.set_verbosity(logging.ERROR)
    logging.set_stderrthreshold("error")

    def guarded(argv):
        try:
            main(argv)
        except USER_ERRORS as error:
            _fail(str(error), 1)
        except KeyboardInterrupt:
            _fail("interrupted; the same command goes on from the newest checkpoint", 130)

    app.run(guarded, flags_parser=parse)


def _fail(message: str, status: int) -> None:
    print("error: " + " ".join(message.split()), file=sys.stderr, flush=True)
    sys.exit(status)


if __name__ == "__main__":
    use_huge_pages()
    run()
