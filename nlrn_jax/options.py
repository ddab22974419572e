"""The flags of the command line, and what they say. Imports no JAX: `--help` answers at once."""

import os
import re
import sys
from pathlib import Path
from typing import NamedTuple

from absl import flags
from ml_collections import ConfigDict, config_flags

from nlrn_jax import arguments, recipe
from nlrn_jax.errors import UserError

# What is parsed, see `arguments.completed`; ml_collections too looks for --config.FIELD in it. Of
# the command line itself it would read flag files as soon as this is imported.
_ARGUMENTS: list[str] = []


class _Recipe(flags.ArgumentParser):
    """Loads what --config names, and knows which of its fields may be set."""

    def parse(self, argument: str) -> ConfigDict:
        try:
            config = recipe.load(argument)
            recipe.require_fields(config, arguments.given_fields(_ARGUMENTS))
        except UserError as error:  # a ValueError would get the whole flag before it
            raise flags.Error(str(error)) from error
        return config.lock()


def _define_place(name: str, text: str) -> flags.FlagHolder:
    return flags.DEFINE(arguments.Place(), name, None, text)


CONFIG = config_flags.DEFINE_config_file(
    "config",
    help_string="recipe: configs/NAME.py, or configs/NAME.py:VARIANT such as :quick",
    sys_argv=_ARGUMENTS,
)
flags.FLAGS["config"].parser = _Recipe()
config_flags.register_flag_parser_for_type(int, arguments.WholeNumber())
WORKDIR = _define_place(
    "workdir", "folder of the run: made, or resumed; default: runs/NAME, or runs/NAME_VARIANT"
)
CACHE = _define_place("compilation_cache", "folder to keep compiled programs in")
DISTRIBUTED = flags.DEFINE_string(
    "distributed", None, "train in several processes: auto (TPU pod, Slurm, Open MPI, Kubernetes),"
    " or INDEX/COUNT@HOST:PORT",
)  # fmt: skip
RUNS = flags.DEFINE(
    arguments.Places(), "runs", None, "workdirs of runs, commas between; evaluate: or --workdir"
)
CHECKPOINT = flags.DEFINE_list(
    "checkpoint", "newest", "newest, best, or a step; evaluate: several, with commas between"
)
TOPOLOGY = flags.DEFINE_string("topology", "local", "machine to plan for, as v5e:4x4, or local")
AT = flags.DEFINE_list("at", None, "Y,X: the position that looks, row and column from 0")
STATES = flags.DEFINE_list("states", None, "states to draw, as 1,4,12; default: four of them")
ORIGINAL = _define_place("original", "clean picture; without --input it is degraded")
INPUT = _define_place("input", "picture, or folder of pictures")
OUTPUT = _define_place(
    "output",
    "file or folder (new: FOLDER/); default: beside the input; of an explanation, WORKDIR/explain",
)
OVERWRITE = flags.DEFINE_bool("overwrite", False, "replace outputs that exist")
SCALE = flags.DEFINE_integer("scale", None, "which scale, of a network trained for several")
MEMORY = flags.DEFINE_string("memory", None, "budget, as 4GiB; default: 4GiB or half of the free")
EXACT = flags.DEFINE_bool("exact", False, "let tiles overlap by all of a pixel's reach")
ENSEMBLE = flags.DEFINE_bool("ensemble", False, "average over the eight flips and turns")
MAX_MEGAPIXELS = flags.DEFINE_float(
    "max_megapixels", 135, "of a picture; one that says more is taken for damage", lower_bound=0
)
PATCHES = flags.DEFINE_integer(
    "patches", None, "the published way: side of overlapping patches, pixels", lower_bound=1
)
STRIDE = flags.DEFINE_integer("stride", 7, "between patches, pixels", lower_bound=1)


class Mode(NamedTuple):
    """A mode of the program, as `--help` shows it.

    Attributes:
      does: one sentence.
      example: the rest of its command line.
      flags: its own, besides those of every mode.
      needs: the flag that it cannot do without, with an example.
    """

    does: str
    example: str
    flags: tuple[flags.FlagHolder, ...]
    needs: tuple[str, str]


