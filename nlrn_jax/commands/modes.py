"""What each mode of the program does: from its flags to what it prints."""

import contextlib
import shlex
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict

from nlrn_jax.commands import arguments, menu, options, recipe
from nlrn_jax.commands.exchanging import run_export, run_import, run_listing
from nlrn_jax.commands.restoring import run_restoration
from nlrn_jax.config.levels import classical_names, measuring_protocol
from nlrn_jax.data.sources import Image, read_images, require_size, split_sources
from nlrn_jax.errors import NotFiniteError, UserError
from nlrn_jax.exchanging.start import start_of
from nlrn_jax.exchanging.stored import load_trained, read_config
from nlrn_jax.looking.compare import compare
from nlrn_jax.looking.cost import draw_cost
from nlrn_jax.looking.explain import check, explain
from nlrn_jax.looking.report import write_report
from nlrn_jax.looking.study import read_members, study
from nlrn_jax.looking.subject import read_subject
from nlrn_jax.pictures.files import check_output, same_file
from nlrn_jax.planning.plan import plan
from nlrn_jax.scoring.benchmarks import Table, tables_to_score
from nlrn_jax.scoring.evaluate import evaluate
from nlrn_jax.scoring.methods import baseline, classical, network, require_installed
from nlrn_jax.scoring.networks import (
    Network,
    common_levels,
    find_networks,
    held_out_images,
    remarks,
)
from nlrn_jax.scoring.validation import Validator
from nlrn_jax.terminal import Progress, working
from nlrn_jax.training.checkpoints import meet
from nlrn_jax.training.loop import train
from nlrn_jax.training.processes import find_devices, join
from nlrn_jax.training.run import newest_step, require_apart, require_folder
from nlrn_jax.training.split import is_recorded, split

OF_A_FOLDER = ("train", "evaluate", "explain", "compare", "study")  # modes that write to one
# modes that compute nothing on devices
AT_THE_DESK = ("plan", "compare", "weights", "export", "import")


def run() -> None:
    """Do what --mode says, in this process or in several."""
    mode = menu.MODE.value
    if mode in OF_A_FOLDER:
        require_folder(_folder(mode))
    if mode in ("train", "study"):
        require_apart(options.workdir(), options.CONFIG.value.data.train)
    if options.CACHE.value:
        jax.config.update("jax_compilation_cache_dir", options.CACHE.value)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    if options.DISTRIBUTED.value:
        join(options.DISTRIBUTED.value)
    if (warning := find_devices()) and is_first() and mode not in AT_THE_DESK:
        print(warning, flush=True)
    if is_first() and mode not in ("plan", "weights", "import"):
        _say_which_run(mode)
    if is_first() or mode == "train":
        _act(mode, options.CONFIG.value)
    if options.DISTRIBUTED.value:
        meet("finished")  # the first process scores alone, and the others stay alive so long


def _working(name: str) -> contextlib.AbstractContextManager:
    """Show work that goes on within the `with`, if this process is the one that speaks."""
    return working(name) if is_first() else contextlib.nullcontext()


def _say_which_run(mode: str) -> None:
    if options.is_by_recipe():
        print(f"run          {options.workdir()}: by --config; --workdir names another", flush=True)
    elif options.CONFIG.value and mode in ("restore", "explain", "export"):
        print(f"run          {options.workdir()}: its own configuration is read, not --config",
              flush=True)  # fmt: skip


def _folder(mode: str) -> Path:
    """Return the folder that a mode writes to: the run's, or for what is drawn of a network."""
    return options.drawn() if mode in ("evaluate", "explain") else options.workdir()


def _act(mode: str, config: ConfigDict) -> None:
    match mode:
        case "train":
            run_training(config, options.workdir())
        case "evaluate":
            run_evaluation(config, _folder(mode))
        case "study":
            run_study(config, options.workdir())
        case "plan":
            run_plan(config)
        case "restore":
            run_restoration(options.network())
        case "explain":
            run_explanation(options.network(), _folder(mode))
        case "weights":
            run_listing()
        case "export":
            run_export(options.network())
        case "import":
            run_import(config)
        case "compare":
            run_comparison(options.workdir())


