"""The flags of the command line, and what they say. Imports no JAX: `--help` answers at once."""

import re
import shlex
import sys
import textwrap
from pathlib import Path
from typing import NamedTuple

from absl import flags
from ml_collections import ConfigDict, config_flags

from nlrn_jax.errors import UserError

CONFIG = config_flags.DEFINE_config_file(
    "config", help_string="recipe: configs/NAME.py, or configs/NAME.py:VARIANT such as :quick"
)
WORKDIR = flags.DEFINE_string(
    "workdir", None, "folder of the run: made, or resumed; default: runs/NAME, or runs/NAME_VARIANT"
)
CACHE = flags.DEFINE_string("compilation_cache", None, "folder to keep compiled programs in")
DISTRIBUTED = flags.DEFINE_string(
    "distributed", None, "train in several processes: auto (TPU pod, Slurm, Open MPI, Kubernetes),"
    " or INDEX/COUNT@HOST:PORT",
)  # fmt: skip
RUNS = flags.DEFINE_list(
    "runs", None, "workdirs of runs, commas between; evaluate: default --workdir"
)
CHECKPOINT = flags.DEFINE_list("checkpoint", "newest", "of each run: newest, best, or its step")
TOPOLOGY = flags.DEFINE_string("topology", "local", "machine to plan for, as v5e:4x4, or local")
AT = flags.DEFINE_list("at", None, "Y,X: the position that looks, row and column from 0")
STATES = flags.DEFINE_list("states", None, "states to draw, as 1,4,12; default: four of them")
ORIGINAL = flags.DEFINE_string("original", None, "clean picture; without --input it is degraded")
INPUT = flags.DEFINE_string("input", None, "picture, or folder of pictures")
OUTPUT = flags.DEFINE_string(
    "output",
    None,
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
        (INPUT, OUTPUT, OVERWRITE, SCALE, MEMORY, MAX_MEGAPIXELS, EXACT, ENSEMBLE, PATCHES, STRIDE),
        ("input", "photos"),
    ),
    "explain": Mode(
        "draw what a network looks at from one position",
        "--config=configs/sr_x3.py:quick --original=PHOTO.png --at=120,80",
        (AT, STATES, INPUT, ORIGINAL, OUTPUT, OVERWRITE, SCALE),
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
HELP = ("--help", "-help", "-h", "--h", "-?", "--?", "--helpshort", "-helpshort")


def parse(argv: list[str]) -> list[str]:
    """Parse flags; what is wrong with them is one line and status 2."""
    if any(argument in HELP for argument in argv[1:]):
        print(usage(), flush=True)
        sys.exit(0)
    try:
        _require_config_file(argv)
        rest = flags.FLAGS(argv)
        if len(rest) > 1:
            raise flags.Error(f"unexpected {rest[1]!r}: flags are written --name=value")
        _require_needs()
    except (AttributeError, KeyError) as error:  # how ml_collections says so
        reason = error.args[0]
        reason = reason.args[0] if isinstance(reason, KeyError) else reason
        _refuse(f"the configuration has no such field: {reason}")
    except flags.Error as error:  # of an error inside a config file, only the last line helps
        _refuse(str(error).strip().splitlines()[-1])
    return rest


def usage() -> str:
    """Return what `--help` prints: the modes and every flag, grouped by mode."""
    lines = [
        "The Non-Local Recurrent Network: trained, scored, and at work on pictures.",
        "",
        "  python -m nlrn_jax.main --config=configs/NAME.py[:VARIANT] [--mode=MODE] [--FLAG=VALUE]",
        "",
        "In every mode",
        *_described(CONFIG),
        "  --config.SECTION.FIELD=VALUE",
        f"{'':27}a field of the recipe, as --config.train.steps=1000;",
        f"{'':27}configs/base.py says what each means",
        *_described(WORKDIR),
        *_described(MODE),
        *_described(CACHE),
    ]
    for name, mode in MODES.items():
        default = " (the default)" if name == MODE.default else ""
        lines += ["", f"--mode={name}{default}: {mode.does}"]
        lines.append(f"  python -m nlrn_jax.main {_of(name)}{mode.example}")
        for flag in mode.flags:
            lines += _described(flag)
    return "\n".join(lines)


def _of(name: str) -> str:
    return "" if name == MODE.default else f"--mode={name} "


def _described(flag: flags.FlagHolder) -> list[str]:
    """Return the lines of one flag: its name, and what it means."""
    defined = flags.FLAGS[flag.name]
    text = re.sub("^<(.*)>: ", r"\1: ", defined.help)  # of an enum
    if defined.boolean:
        return _columns(f"--{flag.name}", text)
    default = defined.default
    if default is not None and flag.name != "mode":
        shown = ",".join(default) if isinstance(default, list) else default
        text += f"; default: {shown}"
    return _columns(f"--{flag.name}=...", text)


def _columns(name: str, text: str) -> list[str]:
    first, *others = textwrap.wrap(text, 72)
    return [f"  {name:24} {first}", *(f"{'':27}{line}" for line in others)]


def workdir() -> Path:
    """Return the folder of the run: `--workdir`, or by the recipe runs/NAME[_VARIANT]."""
    if WORKDIR.value:
        return Path(WORKDIR.value)
    path, _, variant = recipe().partition(":")
    name = "_".join(filter(None, (Path(path).stem, re.sub(r"[^\w.-]+", "_", variant))))
    return Path("runs") / name


def recipe() -> str:
    """Return the recipe as it was named: configs/NAME.py, or configs/NAME.py:VARIANT."""
    return config_flags.get_config_filename(flags.FLAGS["config"])


def overridden() -> list[str]:
    """Return the fields of the configuration that the command line sets."""
    return config_flags.get_override_values(flags.FLAGS["config"])


def _require_config_file(argv: list[str]) -> None:
    # ml_collections would report a missing file only at the flag's first use, in three lines.
    for name in (arg.removeprefix("--config=") for arg in argv if arg.startswith("--config=")):
        if not Path(name.split(":")[0]).is_file():
            raise flags.Error(f"--config={name}: no such file; configs/ has the recipes")


def _require_needs() -> None:
    name, example = MODES[MODE.value].needs
    if flags.FLAGS[name].value in (None, "", []):
        raise flags.Error(f"--{name} is missing, as in --{name}={example}")
    example = "as in --workdir=runs/NAME"
    if WORKDIR.value is not None and not WORKDIR.value.strip():  # such as --workdir=$UNSET
        raise flags.Error(f"--workdir is empty: name a folder, {example}, or leave it out")
    if MODE.value == "compare" and WORKDIR.value is None:  # it belongs to no one run
        raise flags.Error(f"--workdir is missing, {example}")
    if MODE.value != "plan" and WORKDIR.value is None and CONFIG.value is None:
        raise flags.Error(
            f"--workdir is missing, {example}; or name the recipe of the run, as in "
            "--config=configs/NAME.py"
        )


def _refuse(message: str) -> None:
    print("error: " + " ".join(message.split()), file=sys.stderr, flush=True)
    sys.exit(2)


def integers(flag: flags.FlagHolder) -> list[int]:
    """Read a flag of whole numbers with commas between."""
    try:
        return [int(number) for number in flag.value]
    except ValueError:
        given = ",".join(flag.value)
        raise UserError(f"--{flag.name}={given}: whole numbers, with commas between") from None


def scale(config: ConfigDict) -> int:
    """Return the scale to restore by: 1 for a denoiser, else the only one, or that of --scale."""
    known = config.degrade.scales if config.task == "sr" else (1,)
    if SCALE.value is None and len(known) == 1:
        return known[0]
    if SCALE.value not in known:
        raise UserError(f"--scale={SCALE.value}: the network was trained for {known}; name one")
    return SCALE.value


def memory() -> int | None:
    """Read --memory, an amount as 4GiB or 500MiB, in bytes."""
    if MEMORY.value is None:
        return None
    text = MEMORY.value
    match = re.fullmatch(r"([\d.]+)([KMGT])i?B?", text.strip(), re.IGNORECASE)
    if not match:
        raise UserError(f"--memory={text}: write it as 4GiB or 500MiB")
    return int(float(match[1]) * 2 ** (10 * (1 + "KMGT".index(match[2].upper()))))


def command_for(mode: str) -> str:
    """Repeat the command as typed, with another mode."""
    dropped = ("--mode", "--config.data.eval", "--distributed")
    kept = [arg for arg in sys.argv[1:] if not arg.startswith(dropped)]
    return shlex.join(["python", "-m", "nlrn_jax.main", *kept, f"--mode={mode}"])
