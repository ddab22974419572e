"""Several processes that train together as one run, each with its own devices."""

import re

import jax

from nlrn_jax.errors import UserError

HEARTBEAT_SECONDS = 30  # after so long without a sign of life a process counts as dead
SHUTDOWN_SECONDS = 60  # so long a process that has finished waits for the others


def join(place: str) -> None:
    """Join the processes that train together, before anything else touches a device.

    Args:
      place: 'auto' where the cluster tells each process its place (TPU pod, Slurm, Open MPI,
        Kubernetes), or 'INDEX/COUNT@HOST:PORT', where process 0 listens at HOST:PORT.

    Raises:
      UserError: `place` is neither, or the others did not come.
    """
    if place == "auto":
        where = {}
    elif match := re.fullmatch(r"(\d+)/(\d+)@(.+:\d+)", place):
        where = {
            "process_id": int(match[1]), "num_processes": int(match[2]),
            "coordinator_address": match[3],
        }  # fmt: skip
    else:
        raise UserError(f"--distributed={place}: should be auto, or as 0/2@127.0.0.1:1234")
    try:
        jax.distributed.initialize(
            **where,
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
            shutdown_timeout_seconds=SHUTDOWN_SECONDS,
        )
    except (ValueError, RuntimeError) as error:
        raise UserError(f"--distributed={place}: {error}") from error
