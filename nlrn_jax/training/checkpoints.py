"""Checkpoints by Orbax: weights, optimiser, statistics, step and configuration.

All of Orbax is here, since its API is about to move. A checkpoint is complete or absent: it is
written beside its place, by a thread, and renamed. Of each run the newest few are kept, and the
best by validation PSNR. The step says where the data go on: see `data/batches.py`.
"""

import contextlib
from pathlib import Path

import jax
import orbax.checkpoint as ocp
from ml_collections import ConfigDict
from orbax.checkpoint import checkpoint_managers

from nlrn_jax.errors import UserError
from nlrn_jax.training.state import TrainState


class Checkpoints:
    """The checkpoints of one workdir; a context manager that waits for the last write.

    Args:
      workdir: folder of the run; the checkpoints are in `checkpoints/STEP`.
      keep: number of newest ones kept, besides the best.
      read_only: never write, for evaluation beside a training run, by this process alone.
    """

    def __init__(self, workdir: str | Path, keep: int, read_only: bool = False):
        policies = checkpoint_managers.AnyPreservationPolicy(
            [
                checkpoint_managers.LatestN(keep),
                checkpoint_managers.BestN(
                    get_metric_fn=_psnr, n=1, keep_checkpoints_without_metrics=False
                ),
            ]
        )
        options = ocp.CheckpointManagerOptions(
            preservation_policy=policies,
            best_fn=_psnr,
            read_only=read_only,
            multiprocessing_options=_alone() if read_only else _together(),
            create=not read_only,
            cleanup_tmp_directories=not read_only,  # what a killed save left behind
        )
        self._folder = (Path(workdir) / "checkpoints").absolute()
        self._manager = ocp.CheckpointManager(self._folder, options=options)

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind: type | None = None, *_) -> None:
        lost = kind is not None and issubclass(kind, jax.errors.JaxRuntimeError)
        if lost and jax.process_count() > 1:
            return  # a process is gone, and what is being written would wait for it
        with _said_in_one_line(self._folder):
            self._manager.close()  # waits for what is still being written

    @property
    def newest(self) -> int | None:
        """Step of the newest complete checkpoint, or None."""
        return self._manager.latest_step()

    @property
    def steps(self) -> list[int]:
        """Steps of the complete checkpoints, in order."""
        return sorted(self._manager.all_steps())

    @property
    def best(self) -> int | None:
        """Step of the checkpoint with the highest validation PSNR, or None."""
        return self._manager.best_step()

    def save(self, state: TrainState, config: ConfigDict, psnr: float | None) -> None:
        """Save in the background; `psnr` is the validation figure, if there is one.

        Raises:
          UserError: this or the save before could not be written; earlier ones are intact.
        """
        items = ocp.args.Composite(
            state=ocp.args.StandardSave(state),
            config=ocp.args.JsonSave(config.to_dict()),
        )
        metrics = None if psnr is None else {"psnr": psnr}
        with _said_in_one_line(self._folder):
            self._manager.save(int(state.step), args=items, metrics=metrics)

    def wait(self) -> None:
        """Wait until what was saved is complete; raises as `save` does."""
        with _said_in_one_line(self._folder):
            self._manager.wait_until_finished()
            self._manager.check_for_errors()

    def read_state(self, step: int, like: TrainState) -> TrainState:
        """Read the state of a step onto the devices and with the structure of `like`, or shapes."""
        target = ocp.args.StandardRestore(jax.tree.map(_placed, like))
        return self._manager.restore(step, args=ocp.args.Composite(state=target))["state"]


def meet(place: str) -> None:
    """Wait until every process is at this place, for up to a day."""
    ocp.multihost.get_barrier_sync_fn()(key=place, timeout_ms=24 * 3600 * 1000)


@contextlib.contextmanager
def _said_in_one_line(folder: Path):
    """Turn what Orbax raises when it cannot write into one line that says what to do."""
    try:
        yield
    except UserError:
        raise
    except (OSError, ValueError, RuntimeError) as error:
        if isinstance(error, jax.errors.JaxRuntimeError):  # of a computation or another process
            raise
        reason = str(error).strip().partition("\n")[0]
        raise UserError(
            f"{folder}: a checkpoint could not be written ({reason}); earlier ones are intact. "
            "Make room or the folder writable; the same command goes on from the newest"
        ) from error


def _together() -> ocp.options.MultiprocessingOptions:
    return ocp.options.MultiprocessingOptions()


def _alone() -> ocp.options.MultiprocessingOptions:
    own = jax.process_index()
    return ocp.options.MultiprocessingOptions(primary_host=own, active_processes={own})


def _placed(array: jax.Array) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=array.sharding)


def _psnr(metrics: dict) -> float:
    return metrics["psnr"]
