"""Command line: python -m nlrn_jax.main --config=configs/sr_x3.py:quick."""

import os
import sys

from absl import app, logging

from nlrn_jax import config as configuration
from nlrn_jax import options
from nlrn_jax.allocator import use_huge_pages
from nlrn_jax.errors import NotFiniteError, UserError


def main(_) -> None:
    """Check the recipe, where --mode is of one and not of a run; then do what --mode says."""
    if options.MODES[options.MODE.value].needs[0] == "config":
        configuration.check(options.CONFIG.value)
    from nlrn_jax import modes  # and with it JAX: not before the flags are known to be right

    modes.run()


def run() -> None:
    """Run the program; an error that a user can mend is one line and status 1 or 2."""
    logging.set_verbosity(logging.FATAL)  # errors are raised, and shown once
    logging.set_stderrthreshold("error")
    app.run(_guarded, flags_parser=options.parse)


def _guarded(argv: list[str]) -> None:
    try:
        main(argv)
    except (UserError, NotFiniteError, OSError) as error:
        _fail(str(error), 1)
    except KeyboardInterrupt:
        _fail("interrupted; the same command goes on from the newest checkpoint", 130)
    except Exception as error:
        _end_of_a_run(error)


def _end_of_a_run(error: Exception) -> None:
    """End as a run that was told to stop, or that lost another process; else raise."""
    import jax

    from nlrn_jax.training.interruption import Interrupted

    if isinstance(error, Interrupted):
        if not jax.process_index():
            print(error, flush=True)
        sys.exit(error.status)
    if not (isinstance(error, jax.errors.JaxRuntimeError) and options.DISTRIBUTED.value):
        raise error
    reason = str(error).strip().partition("\n")[0]
    _fail(f"another process ended, or this one failed: {reason}; the same command goes on from the "
          "newest checkpoint", 1)  # fmt: skip


def _fail(message: str, status: int) -> None:
    print("error: " + " ".join(message.split()), file=sys.stderr, flush=True)
    if options.DISTRIBUTED.value:
        import jax

        if jax.distributed.is_initialized():  # at exit JAX would wait for processes that wait
            sys.stdout.flush()
            os._exit(status)
    sys.exit(status)


if __name__ == "__main__":
    use_huge_pages()
    run()