def run_training(config: ConfigDict, workdir: Path) -> None:
    """Train, score the result, and say where everything is."""
    if (workdir / "study.json").exists():
        raise UserError(f"{workdir} holds a study (study.json): name another --workdir")
    training, held_out = _images(config, workdir)
    require_size(training, patch_side(config), "data.patch")
    validator = Validator(config, held_out)
    to_score = _of_this_run(config, workdir, held_out)
    if config.data.train == "samples" and config.train.steps > 10_000 and is_first():
        print(f"warning: {len(training)} sample photographs are few for a full run; name your own:"
              " --config.data.train=folder:PATH[,folder:PATH]", flush=True)  # fmt: skip
    start = start_of(config, workdir)
    if start.remark and is_first():
        print(start.remark, flush=True)
    train(config, workdir, training, validator, start.variables)
    if not is_first():
        return
    _score(find_networks([str(workdir)], ["newest"], config), to_score, config, workdir)
    restoring = ["--mode=restore", f"--workdir={workdir}", "--input=PHOTOS"]
    scored = f", {workdir}/evaluation/results.json\npictures     {workdir}/evaluation"
    print(
        f"weights      {workdir}/checkpoints\n"
        f"figures      {workdir}/metrics.jsonl{scored if to_score else ''}\n"
        f"curves       pip install tensorboard; tensorboard --logdir {shlex.quote(str(workdir))}\n"
        f"use it       {arguments.command(restoring)}\n"
        f"score it     {arguments.command_for('evaluate')} --config.data.eval=folder:PATH",
        flush=True,
    )
    if "samples" in split_sources(config.data.train):
        print("own data     --config.data.train=folder:PATH, with another --workdir", flush=True)


def run_evaluation(config: ConfigDict, workdir: Path) -> None:
    """Score checkpoints of runs; the results lie in the workdir."""
    runs = list(dict.fromkeys(options.RUNS.value or [options.network() or str(workdir)]))
    networks = find_networks(runs, options.CHECKPOINT.value, config)
    levels = common_levels(networks, config)
    with working("reading the pictures to score"):
        held_out = [] if config.data.eval else held_out_images(networks)
        to_score = tables_to_score(networks[0].config, levels, held_out)
    if not to_score:
        raise UserError(
            f"nothing to score: {networks[0].run} held no images out of training; name some, as in "
            "--config.data.eval=folder:PATH"
        )
    require_installed(classical_names(config))
    for line in remarks(networks, levels, config, list(options.overridden())):
        print(line, flush=True)
    _score(networks, to_score, config, workdir)
    print(
        f"results      {workdir}/evaluation/results.json, .csv, .md, .tex\n"
        f"pictures     {workdir}/evaluation",
        flush=True,
    )


def run_study(config: ConfigDict, workdir: Path) -> None:
    """Train the members of a study, and show what they reach."""
    if (workdir / "config.json").exists():
        raise UserError(f"{workdir} holds a run (config.json): name another --workdir")
    named, given = options.recipe_file(), options.overridden()
    members = recipe.told(Path(named.partition(":")[0]), lambda: read_members(named, config, given))
    training, held_out = _images(config, workdir)
    require_size(training, max(map(patch_side, members.values())), "data.patch")
    diverged = study(members, workdir, training, held_out)
    if diverged:
        raise NotFiniteError(f"diverged: {', '.join(diverged)}; the other members are finished")


def run_plan(config: ConfigDict) -> None:
    """Say what training takes on a machine that need not be there."""
    with Progress() as progress, progress.work("compiling the step for that machine"):
        for line in plan(config, options.TOPOLOGY.value):
            progress.say(line)


def run_comparison(workdir: Path) -> None:
    """Lay several runs side by side."""
    compare([Path(run) for run in options.RUNS.value], workdir)


