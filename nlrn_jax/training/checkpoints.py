"""Checkpoints by Orbax: weights, optimiser, statistics, step and configuration.

All of Orbax is here, since its API is about to move. A checkpoint is complete or absent: it is
written beside its place, by a thread, and renamed. Of each run the newest few are kept, and the
best by validation PSNR. The step says where the data go on: see `data/batches.py`.
"""

import contextlib
import functools
import json
import logging
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import tensorstore
from jax.experimental import multihost_utils
from ml_collections import ConfigDict
from orbax.checkpoint import checkpoint_managers

from nlrn_jax.errors import UserError
from nlrn_jax.training.state import TrainState, evaluated_variables

ASIDE = "damaged"  # folder of a workdir for what cannot be read


class Whole(NamedTuple):
    """The first checkpoint that could be read, and why those before it could not, by step."""

    step: int
    content: TrainState | dict
    damaged: dict[int, str]


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
            save_interval_steps=0 if read_only else 1,
            multiprocessing_options=_alone() if read_only else _together(),
            create=not read_only,
            lightweight_initialize=read_only,  # leaves figures alone, which may be damaged
            cleanup_tmp_directories=not read_only,  # what a killed save left behind
        )
        self._folder = (Path(workdir) / "checkpoints").resolve()  # TensorStore takes no `..`
        self._read_only = read_only
        if not read_only:
            self._set_figures_aside()
        with _unwarned() if read_only else contextlib.nullcontext():
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
    def ranked(self) -> list[int]:
        """Steps of the complete checkpoints with a validation PSNR, the highest first."""
        scores = {step: _score(self._folder / str(step)) for step in self.steps}
        scored = [step for step, score in scores.items() if isinstance(score, float)]
        return sorted(scored, key=scores.get, reverse=True)

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
        """Read the state of a step onto the devices and with the structure of `like`, or shapes.

        A sum that it lacks, since it was written before that sum was kept, is NaN.
        """
        self.wait()  # it may be the one that is being written
        kept = ocp.PyTreeCheckpointHandler().metadata(self._folder / str(step) / "state")["sums"]
        there = {name: sum_ for name, sum_ in like.sums.items() if name in kept}
        target = jax.tree.map(_placed, like.replace(sums=there))
        args = ocp.args.Composite(state=ocp.args.StandardRestore(target))
        state = self._manager.restore(step, args=args)["state"]
        lacking = {name: _unknown(sum_) for name, sum_ in like.sums.items() if name not in kept}
        return state.replace(sums=state.sums | lacking)

    def read_variables(self, step: int, like: TrainState) -> dict:
        """Read the variables that are evaluated: the average where `like` has one.

        Nothing else is read: whatever optimiser they were trained by, they are had.
        """
        name = "variables" if like.average is None else "average"
        target = jax.tree.map(_placed, {name: evaluated_variables(like)})
        places = ocp.checkpoint_utils.construct_restore_args(target)
        args = ocp.args.PyTreeRestore(target, restore_args=places, partial_restore=True)
        handler = ocp.PyTreeCheckpointHandler(multiprocessing_options=_alone())
        with contextlib.closing(handler):
            return handler.restore(self._folder / str(step) / "state", args=args)[name]

    def read_whole(self, steps: Sequence[int], read: Callable[[int], TrainState | dict]) -> Whole:
        """Read the first of these steps that can be read; in all processes the same.

        Args:
          steps: in the order of choice.
          read: `read_state` or `read_variables`, of a step.

        Raises:
          UserError: none can; names them.
        """
        damaged = {}
        for step in steps:
            content, reason = None, _damage(self._folder / str(step))
            if self._all_agree(reason is None):
                try:
                    content = read(step)
                except (UserError, MemoryError, jax.errors.JaxRuntimeError):
                    raise  # no fault of the files
                except Exception as error:  # Orbax raises almost anything over damaged side files
                    reason = " ".join(str(error).split())[:100] or type(error).__name__
                    if "shape" in reason:  # the arrays are whole, and of another network
                        raise self._another_network(step, reason) from error
                if self._all_agree(content is not None):
                    return Whole(step, content, damaged)
            damaged[step] = reason or "another process could not read it"
        names = ", ".join(map(str, damaged))
        raise UserError(
            f"{self._folder}: cannot read {names} ({next(iter(damaged.values()))}); "
            + _instead(self._folder, [step for step in self.steps if step not in damaged])
        )

    def _another_network(self, step: int, reason: str) -> UserError:
        config, own = self._folder.parent / "config.json", self._folder / f"{step}/config/metadata"
        return UserError(
            f"{config}: is of another network than checkpoint {step} ({reason}), which holds a "
            f"copy of its own: cp {own} {config}"
        )

    def set_aside(self, steps: Sequence[int]) -> Path:
        """Move damaged checkpoints out of the way of new ones; return the folder they are in."""
        for step in steps:
            _move(self._folder / str(step), self._aside)
        self._manager.reload()
        return self._aside

    @property
    def _aside(self) -> Path:
        return self._folder.parent / ASIDE

    def _all_agree(self, right: bool) -> bool:
        if self._read_only or jax.process_count() == 1:
            return right
        return bool(multihost_utils.process_allgather(np.array(right)).all())

    def _set_figures_aside(self) -> None:
        """Move validation figures that cannot be read, for Orbax reads them all when it opens."""
        for folder in self._folder.glob("[0-9]*"):
            if isinstance(_score(folder), ValueError):
                _move(folder / "metrics", self._aside, f"{folder.name}-metrics")