MODES = {
    "train": Mode(
        "train, or go on where a run was stopped; then score it",
        "--config=configs/sr_x3.py:quick --config.data.train=folder:PHOTOS",
        (DISTRIBUTED,),
        ("config", "configs/sr_x3.py:quick"),
    ),
    "evaluate": Mode(
        "score networks on benchmarks; write tables, pictures and report.html",
        "--config=configs/sr_x3.py:quick --config.data.root=TESTSETS --config.data.eval=set5",
        (RUNS, CHECKPOINT),
        ("config", "configs/sr_x3.py:quick"),
    ),
    "restore": Mode(
        "restore pictures with a trained network",
        "--config=configs/sr_x3.py:quick --input=PHOTOS",
        (
            CHECKPOINT,
            INPUT,
            OUTPUT,
            OVERWRITE,
            SCALE,
            MEMORY,
            MAX_MEGAPIXELS,
            EXACT,
            ENSEMBLE,
            PATCHES,
            STRIDE,
        ),
        ("input", "photos"),
    ),
    "explain": Mode(
        "draw what a network looks at from one position",
        "--config=configs/sr_x3.py:quick --original=PHOTO.png --at=120,80",
        (CHECKPOINT, AT, STATES, INPUT, ORIGINAL, OUTPUT, OVERWRITE, SCALE),
        ("at", "120,80"),
    ),
    "compare": Mode(
        "lay runs side by side: a table, and their curves",
        "--runs=runs/a,runs/b --workdir=runs/compared",
        (RUNS,),
        ("runs", "runs/a,runs/b"),
    ),
    "study": Mode(
        "train the members of a study one after another, and draw what they reach",
        "--config=configs/study_steps.py:quick --config.data.train=folder:PHOTOS",
        (),
        ("config", "configs/study_steps.py:quick"),
    ),
    "plan": Mode(
        "say what training takes on a machine that need not be there",
        "--config=configs/sr_x3.py --topology=v5e:4x4",
        (TOPOLOGY,),
        ("config", "configs/sr_x3.py"),
    ),
}
MODE = flags.DEFINE_enum("mode", "train", list(MODES), "what to do")
HELP = {"help", "helpshort", "helpfull", "helpxml", "h", "?"}


def parse(argv: list[str]) -> list[str]:
    """Parse flags; what is wrong with them is one line and status 2."""
    if argv[1:2] == ["help"] or HELP & {w.strip("-").split("=")[0] for w in argv if w[:1] == "-"}:
        try:
            print(usage(), flush=True)
        except BrokenPipeError:  # as of `--help | head`; Python flushes again when it ends
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    try:
        _ARGUMENTS[:] = arguments.completed(argv[1:])
        _, *words = flags.FLAGS([argv[0], *_ARGUMENTS])
        if words:
            meant = f"--mode={words[0]}" if words[0] in MODES else "--name=value"
            raise flags.Error(f"unexpected {words[0]!r}: flags are written {meant}")
        _require_needs()
        _require_obeyed()
    except (flags.Error, ValueError) as error:
        _refuse(str(error))
    return argv[:1]


def usage() -> str:
    """Return what `--help` prints: the modes and every flag, grouped by mode."""
    program = arguments.program()
    lines = [
        "The Non-Local Recurrent Network: trained, scored, and at work on pictures.",
        "",
        f"  {program} --config=configs/NAME.py[:VARIANT] [--mode=MODE] [--FLAG=VALUE]",
        "",
        "In every mode",
        *arguments.described(CONFIG),
        "  --config.SECTION.FIELD=VALUE",
        f"{'':27}a field of the recipe, as --config.train.steps=1000;",
        f"{'':27}{recipe.shipped()}/base.py says what each means",
        *arguments.described(WORKDIR),
        *arguments.described(MODE),
        *arguments.described(CACHE),
    ]
    for name, mode in MODES.items():
        default = " (the default)" if name == MODE.default else ""
        lines += ["", f"--mode={name}{default}: {mode.does}"]
        lines.append(f"  {program} {_of(name)}{mode.example}")
        for flag in mode.flags:
            lines += arguments.described(flag)
    return "\n".join(lines)


def _of(name: str) -> str:
    return "" if name == MODE.default else f"--mode={name} "


def workdir() -> Path:
    """Return the folder of the run: `--workdir`, or by the recipe runs/NAME[_VARIANT]."""
    if WORKDIR.value:
        return Path(WORKDIR.value)
    path, variant = recipe.find(_recipe())
    if not is_by_recipe():
        return path.parent
    name = "_".join((path.stem, *(re.sub(r"[^\w.-]+", "_", word) for word in variant if word)))
    return Path("runs") / name


def is_by_recipe() -> bool:
    """Return whether the folder of the run is none that the command line names."""
    return WORKDIR.value is None and not _recipe().endswith(".json")


def recipe_file() -> str:
    """Return where the recipe is found: PATH.py, or PATH.py:VARIANT."""
    path, variant = recipe.find(_recipe())
    return ":".join((str(path), *variant))


def _recipe() -> str:
    return config_flags.get_config_filename(flags.FLAGS["config"])


