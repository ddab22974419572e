"""The devices of this process, and several processes that train together as one run."""

import logging
import os
import re
import socket

import jax

from nlrn_jax.errors import UserError

HEARTBEAT_SECONDS = 30  # after so long without a sign of life a process counts as dead
SHUTDOWN_SECONDS = 60  # so long a process that has finished waits for the others

NVIDIA = ("/dev/nvidia0", "/dev/nvidiactl", "/dev/dxg", "/proc/driver/nvidia/version")
FOR_GPUS = 'pip install -U "jax[cuda13]"'  # the CUDA that launch/ names


def find_devices() -> str | None:
    """Let JAX find its devices, after `join`.

    Returns:
      A warning where there is an NVIDIA GPU that JAX does not use though nobody said so, or None.

    Raises:
      UserError: there is none, or none of those that JAX_PLATFORMS asks for.
    """
    asked = os.environ.get("JAX_PLATFORMS", "")
    said = _Sayings()
    logger = logging.getLogger("jax._src.xla_bridge")
    logger.addHandler(said)
    try:
        backend = jax.default_backend()
    except (RuntimeError, AssertionError) as error:
        reason = " ".join(str(error).partition(" (")[0].split()) or "no such device is here"
        mend = "JAX_PLATFORMS=cpu computes on the CPU"
        if re.search("cuda|gpu", asked):
            mend += f", and {FOR_GPUS} installs JAX for NVIDIA GPUs"
        raise UserError(f"JAX_PLATFORMS={asked}: {reason}; {mend}") from error
    finally:
        logger.removeHandler(said)
    if backend != "cpu" or jax.config.jax_platforms or not any(map(os.path.exists, NVIDIA)):
        return None
    failed = f" ({said.failure})" if said.failure else ""
    return (
        f"warning: this machine has an NVIDIA GPU, but JAX computes on the CPU{failed}: "
        f"{FOR_GPUS}; JAX_PLATFORMS=cpu says that the CPU is meant"
    )


class _Sayings(logging.Handler):
    """Keeps why JAX could not use a GPU that it is installed for."""

    failure = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line that tells of a failure."""
        if "failed to initialize" in record.getMessage():
            self.failure = " ".join(record.getMessage().split())


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
    if where.get("process_id") == 0:
        _require_free(place)
    try:
        jax.distributed.initialize(
            **where,
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
            shutdown_timeout_seconds=SHUTDOWN_SECONDS,
        )
    except (ValueError, RuntimeError) as error:
        raise UserError(f"--distributed={place}: {error}") from error


def _require_free(place: str) -> None:
    port = int(place.rpartition(":")[2])
    try:
        socket.create_server(("", port)).close()
    except (OSError, OverflowError) as error:
        raise UserError(
            f"--distributed={place}: cannot listen at port {port} ({error}); name another port, "
            "the same in all processes"
        ) from error