def meet(place: str) -> None:
    """Wait until every process is at this place, for up to a day."""
    ocp.multihost.get_barrier_sync_fn()(key=place, timeout_ms=24 * 3600 * 1000)


@contextlib.contextmanager
def _unwarned() -> Iterator[None]:
    """Keep back Orbax's warning that what is opened to be read is opened to be read."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextlib.contextmanager
def _said_in_one_line(folder: Path) -> Iterator[None]:
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


def _damage(folder: Path) -> str | None:
    """Say what of a checkpoint's state cannot be read; None if all of it can.

    Orbax's reading would say so by hundreds of lines, which its threads go on to print; so this is
    TensorStore's, of every array that Orbax has listed.
    """
    state = folder / "state"
    try:
        listed = json.loads((state / "_METADATA").read_text())["tree_metadata"].values()
        arrays = [entry for entry in listed if not entry["value_metadata"]["skip_deserialize"]]
        names = [".".join(key["key"] for key in entry["key_metadata"]) for entry in arrays]
        database = {"driver": "ocdbt", "base": {"driver": "file", "path": f"{state}/"}}
        stores = [
            tensorstore.open({"driver": "auto", "kvstore": database | {"path": f"{name}/"}})
            for name in names
        ]
        for reading in [store.result().read() for store in stores]:
            reading.result()
    except OSError as error:
        return f"state/_METADATA: {error.strerror}"
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError):
        return "state/_METADATA is no list of arrays"
    except ValueError as error:  # all that TensorStore raises
        return f"data are missing or cut short: {str(error).partition(':')[0]}"
    return None


def _score(folder: Path) -> float | ValueError | None:
    """Return the validation PSNR in a checkpoint's folder; None without one, or what is wrong."""
    path = folder / "metrics" / "metrics"
    if not path.parent.is_dir():
        return None
    try:
        score = float(json.loads(path.read_text())["psnr"])
        return score if math.isfinite(score) else ValueError(score)
    except (OSError, ValueError, KeyError, TypeError) as error:
        return ValueError(error)


def _move(source: Path, folder: Path, name: str | None = None) -> None:
    """Move a file or folder into a folder, under a name that is not taken there."""
    name = name or source.name
    folder.mkdir(exist_ok=True)
    taken = {path.name for path in folder.iterdir()}
    names = [name, *(f"{name}-{number}" for number in range(2, len(taken) + 3))]
    with contextlib.suppress(FileNotFoundError):  # another process has moved it
        source.rename(folder / next(free for free in names if free not in taken))


def _instead(folder: Path, others: Sequence[int]) -> str:
    if others:
        return f"name another checkpoint: there are the steps {', '.join(map(str, others))}"
    return f"copy it again, or move {folder} away and train anew"


def _together() -> ocp.options.MultiprocessingOptions:
    return ocp.options.MultiprocessingOptions()


def _alone() -> ocp.options.MultiprocessingOptions:
    own = jax.process_index()
    return ocp.options.MultiprocessingOptions(primary_host=own, active_processes={own})


def _placed(array: jax.Array) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=array.sharding)


def _unknown(like: jax.Array) -> jax.Array:
    nan = functools.partial(jnp.full, like.shape, jnp.nan, like.dtype)
    return jax.jit(nan, out_shardings=like.sharding)()


def _psnr(metrics: dict) -> float:
    return metrics["psnr"]
