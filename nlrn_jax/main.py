"""Command line: python -m nlrn_jax.main --config=configs/sr_x3.py:quick.

Nothing that takes its time is imported at the top: a signal is heeded from the first line on.
"""

import os
import sys

from nlrn_jax.errors import NotFiniteError, UserError, of_system
from nlrn_jax.training import interruption

BROKEN_PIPE = 141  # 128 + 13, as of a program that SIGPIPE ends


def start() -> None:
    """Be the program: heed signals at any moment, and `run`."""
    interruption.hold()
    from nlrn_jax.commands.allocator import use_huge_pages

    use_huge_pages()  # may start this program anew; a signal that is held arrives there
    interruption.listen()
    run()


def run() -> None:
    """Run the program; an error that a user can mend is one line and status 1 or 2."""
    _escape_what_cannot_be_printed()
    from absl import app, logging

    from nlrn_jax.commands import menu

    logging.set_verbosity(logging.FATAL)  # errors are raised, and shown once
    logging.set_stderrthreshold("error")
    try:
        app.run(_guarded, flags_parser=menu.parse)
    except BrokenPipeError:  # as by `| head -1`: nobody reads on
        _drop_output()
        sys.exit(BROKEN_PIPE)


def main(_) -> None:
    """Check the recipe, where --mode is of one and not of a run; then do what --mode says."""
    from nlrn_jax.commands import menu, options
    from nlrn_jax.config.checks import check

    needs = menu.MODES[menu.MODE.value].needs
    if needs and needs[0] == "config":
        check(options.CONFIG.value)
    if menu.MODE.value not in ("train", "study"):  # which say what they have saved
        interruption.tell("interrupted; the same command starts again")
    from nlrn_jax.commands import modes  # and with it JAX: not before the flags are right

    modes.run()


def _guarded(argv: list[str]) -> None:
    try:
        main(argv)
    except BrokenPipeError:
        raise
    except (UserError, NotFiniteError) as error:
        _fail(str(error), 1)
    except OSError as error:
        _fail(of_system(error), 1)
    except KeyboardInterrupt:  # where `run` is called by another program
        _fail("interrupted; the same command starts again", 130)
    except Exception as error:
        _end_of_a_run(error)


def _end_of_a_run(error: Exception) -> None:
    """End as a run that was told to stop, lacks memory, or lost another process; else raise."""
    import jax

    reason = str(error).strip().partition("\n")[0]
    if isinstance(error, interruption.Interrupted):
        if not jax.process_index():
            print(error, flush=True)
        sys.exit(error.status)
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in reason:
        _fail(f"out of memory: {reason or 'no more to be had'}; {_less_memory()}", 1)
    if not (isinstance(error, jax.errors.JaxRuntimeError) and jax.distributed.is_initialized()):
        raise error
    _fail(f"another process ended, or this one failed: {reason}; the same command goes on from the "
          "newest checkpoint", 1)  # fmt: skip


def _less_memory() -> str:
    from nlrn_jax.commands import menu

    match menu.MODE.value:
        case "restore":
            return "name less, as in --memory=500MiB"
        case "evaluate":
            return "lower --config.evaluate.batch or --config.evaluate.patch"
        case "explain":
            return "cut out a smaller picture around the position"
    return "lower --config.train.batch or --config.data.patch, or raise --config.train.accumulate"


def _fail(message: str, status: int) -> None:
    print("error: " + " ".join(message.split()), file=sys.stderr, flush=True)
    jax = sys.modules.get("jax")
    if jax and jax.distributed.is_initialized():  # at exit JAX would wait for processes that wait
        sys.stdout.flush()
        os._exit(status)
    sys.exit(status)


def _escape_what_cannot_be_printed() -> None:
    """Let a name print whatever it holds and the terminal lacks; and each line when it is said."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace", line_buffering=True)


def _drop_output() -> None:
    """Send what is still to be flushed where it harms nothing."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())


if __name__ == "__main__":
    start()
