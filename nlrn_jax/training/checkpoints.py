"""Checkpoints by Orbax: weights, optimiser, statistics, step and configuration.

All of Orbax is here, since its API is about to move. A checkpoint is complete or absent: it is
written beside its place, by a thread, and renamed. Of each run the newest few are kept, and the
best by validation PSNR. The step says where the data go on: see `data.py`.
"""

import contextlib
from pathlib import Path

import jax
import orbax.checkpoint as ocp
from ml_collections import ConfigDict
from orbax.checkpoint import checkpoint_managers

from nlrn_jax import config as configuration
from nlrn_jax.network.model import NLRN
from nlrn_jax.training.state import TrainState, create_state, evaluated_variables


class CheckpointError(ValueError):
    """A run or checkpoint that is not there or cannot be used; the message names it."""


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
          CheckpointError: this or the save before could not be written; earlier ones are intact.
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

    def restore_state(self, step: int, like: TrainState) -> TrainState:
        """Read the state of a step onto the devices and with the structure of `like`."""
        target = ocp.args.StandardRestore(jax.tree.map(_placed, like))
        return self._manager.restore(step, args=ocp.args.Composite(state=target))["state"]


def load(workdir: str | Path, checkpoint: str | int = "newest") -> tuple[NLRN, dict]:
    """Load the network of a run: the model its configuration describes, and its variables.

    Args:
      workdir: folder of a run, with `config.json` and `checkpoints/`.
      checkpoint: 'newest', 'best' (by validation PSNR), or a step.

    Returns:
      The model, and {'params', 'batch_stats'}; the averaged weights where the run keeps them.

    Raises:
      CheckpointError: no run there, or none of its checkpoints is complete.
    """
    config = read_config(workdir)
    model = configuration.build_model(config)
    with Checkpoints(workdir, keep=1, read_only=True) as checkpoints:
        step = _find(workdir, checkpoints, checkpoint)
        state = checkpoints.restore_state(step, create_state(config))
    return model, evaluated_variables(state)


def find_step(workdir: str | Path, checkpoint: str | int = "newest") -> int:
    """Return the step of a checkpoint named as for `load`, which raises the same errors."""
    read_config(workdir)  # says so if there is no run
    with Checkpoints(workdir, keep=1, read_only=True) as checkpoints:
        return _find(workdir, checkpoints, checkpoint)


def _find(workdir, checkpoints: Checkpoints, checkpoint: str | int) -> int:
    named = {"newest": checkpoints.newest, "best": checkpoints.best}
    step = named.get(checkpoint, checkpoint)
    if step is None:
        raise CheckpointError(f"{workdir}: no {checkpoint} checkpoint yet; train it first")
    if str(step) not in map(str, checkpoints.steps):
        there = ", ".join(map(str, checkpoints.steps)) or "none"
        raise CheckpointError(
            f"{workdir}: no checkpoint {checkpoint}; there are newest, best and the steps {there}"
        )
    return int(step)


def meet(place: str) -> None:
    """Wait until every process is at this place, for up to a day."""
    ocp.multihost.get_barrier_sync_fn()(key=place, timeout_ms=24 * 3600 * 1000)


def read_config(workdir: str | Path) -> ConfigDict:
    """Read the configuration of a run.

    Raises:
      CheckpointError: the folder holds no run.
    """
    path = Path(workdir) / "config.json"
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file, so {workdir} is not the folder of a run")
    try:
        return configuration.from_json(path.read_text())
    except ValueError as error:
        raise CheckpointError(f"{path}: not a configuration ({error})") from error


def claim_workdir(workdir: str | Path, config: ConfigDict) -> None:
    """Make a workdir this configuration's, or check that it is.

    Raises:
      CheckpointError: it belongs to another configuration; names the fields that differ.
    """
    require_same_run(workdir, config)
    path = Path(workdir) / "config.json"
    if jax.process_index():
        return  # the first process writes for all
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".json.tmp")
    temporary.write_text(configuration.to_json(config))
    temporary.replace(path)


def require_same_run(workdir: str | Path, config: ConfigDict) -> None:
    """Refuse a workdir of another configuration; one that is no run yet will do.

    Raises:
      CheckpointError: names the fields that differ.
    """
    if not (Path(workdir) / "config.json").exists():
        return
    differing = configuration.differences(read_config(workdir), config)
    if differing:
        raise CheckpointError(
            f"{workdir} belongs to a run of another configuration ({'; '.join(differing)}): "
            "name another --workdir, or give the fields those values"
        )


@contextlib.contextmanager
def _said_in_one_line(folder: Path):
    """Turn what Orbax raises when it cannot write into one line that says what to do."""
    try:
        yield
    except CheckpointError:
        raise
    except (OSError, ValueError, RuntimeError) as error:
        if isinstance(error, jax.errors.JaxRuntimeError):  # of a computation or another process
            raise
        reason = str(error).strip().partition("\n")[0]
        raise CheckpointError(
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
