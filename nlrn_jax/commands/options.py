"""The flags of the command line, and what they hold."""

import re
from pathlib import Path

from absl import flags
from ml_collections import ConfigDict, config_flags

from nlrn_jax.commands import arguments, recipe
from nlrn_jax.errors import UserError
from nlrn_jax.exchanging import shipped
from nlrn_jax.exchanging.file import ENDING, NAME

# What is parsed, see `arguments.completed`; ml_collections too looks for --config.FIELD in it. Of
# the command line itself it would read flag files as soon as this is imported.
ARGUMENTS: list[str] = []


class _Recipe(flags.ArgumentParser):
    """Loads what --config names, and knows which of its fields may be set."""

    def parse(self, argument: str) -> ConfigDict:
        try:
            config = recipe.load(argument)
            recipe.require_fields(config, arguments.given_fields(ARGUMENTS))
        except UserError as error:  # a ValueError would get the whole flag before it
            raise flags.Error(str(error)) from error
        return config.lock()


def _define_place(name: str, text: str) -> flags.FlagHolder:
    return flags.DEFINE(arguments.Place(), name, None, text)


CONFIG = config_flags.DEFINE_config_file(
    "config",
    help_string="recipe: configs/NAME.py, or configs/NAME.py:VARIANT such as :quick",
    sys_argv=ARGUMENTS,
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
WEIGHTS = _define_place(
    "weights", "network instead of a run's: a shipped name (--mode=weights), or FILE.safetensors"
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
PICTURES = ["png", "jpeg", "jpg", "tiff", "tif", "webp", "bmp"]
NETWORKS = ["safetensors", "stablehlo"]
FORMAT = flags.DEFINE_enum(
    "format", None, [*PICTURES, *NETWORKS],
    "of the results; default: that of each picture; export: safetensors or stablehlo",
)  # fmt: skip
QUALITY = flags.DEFINE_integer(
    "quality", None, "of JPEG and WebP, 1 to 100; default: 95, and WebP without loss",
    lower_bound=1, upper_bound=100,
)  # fmt: skip
SKIP = flags.DEFINE_bool("skip", False, "leave results that are there alone, whatever they hold")
COMPARE = flags.DEFINE_bool("compare", False, "write one page to look at them before and after")
SCALE = flags.DEFINE_integer("scale", None, "which scale, of a network trained for several")
MEMORY = flags.DEFINE_string("memory", None, "budget, as 4GiB; default: 4GiB or half of the free")
EXACT = flags.DEFINE_bool("exact", False, "let tiles overlap by all of a pixel's reach")
ENSEMBLE = flags.DEFINE_bool("ensemble", False, "average over the eight flips and turns")
STRENGTH = flags.DEFINE(
    arguments.Share(), "strength", 1.0, "how far to restore; 0 leaves the picture as it is"
)
MAX_MEGAPIXELS = flags.DEFINE_float(
    "max_megapixels", 135, "of a picture; one that says more is taken for damage", lower_bound=0
)
PATCHES = flags.DEFINE_integer(
    "patches", None, "the published way: side of overlapping patches, pixels", lower_bound=1
)
STRIDE = flags.DEFINE_integer("stride", 7, "between patches, pixels", lower_bound=1)


def network() -> str | None:
    """Return where the network lies that is used: a run, or weights; None where none is named."""
    if WEIGHTS.value or WORKDIR.value:
        return WEIGHTS.value or WORKDIR.value
    return str(workdir()) if CONFIG.value else None


def workdir() -> Path:
    """Return the folder of the run: `--workdir`, or by the recipe runs/NAME[_VARIANT]."""
    if WORKDIR.value:
        return Path(WORKDIR.value)
    path, variant = recipe.find(recipe_name())
    if not is_by_recipe():
        return path.parent
    name = "_".join((path.stem, *(re.sub(r"[^\w.-]+", "_", word) for word in variant if word)))
    return Path("runs") / name


def drawn() -> Path:
    """Return the folder for what is drawn of a network: its own, or runs/weights_NAME of a file."""
    place = WORKDIR.value or WEIGHTS.value
    weights = shipped.file_of(place) if place else recipe.find(recipe_name())[0]
    if weights is None or weights.suffix in (".py", ".json"):
        return workdir()
    if weights.is_dir():
        return weights
    return Path("runs") / f"weights_{weights.parent.name if weights.name == NAME else weights.stem}"


def is_by_recipe() -> bool:
    """Return whether the folder of the run is none that the command line names."""
    if WORKDIR.value or WEIGHTS.value or CONFIG.value is None:
        return False
    return not recipe_name().endswith((".json", ENDING))


def recipe_file() -> str:
    """Return where the recipe is found: PATH.py, or PATH.py:VARIANT."""
    path, variant = recipe.find(recipe_name())
    return ":".join((str(path), *variant))


def recipe_name() -> str:
    """Return what --config names."""
    return config_flags.get_config_filename(flags.FLAGS["config"])


def overridden() -> dict[str, object]:
    """Return the fields of the configuration that the command line sets, and their values."""
    return config_flags.get_override_values(flags.FLAGS["config"]) if CONFIG.value else {}


def scale(config: ConfigDict) -> int:
    """Return the scale to restore by: 1 for a denoiser, else the only one, or that of --scale."""
    known = config.degrade.scales if config.task == "sr" else (1,)
    if SCALE.value is None and len(known) == 1:
        return known[0]
    if SCALE.value is None:
        raise UserError(
            f"--scale is missing: the network was trained to enlarge by {known}; name one, or take "
            "weights that denoise (--mode=weights)"
        )
    if SCALE.value not in known:
        enlarges = f"was trained for {known}; name one"
        denoises = "denoises; leave it out, or take weights that enlarge (--mode=weights)"
        raise UserError(
            f"--scale={SCALE.value}: the network {enlarges if known[0] > 1 else denoises}"
        )
    return SCALE.value


def max_pixels() -> int:
    """Read --max_megapixels, in pixels; 'inf' is any number."""
    megapixels = MAX_MEGAPIXELS.value
    if not megapixels > 0:  # NaN too
        raise UserError(f"--max_megapixels={megapixels}: should be above 0, as 200")
    return round(min(megapixels, 1e9) * 1e6)


def memory() -> int | None:
    """Read --memory, an amount as 4GiB or 500MiB, in bytes."""
    if MEMORY.value is None:
        return None
    text = MEMORY.value
    match = re.fullmatch(r"(\d+\.?\d*|\.\d+)([KMGT])i?B?", text.strip(), re.IGNORECASE)
    if not match:
        raise UserError(f"--memory={text}: write it as 4GiB or 500MiB")
    return int(float(match[1]) * 2 ** (10 * (1 + "KMGT".index(match[2].upper()))))