def run_explanation(place: str, workdir: Path) -> None:
    """Draw what a network sees from one position of a picture."""
    config = read_config(place)
    at = arguments.integers(options.AT)
    states = None if options.STATES.value is None else arguments.integers(options.STATES)
    if len(at) != 2:
        raise UserError(
            f"--at={','.join(options.AT.value)}: a row and a column are needed, as 120,80"
        )
    files = [flag.value and Path(flag.value) for flag in (options.INPUT, options.ORIGINAL)]
    most = options.max_pixels()
    subject = read_subject(config, *files, options.scale(config), most)
    path = _explained(workdir, f"{subject.name}_{at[0]}_{at[1]}.png")
    if any(file and same_file(path, file) for file in files):
        raise UserError(f"{path}: is the picture to look at itself; name another --output")
    states = check(config, subject, at, states)
    check_output(path, np.uint8, has_alpha=False, overwrite=options.OVERWRITE.value)
    if path.with_suffix(".json").exists() and not options.OVERWRITE.value:
        raise UserError(
            f"{path.with_suffix('.json')}: exists already; name another --output, or --overwrite"
        )
    with working(f"reading the network of {place}"):
        model, variables = load_trained(place, options.CHECKPOINT.value[0])
    explain(model, variables, subject, at, states, path)
    print(f"{path}, and its figures in {path.stem}.json", flush=True)


def _explained(workdir: Path, name: str) -> Path:
    """Return the file of an explanation: --output, in it where that is a folder, or of the run."""
    output = options.OUTPUT.value or f"{workdir}/explain/"
    folder = Path(output)
    return folder / name if output.endswith("/") or folder.is_dir() else folder


def _images(config: ConfigDict, workdir: Path) -> tuple[list[Image], list[Image]]:
    """Read what a run learns from and what it keeps out, as when it started.

    Says what was converted, passed over or left out.
    """
    said = []
    with _working("reading the pictures to train on"):
        most = round(config.data.max_megapixels * 1e6)
        images = read_images(config.data.train, most, said.append)
        sides = split(workdir, images, config.data.holdout)
    said += [sides.remark()] if sides.left_out else []
    if newest_step(workdir) and not is_recorded(workdir):
        said.append(
            f"warning: {workdir} has no data.json, as runs of earlier versions: which pictures it "
            "keeps out is decided anew, by their order"
        )
    for line in said if is_first() else []:
        print(line, flush=True)
    return sides.training, sides.held_out


def _of_this_run(config: ConfigDict, workdir: Path, held_out: list[Image]) -> list[Table]:
    """List what a run will be scored on, and refuse now what could not be scored then."""
    require_installed(classical_names(config))
    levels = common_levels([Network("", str(workdir), 0, config)], config)
    return tables_to_score(config, levels, held_out)


def _score(
    networks: list[Network], to_score: list[Table], config: ConfigDict, workdir: Path
) -> None:
    if not to_score:
        print("nothing is held out and data.eval is empty: nothing to score", flush=True)
        return
    with working("reading the networks"):
        methods = [
            baseline(measuring_protocol(networks[0].config)),
            *classical(classical_names(config)),
            *map(network, networks),
        ]
    command, folder = arguments.command(), workdir / "evaluation"
    evaluate(methods, networks[0].config, to_score, folder, command)
    runs = dict.fromkeys(found.run for found in networks)
    with working("writing the report"):
        report, cost = write_report(folder, runs), draw_cost(folder)
    print(f"look at it   {report}", flush=True)
    if cost:
        print(f"its cost     {cost}: dB against seconds a megapixel", flush=True)


def patch_side(config: ConfigDict) -> int:
    """Return the side an image needs: the patch, in whole low-resolution pixels."""
    patch = config.data.patch
    if config.task == "denoise":
        return patch
    return max(-(-patch // scale) * scale for scale in config.degrade.scales)


def is_first() -> bool:
    """Return whether this process is the one that speaks and scores."""
    return not options.DISTRIBUTED.value or jax.process_index() == 0
