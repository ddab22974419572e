"""The modes, which flags each obeys, and --help. Imports no JAX: it answers at once."""

import re
import sys
from typing import NamedTuple

from absl import flags

from nlrn_jax.commands import arguments, options, recipe


class Mode(NamedTuple):
    """A mode of the program, as `--help` shows it.

    Attributes:
      does: one sentence.
      example: the rest of its command line.
      flags: names of its own, besides those of every mode.
      needs: the flag that it cannot do without, with an example; None: there is none.
    """

    does: str
    example: str
    flags: tuple[str, ...]
    needs: tuple[str, str] | None


RESTORING = (
    "weights", "checkpoint", "input", "output", "format", "quality", "overwrite", "skip", "compare",
    "strength", "scale", "memory", "max_megapixels", "exact", "ensemble", "patches", "stride",
)  # fmt: skip
EXPLAINING = (
    "weights", "checkpoint", "at", "states", "input", "original", "output", "overwrite", "scale",
    "max_megapixels",
)  # fmt: skip
MODES = {
    "train": Mode(
        "train, or go on where a run was stopped; then score it",
        "--config=configs/sr_x3.py:quick --config.data.train=folder:PHOTOS",
        ("distributed",),
        ("config", "configs/sr_x3.py:quick"),
    ),
    "evaluate": Mode(
        "score networks on benchmarks; write tables, pictures and report.html",
        "--config=configs/sr_x3.py:quick --config.data.root=TESTSETS --config.data.eval=set5",
        ("runs", "weights", "checkpoint"),
        ("config", "configs/sr_x3.py:quick"),
    ),
    "restore": Mode(
        "restore pictures, with the weights that came with the program or those of a run",
        "--input=PHOTOS",
        RESTORING,
        ("input", "photos"),
    ),
    "explain": Mode(
        "draw what a network looks at from one position",
        "--config=configs/sr_x3.py:quick --original=PHOTO.png --at=120,80",
        EXPLAINING,
        ("at", "120,80"),
    ),
    "compare": Mode(
        "lay runs side by side: a table, and their curves",
        "--runs=runs/a,runs/b --workdir=runs/compared",
        ("runs",),
        ("runs", "runs/a,runs/b"),
    ),
    "study": Mode(
        "train the members of a study one after another, and draw what they reach",
        "--config=configs/study_steps.py:quick --config.data.train=folder:PHOTOS",
        (),
        ("config", "configs/study_steps.py:quick"),
    ),
    "weights": Mode(
        "list the weights that came with the program, and what they reach", "", (), None
    ),
    "export": Mode(
        "write the network of a run as one file: its weights, or a program that JAX alone runs",
        "--workdir=RUN --output=NAME.safetensors",
        ("weights", "checkpoint", "output", "overwrite", "format"),
        ("output", "name.safetensors"),
    ),
    "import": Mode(
        "make weights of a checkpoint of the authors' TensorFlow programs",
        "--checkpoint=PREFIX --output=NAME.safetensors",
        ("checkpoint", "output", "overwrite"),
        ("output", "name.safetensors"),
    ),
    "plan": Mode(
        "say what training takes on a machine that need not be there",
        "--config=configs/sr_x3.py --topology=v5e:4x4",
        ("topology",),
        ("config", "configs/sr_x3.py"),
    ),
}
MODE = flags.DEFINE_enum("mode", "train", list(MODES), "what to do")
HELP = {"help", "helpshort", "helpfull", "helpxml", "h", "?"}


def parse(argv: list[str]) -> list[str]:
    """Parse flags; what is wrong with them is one line and status 2."""
    if argv[1:2] == ["help"] or HELP & {w.strip("-").split("=")[0] for w in argv if w[:1] == "-"}:
        print(usage(), flush=True)
        sys.exit(0)
    try:
        options.ARGUMENTS[:] = arguments.completed(argv[1:])
        _require_recipe()
        _, *words = flags.FLAGS([argv[0], *options.ARGUMENTS])
        if words:
            meant = f"--mode={words[0]}" if words[0] in MODES else "--name=value"
            raise flags.Error(f"unexpected {words[0]!r}: flags are written {meant}")
        _require_needs()
        _require_obeyed()
    except (flags.Error, ValueError) as error:
        refuse(str(error))
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
        *arguments.described("config"),
        "  --config.SECTION.FIELD=VALUE",
        f"{'':27}a field of the recipe, as --config.train.steps=1000;",
        f"{'':27}{recipe.shipped()}/base.py says what each means",
        *arguments.described("workdir"),
        *arguments.described("mode"),
        *arguments.described("compilation_cache"),
    ]
    for name, mode in MODES.items():
        default = " (the default)" if name == MODE.default else ""
        lines += ["", f"--mode={name}{default}: {mode.does}"]
        lines.append(f"  {program} {_of(name)}{mode.example}".rstrip())
        for flag in mode.flags:
            lines += arguments.described(flag)
    return "\n".join(lines)


def _of(name: str) -> str:
    return "" if name == MODE.default else f"--mode={name} "


