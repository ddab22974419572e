"""Command line: python -m nlrn_jax.main --config=configs/sr_x3.py:quick --workdir=runs/x."""

import os
import sys
from pathlib import Path

import jax
from absl import app, logging

from nlrn_jax import config as configuration
from nlrn_jax import modes, options
from nlrn_jax.allocator import use_huge_pages
from nlrn_jax.config import ConfigError
from nlrn_jax.data.pixels import ImageError
from nlrn_jax.data.sources import SourceError
from nlrn_jax.looking.report import ReportError
from nlrn_jax.network.mesh import DevicesError, join
from nlrn_jax.training.checkpoints import CheckpointError, meet
from nlrn_jax.training.interruption import Interrupted
from nlrn_jax.training.loop import NotFiniteError

OF_A_RECIPE = {
    "train": modes.run_training,
    "evaluate": modes.run_evaluation,
    "study": modes.run_study,
}
OF_A_RUN = {
    "restore": modes.run_restoration,
    "explain": modes.run_explanation,
    "compare": modes.run_comparison,
}

# What a user can mend: shown as one line. Anything else is our mistake and keeps its traceback.
USER_ERRORS = (
    ConfigError, DevicesError, SourceError, ImageError, CheckpointError, NotFiniteError,
    ReportError, OSError,
)  # fmt: skip


def main(_) -> None:
    """Check everything, then do what --mode says."""
    mode = options.MODE.value
    if mode not in OF_A_RUN:
        configuration.check(options.CONFIG.value)
    if options.CACHE.value:
        jax.config.update("jax_compilation_cache_dir", options.CACHE.value)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    if options.DISTRIBUTED.value:
        join(options.DISTRIBUTED.value)
    if mode == "train" or modes.is_first():
        _act(mode)
    if options.DISTRIBUTED.value:
        meet("finished")  # the first process scores alone, and the others stay alive so long


def _act(mode: str) -> None:
    if mode == "plan":
        modes.run_plan(options.CONFIG.value)
    elif mode in OF_A_RUN:
        OF_A_RUN[mode](Path(options.WORKDIR.value))
    else:
        OF_A_RECIPE[mode](options.CONFIG.value, Path(options.WORKDIR.value))


def run() -> None:
    """Run the program; an error that a user can mend is one line and status 1 or 2."""
    logging.set_verbosity(logging.FATAL)  # errors are raised, and shown once
    logging.set_stderrthreshold("error")

    def guarded(argv):
        try:
            main(argv)
        except Interrupted as interrupted:
            if modes.is_first():
                print(interrupted, flush=True)
            sys.exit(interrupted.status)
        except USER_ERRORS as error:
            _fail(str(error), 1)
        except jax.errors.JaxRuntimeError as error:
            if not options.DISTRIBUTED.value:
                raise
            reason = str(error).strip().partition("\n")[0]
            _fail(f"another process ended, or this one failed: {reason}; the same command goes on "
                  "from the newest checkpoint", 1)  # fmt: skip
        except KeyboardInterrupt:
            _fail("interrupted; the same command goes on from the newest checkpoint", 130)

    app.run(guarded, flags_parser=options.parse)


def _fail(message: str, status: int) -> None:
    print("error: " + " ".join(message.split()), file=sys.stderr, flush=True)
    if jax.distributed.is_initialized():  # at exit JAX would wait for processes that wait for us
        sys.stdout.flush()
        os._exit(status)
    sys.exit(status)


if __name__ == "__main__":
    use_huge_pages()
    run()
