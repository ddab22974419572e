"""The flags of the command line, and what they say."""

import re
import shlex
import sys
from pathlib import Path

from absl import flags
from ml_collections import ConfigDict, config_flags

from nlrn_jax.config import ConfigError

MODES = {  # and the flag that each cannot do without, with an example
    "train": ("config", "configs/sr_x3.py:quick"),
    "evaluate": ("config", "configs/sr_x3.py:quick"),
    "restore": ("input", "photos"),
    "explain": ("at", "120,80"),
    "compare": ("runs", "runs/a,runs/b"),
    "study": ("config", "configs/study_steps.py:quick"),
    "plan": ("config", "configs/sr_x3.py"),
}
CONFIG = config_flags.DEFINE_config_file("config", help_string="Recipe: configs/NAME.py[:quick]")
WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run: made, or resumed")
MODE = flags.DEFINE_enum("mode", "train", list(MODES), "What to do")
DISTRIBUTED = flags.DEFINE_string(
    "distributed", None, "Train in several processes: auto (TPU pod, Slurm, Open MPI, Kubernetes),"
    " or INDEX/COUNT@HOST:PORT",
)  # fmt: skip
CACHE = flags.DEFINE_string("compilation_cache", None, "Folder to keep compiled programs in")
# Of --mode=evaluate and compare:
RUNS = flags.DEFINE_list("runs", None, "Workdirs of runs, commas between; default: --workdir")
CHECKPOINT = flags.DEFINE_list("checkpoint", "newest", "Of each run: newest, best, or its step")
# Of --mode=plan:
TOPOLOGY = flags.DEFINE_string("topology", "local", "Machine to plan for, as v5e:4x4, or local")
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


def parse(argv: list[str]) -> list[str]:
    """Parse flags; what is wrong with them is one line and status 2."""
    try:
        _require_config_file(argv)
        rest = flags.FLAGS(argv)
        if len(rest) > 1:
            raise flags.Error(f"unexpected {rest[1]!r}: flags are written --name=value")
        workdir = [] if MODE.value == "plan" else [("workdir", "runs/NAME")]
        for name, example in (MODES[MODE.value], *workdir):
            if flags.FLAGS[name].value in (None, "", []):
                raise flags.Error(f"--{name} is missing, as in --{name}={example}")
    except (AttributeError, KeyError) as error:  # how ml_collections says so
        reason = error.args[0]
        reason = reason.args[0] if isinstance(reason, KeyError) else reason
        _refuse(f"the configuration has no such field: {reason}")
    except flags.Error as error:  # of an error inside a config file, only the last line helps
        _refuse(str(error).strip().splitlines()[-1])
    return rest


def _require_config_file(argv: list[str]) -> None:
    # ml_collections would report a missing file only at the flag's first use, in three lines.
    for name in (arg.removeprefix("--config=") for arg in argv if arg.startswith("--config=")):
        if not Path(name.split(":")[0]).is_file():
            raise flags.Error(f"--config={name}: no such file; configs/ has the recipes")


def _refuse(message: str) -> None:
    print("error: " + " ".join(message.split()), file=sys.stderr, flush=True)
    sys.exit(2)


def integers(flag) -> list[int]:
    """Read a flag of whole numbers with commas between."""
    try:
        return [int(number) for number in flag.value]
    except ValueError:
        given = ",".join(flag.value)
        raise ConfigError(f"--{flag.name}={given}: whole numbers, with commas between") from None


def scale(config: ConfigDict) -> int:
    """Return the scale to restore by: 1 for a denoiser, else the only one, or that of --scale."""
    known = config.degrade.scales if config.task == "sr" else (1,)
    if SCALE.value is None and len(known) == 1:
        return known[0]
    if SCALE.value not in known:
        raise ConfigError(f"--scale={SCALE.value}: the network was trained for {known}; name one")
    return SCALE.value


def memory() -> int | None:
    """Read --memory, an amount as 4GiB or 500MiB, in bytes."""
    if MEMORY.value is None:
        return None
    text = MEMORY.value
    match = re.fullmatch(r"([\d.]+)([KMGT])i?B?", text.strip(), re.IGNORECASE)
    if not match:
        raise ConfigError(f"--memory={text}: write it as 4GiB or 500MiB")
    return int(float(match[1]) * 2 ** (10 * (1 + "KMGT".index(match[2].upper()))))


def command_for(mode: str) -> str:
    """Repeat the command as typed, with another mode."""
    dropped = ("--mode", "--config.data.eval", "--distributed")
    kept = [arg for arg in sys.argv[1:] if not arg.startswith(dropped)]
    return shlex.join(["python", "-m", "nlrn_jax.main", *kept, f"--mode={mode}"])