def _require_recipe() -> None:
    """Refuse fields of a recipe where none is named, before absl calls them unknown flags."""
    words = options.ARGUMENTS
    fields = arguments.given_fields(words)
    if fields and not any(word.startswith("--config=") for word in words):
        raise flags.Error(
            f"--config.{fields[0]} is a field of a recipe: name that too, --config=configs/NAME.py "
            "(--mode=restore and explain take the run's own, and no fields)"
        )


def _require_needs() -> None:
    name, example = MODES[MODE.value].needs or ("mode", "")
    if flags.FLAGS[name].value in (None, []):
        other = "; or name the run: --workdir=RUN" if MODE.value == "evaluate" else ""
        raise flags.Error(f"--{name} is missing, as in --{name}={example}{other}; or see --help")
    example, study = "as in --workdir=runs/NAME", example
    if MODE.value == "compare" and options.WORKDIR.value is None:  # it belongs to no one run
        raise flags.Error(f"--workdir is missing, {example}")
    named = options.WORKDIR.value or options.WEIGHTS.value or options.CONFIG.value
    if MODE.value == "import" and not flags.FLAGS["checkpoint"].present:
        raise flags.Error("--checkpoint is missing: what is before .index, or an .npz")
    if MODE.value not in ("plan", "weights", "restore", "import") and not named:
        of_any = MODE.value in ("explain", "export")
        weights = "; or weights, as in --weights=denoise" if of_any else ""
        raise flags.Error(
            f"--workdir is missing, {example}; or name the recipe of the run, as in "
            f"--config=configs/NAME.py{weights}"
        )
    several = MODE.value == "evaluate" and len(options.RUNS.value or []) > 1
    recipe_name = options.recipe_name() if options.CONFIG.value else ""
    if MODE.value == "study" and recipe_name.endswith(".json"):
        raise flags.Error(f"--config={recipe_name} is of one run; a study is as --config={study}")
    if several and options.WORKDIR.value is None and not options.is_by_recipe():
        raise flags.Error("--workdir is missing, for results of several --runs: name a folder")


def _require_obeyed() -> None:
    """Refuse flags that the mode would not obey, by itself or beside the others."""
    mode = MODE.value
    own = {name for other in MODES.values() for name in other.flags}
    for name in sorted(own - set(MODES[mode].flags)):
        if flags.FLAGS[name].present:
            modes = [other for other in MODES if name in MODES[other].flags]
            raise flags.Error(
                f"--{name} is a flag of --mode={' and --mode='.join(modes)}: --mode={mode} does "
                "not obey it; leave it out"
            )
    fields = [f"config.{name}" for name in options.overridden()]
    if mode == "compare" and options.CONFIG.value:
        fields.append("config")
    if fields and mode in ("restore", "explain", "compare", "export"):
        raise flags.Error(
            f"--{fields[0]}: --mode={mode} reads the run's own configuration; leave it out"
        )
    _require_sense(mode)


def _require_sense(mode: str) -> None:
    """Refuse values of flags that say nothing, or nothing together."""
    # evaluating, a recipe says how to score, and may be that of another network
    of_a_run = mode != "evaluate" and options.CONFIG.value
    if options.WEIGHTS.value and (options.WORKDIR.value or options.RUNS.value or of_a_run):
        raise flags.Error("--weights and a run are two networks: leave one of them out")
    if options.PATCHES.value is None and flags.FLAGS["stride"].present:
        raise flags.Error("--stride lies between patches: name their side too, as in --patches=45")
    if options.PATCHES.value and options.EXACT.value:
        raise flags.Error("--exact is of tiles, and --patches takes none: leave one of them out")
    own = options.NETWORKS if mode == "export" else options.PICTURES
    if options.FORMAT.value not in (None, *own):
        raise flags.Error(f"--format={options.FORMAT.value}: --mode={mode} has {', '.join(own)}")
    if options.SKIP.value and options.OVERWRITE.value:
        raise flags.Error("--skip leaves results alone, --overwrite replaces them: leave one out")
    if options.DISTRIBUTED.value == "":  # such as --distributed=$UNSET: each would train by itself
        raise flags.Error("--distributed is empty: write auto, or INDEX/COUNT@HOST:PORT")
    for name, value in options.overridden().items():
        if value is None and name != "model.neighborhood":
            raise flags.Error(f"--config.{name}=None: a value is needed")
    wanted = len(options.CHECKPOINT.value) == 1 or mode == "evaluate"
    if not (wanted and options.CHECKPOINT.value and all(options.CHECKPOINT.value)):
        several = "" if mode != "evaluate" else ", or several with commas between"
        given = ",".join(options.CHECKPOINT.value)
        raise flags.Error(f"--checkpoint={given}: name one, newest, best or its step{several}")


def refuse(message: str) -> None:
    """End with the line that says what is wrong with the flags, and status 2."""
    message = re.sub(r"\('Non-boolean argument.*", "true or false is needed", message)  # absl's
    print("error: " + " ".join(message.split()), file=sys.stderr, flush=True)
    sys.exit(2)
