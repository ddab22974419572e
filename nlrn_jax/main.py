"""Command line: python -m nlrn_jax.main --config=configs/sr_x3.py:quick --workdir=runs/x."""

import functools
import os
import re
import shlex
import sys
from pathlib import Path

import jax
from absl import app, flags, logging
from ml_collections import ConfigDict, config_flags

from nlrn_jax import config as configuration
from nlrn_jax.allocator import use_huge_pages
from nlrn_jax.checkpoints import CheckpointError, claim_workdir, load, meet, read_config
from nlrn_jax.config import ConfigError
from nlrn_jax.devices import DevicesError, join
from nlrn_jax.evaluate import evaluate, read_benchmarks
from nlrn_jax.files import find_jobs, restore_files
from nlrn_jax.image import ImageError
from nlrn_jax.interruption import Interrupted
from nlrn_jax.patches import restore_patches
from nlrn_jax.restore import average_views, restore, restore_by
from nlrn_jax.sources import Image, SourceError, hold_out, read_images, require_size
from nlrn_jax.train import NotFiniteError, train

CONFIG = config_flags.DEFINE_config_file("config", help_string="Recipe: configs/NAME.py[:quick]")
WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run: made, or resumed")
MODE = flags.DEFINE_enum("mode", "train", ["train", "evaluate", "restore"], "What to do")
DISTRIBUTED = flags.DEFINE_string(
    "distributed", None, "Train in several processes: auto (TPU pod, Slurm, Open MPI, Kubernetes),"
    " or INDEX/COUNT@HOST:PORT",
)  # fmt: skip
CACHE = flags.DEFINE_string("compilation_cache", None, "Folder to keep compiled programs in")
# Of --mode=restore:
INPUT = flags.DEFINE_string("input", None, "Picture, or folder of pictures, to restore")
OUTPUT = flags.DEFINE_string("output", None, "File or folder; default: beside the input")
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
    ConfigError, DevicesError, SourceError, ImageError, CheckpointError, NotFiniteError, OSError,
)  # fmt: skip


def main(_) -> None:
    """Check everything, then do what --mode says."""
    workdir = Path(WORKDIR.value)
    if MODE.value != "restore":
        configuration.check(CONFIG.value)
    if CACHE.value:
        jax.config.update("jax_compilation_cache_dir", CACHE.value)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    if DISTRIBUTED.value:
        join(DISTRIBUTED.value)
    actions = {"train": run_training, "evaluate": run_evaluation, "restore": run_restoration}
    if MODE.value == "train" or _is_first():
        actions[MODE.value](CONFIG.value, workdir)
    if DISTRIBUTED.value:
        meet("finished")  # the first process scores alone, and the others stay alive so long


def run_training(config: ConfigDict, workdir: Path) -> None:
    """Train, score the result, and say where everything is."""
    training, held_out = hold_out(read_images(config.data.train), config.data.holdout)
    require_size(training, _patch_side(config), "data.patch")
    benchmarks = _benchmarks(config, held_out)
    if config.data.train == "samples" and config.train.steps > 10_000 and _is_first():
        print(f"warning: {len(training)} sample photographs are few for a full run; name your own:"
              " --config.data.train=folder:PATH[,folder:PATH]", flush=True)  # fmt: skip
    train(config, workdir, training, held_out)
    if not _is_first():
        return
    _score(config, workdir, benchmarks)
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
    """Score the newest checkpoint of a workdir."""
    if not (workdir / "config.json").exists():
        raise CheckpointError(f"{workdir} is not the folder of a run; train it first")
    claim_workdir(workdir, config)
    held_out = []
    if not config.data.eval:
        _, held_out = hold_out(read_images(config.data.train), config.data.holdout)
    _score(config, workdir, _benchmarks(config, held_out))
    print(f"pictures and figures are in {workdir}/evaluation", flush=True)


def run_restoration(_: ConfigDict | None, workdir: Path) -> None:
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


def _is_first() -> bool:
    """Return whether this process is the one that speaks and scores."""
    return not DISTRIBUTED.value or jax.process_index() == 0


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


def _benchmarks(config: ConfigDict, held_out: list[Image]) -> dict[str, list[Image]]:
    """Read what is going to be scored, and refuse now what could not be scored then."""
    benchmarks = read_benchmarks(config, held_out)
    for images in (held_out, *benchmarks.values()):
        require_size(images, _scored_side(config), "scoring")
    return benchmarks


def _score(config, workdir, benchmarks) -> None:
    if not benchmarks:
        print("nothing is held out and data.eval is empty: nothing to score", flush=True)
        return
    model, variables = load(workdir)
    evaluate(model, variables, config, benchmarks, workdir / "evaluation")


def _patch_side(config: ConfigDict) -> int:
    """Return the side an image needs: the patch, in whole low-resolution pixels."""
    patch = config.data.patch
    if config.task == "denoise":
        return patch
    return max(-(-patch // scale) * scale for scale in config.degrade.scales)


def _scored_side(config: ConfigDict) -> int:
    """Return the side an image needs: the 11 pixels of SSIM, for super-resolution after a shave.

    In whole low-resolution pixels; `metrics.py` has the protocols.
    """
    if config.task == "denoise":
        return 11
    return max((-(-11 // scale) + 2) * scale for scale in config.degrade.scales)


def _command(mode: str) -> str:
    """Repeat the command as typed, with another mode."""
    dropped = ("--mode", "--config.data.eval", "--distributed")
    kept = [arg for arg in sys.argv[1:] if not arg.startswith(dropped)]
    return shlex.join(["python", "-m", "nlrn_jax.main", *kept, f"--mode={mode}"])


def parse(argv: list[str]) -> list[str]:
    """Parse flags; what is wrong with them is one line and status 2."""
    try:
        _require_config_file(argv)
        rest = flags.FLAGS(argv)
        if len(rest) > 1:
            raise flags.Error(f"unexpected {rest[1]!r}: flags are written --name=value")
        source = (
            (INPUT, "photos") if MODE.value == "restore" else (CONFIG, "configs/sr_x3.py:quick")
        )
        for flag, example in (source, (WORKDIR, "runs/NAME")):
            if flag.value in (None, ""):
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
    logging.set_verbosity(logging.FATAL)  # errors are raised, and shown once
    logging.set_stderrthreshold("error")

    def guarded(argv):
        try:
            main(argv)
        except Interrupted as interrupted:
            if _is_first():
                print(interrupted, flush=True)
            sys.exit(interrupted.status)
        except USER_ERRORS as error:
            _fail(str(error), 1)
        except jax.errors.JaxRuntimeError as error:
            if not DISTRIBUTED.value:
                raise
            reason = str(error).strip().partition("\n")[0]
            _fail(f"another process ended, or this one failed: {reason}; the same command goes on "
                  "from the newest checkpoint", 1)  # fmt: skip
        except KeyboardInterrupt:
            _fail("interrupted; the same command goes on from the newest checkpoint", 130)

    app.run(guarded, flags_parser=parse)


def _fail(message: str, status: int) -> None:
    print("error: " + " ".join(message.split()), file=sys.stderr, flush=True)
    if jax.distributed.is_initialized():  # at exit JAX would wait for processes that wait for us
        sys.stdout.flush()
        os._exit(status)
    sys.exit(status)


if __name__ == "__main__":
    use_huge_pages()
    run()