def overridden() -> dict[str, object]:
    """Return the fields of the configuration that the command line sets, and their values."""
    return config_flags.get_override_values(flags.FLAGS["config"]) if CONFIG.value else {}


def _require_needs() -> None:
    name, example = MODES[MODE.value].needs
    if flags.FLAGS[name].value in (None, []):
        other = "; or name the run: --workdir=RUN" if MODE.value == "evaluate" else ""
        raise flags.Error(f"--{name} is missing, as in --{name}={example}{other}; or see --help")
    example, study = "as in --workdir=runs/NAME", example
    if MODE.value == "compare" and WORKDIR.value is None:  # it belongs to no one run
        raise flags.Error(f"--workdir is missing, {example}")
    if MODE.value != "plan" and WORKDIR.value is None and CONFIG.value is None:
        raise flags.Error(
            f"--workdir is missing, {example}; or name the recipe of the run, as in "
            "--config=configs/NAME.py"
        )
    if MODE.value == "study" and _recipe().endswith(".json"):
        raise flags.Error(f"--config={_recipe()} is of one run; a study is as --config={study}")
    if len(RUNS.value or []) > 1 and WORKDIR.value is None and not is_by_recipe():
        raise flags.Error("--workdir is missing, for results of several --runs: name a folder")


def _require_obeyed() -> None:
    """Refuse flags that the mode would not obey, by itself or beside the others."""
    mode = MODE.value
    own = {flag.name for other in MODES.values() for flag in other.flags}
    for name in sorted(own - {flag.name for flag in MODES[mode].flags}):
        if flags.FLAGS[name].present:
            modes = [other for other in MODES if name in {f.name for f in MODES[other].flags}]
            raise flags.Error(
                f"--{name} is a flag of --mode={' and --mode='.join(modes)}: --mode={mode} does "
                "not obey it; leave it out"
            )
    fields = [f"config.{name}" for name in overridden()]
    if mode == "compare" and CONFIG.value:
        fields.append("config")
    if fields and mode in ("restore", "explain", "compare"):
        raise flags.Error(
            f"--{fields[0]}: --mode={mode} reads the run's own configuration; leave it out"
        )
    _require_sense(mode)


def _require_sense(mode: str) -> None:
    """Refuse values of flags that say nothing, or nothing together."""
    if PATCHES.value is None and flags.FLAGS["stride"].present:
        raise flags.Error("--stride lies between patches: name their side too, as in --patches=45")
    if PATCHES.value and EXACT.value:
        raise flags.Error("--exact is of tiles, and --patches takes none: leave one of them out")
    if DISTRIBUTED.value == "":  # such as --distributed=$UNSET: each would train by itself
        raise flags.Error("--distributed is empty: write auto, or INDEX/COUNT@HOST:PORT")
    for name, value in overridden().items():
        if value is None and name != "model.neighborhood":
            raise flags.Error(f"--config.{name}=None: a value is needed")
    wanted = len(CHECKPOINT.value) == 1 or mode == "evaluate"
    if not (wanted and CHECKPOINT.value and all(CHECKPOINT.value)):
        several = "" if mode != "evaluate" else ", or several with commas between"
        given = ",".join(CHECKPOINT.value)
        raise flags.Error(f"--checkpoint={given}: name one, newest, best or its step{several}")


def _refuse(message: str) -> None:
    message = re.sub(r"\('Non-boolean argument.*", "true or false is needed", message)  # absl's
    print("error: " + " ".join(message.split()), file=sys.stderr, flush=True)
    sys.exit(2)


def scale(config: ConfigDict) -> int:
    """Return the scale to restore by: 1 for a denoiser, else the only one, or that of --scale."""
    known = config.degrade.scales if config.task == "sr" else (1,)
    if SCALE.value is None and len(known) == 1:
        return known[0]
    if SCALE.value is None:
        raise UserError(f"--scale is missing: the network was trained for {known}; name one")
    if SCALE.value not in known:
        trained = f"was trained for {known}; name one" if known[0] > 1 else "denoises; leave it out"
        raise UserError(f"--scale={SCALE.value}: the network {trained}")
    return SCALE.value


def memory() -> int | None:
    """Read --memory, an amount as 4GiB or 500MiB, in bytes."""
    if MEMORY.value is None:
        return None
    text = MEMORY.value
    match = re.fullmatch(r"(\d+\.?\d*|\.\d+)([KMGT])i?B?", text.strip(), re.IGNORECASE)
    if not match:
        raise UserError(f"--memory={text}: write it as 4GiB or 500MiB")
    return int(float(match[1]) * 2 ** (10 * (1 + "KMGT".index(match[2].upper()))))
