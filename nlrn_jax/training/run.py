"""A run on disk: a folder with `config.json`, the record, checkpoints, and what is drawn of it."""

import contextlib
import fcntl
import functools
import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import jax
from ml_collections import ConfigDict

from nlrn_jax import writing
from nlrn_jax.config.record import differences, from_json, to_json
from nlrn_jax.data.sources import folders
from nlrn_jax.errors import UserError
from nlrn_jax.network.build import FIELDS, Model, build_model
from nlrn_jax.training.checkpoints import Checkpoints, Whole
from nlrn_jax.training.state import state_shapes

_NO_CONFIG = (ValueError, KeyError, TypeError, AttributeError)  # what reading something else raises
Checkpoint = str | int  # 'newest', 'best' (by validation PSNR), or a step


def load(workdir: str | Path, checkpoint: Checkpoint = "newest") -> tuple[Model, dict]:
    """Load the network of a run: the model its configuration describes, and its variables.

    Where the newest or best checkpoint is damaged the next that is whole is taken, and said.

    Args:
      workdir: folder of a run, with `config.json` and `checkpoints/`.
      checkpoint: 'newest', 'best' (by validation PSNR), or a step.

    Returns:
      The model, and {'params', 'batch_stats'}; the averaged weights where the run keeps them.

    Raises:
      UserError: no run there, or none of its checkpoints is complete and whole.
    """
    config = read_config(workdir)
    return build_model(config), _read(workdir, config, checkpoint).content


def find_step(workdir: str | Path, checkpoint: Checkpoint = "newest") -> int:
    """Return the step of a checkpoint that is whole; arguments and errors as those of `load`."""
    return _read(workdir, read_config(workdir), checkpoint).step


def newest_step(workdir: str | Path) -> int:
    """Return the step of the newest complete checkpoint; 0 where there is none, or no run."""
    if not (Path(workdir) / "checkpoints").is_dir():
        return 0
    with Checkpoints(workdir, keep=1, read_only=True) as checkpoints:
        return checkpoints.newest or 0


def read_config(workdir: str | Path) -> ConfigDict:
    """Read the configuration of a run.

    Raises:
      UserError: the folder holds no run, or its configuration is damaged; names the mend.
    """
    path = Path(workdir) / "config.json"
    try:
        return _whole_config(path)
    except (*_NO_CONFIG, FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        copy = _copy_of_config(Path(workdir))
        if not path.is_file() and not copy:
            raise UserError(
                f"{path}: no such file, so {workdir} is not the folder of a run; train it first, "
                "or name another --workdir"
            ) from error
        mend = f"cp {shlex.quote(str(copy))} {shlex.quote(str(path))}" if copy else (
            "name another --workdir, or train anew without this file"
        )  # fmt: skip
        reason = "is missing" if not path.is_file() else f"is not a configuration ({error})"
        its = "; the newest checkpoint holds a copy: " if copy else "; "
        raise UserError(f"{path} {reason}{its}{mend}") from error


def require_folder(workdir: str | Path) -> None:
    """Refuse a workdir that is a file, or would lie below one.

    Raises:
      UserError: names the file.
    """
    path = Path(workdir).absolute()
    there = next(folder for folder in (path, *path.parents) if os.path.lexists(folder))
    if not there.is_dir():
        raise UserError(f"--workdir={workdir}: {there} is a file, not a folder; name another")


def require_apart(workdir: str | Path, source: str) -> None:
    """Refuse a workdir in a folder that is learned from: so would be what the run draws there.

    Raises:
      UserError: names both.
    """
    for folder in folders(source):
        if Path(workdir).resolve().is_relative_to(folder.resolve()):
            raise UserError(
                f"--workdir={workdir} lies in config.data.train=folder:{folder}, and what the run "
                "draws would be learned from: name a folder outside of it"
            )


def claim_workdir(workdir: str | Path, config: ConfigDict) -> None:
    """Make a workdir this configuration's, or check that it is.

    Raises:
      UserError: it belongs to another configuration; names the fields that differ.
    """
    require_same_run(workdir, config)
    path = Path(workdir) / "config.json"
    if path.exists() and newest_step(workdir) >= config.train.steps:
        return  # nothing is left to train: the record stays that of what was trained
    if not jax.process_index():  # the first process writes for all
        writing.write_text(path, to_json(config))


@contextlib.contextmanager
def held(workdir: str | Path) -> Iterator[None]:
    """Let no other program train in a workdir meanwhile, where the system can tell.

    Raises:
      UserError: another one does.
    """
    Path(workdir).mkdir(parents=True, exist_ok=True)
    folder = os.open(workdir, os.O_RDONLY)  # let go by the end of the process, however that comes
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(folder)
        raise UserError(
            f"{workdir}: another program trains in it; wait for its end, or name another --workdir"
        ) from None
    except OSError:  # a file system without locks
        pass
    try:
        yield
    finally:
        os.close(folder)


def require_same_run(workdir: str | Path, config: ConfigDict) -> None:
    """Refuse a workdir of another configuration; one that is no run yet will do.

    Raises:
      UserError: names the fields that differ.
    """
    if not (Path(workdir) / "config.json").exists() and not _copy_of_config(Path(workdir)):
        return
    differing = differences(read_config(workdir), config)
    if differing:
        raise UserError(
            f"{workdir} belongs to a run of another configuration ({'; '.join(differing)}): "
            "name another --workdir, or give the fields those values"
        )


def _read(workdir: str | Path, config: ConfigDict, checkpoint: Checkpoint) -> Whole:
    """Read a checkpoint onto the first device; say which are damaged, and which is taken."""
    place = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    with Checkpoints(workdir, keep=1, read_only=True) as checkpoints:
        steps = _candidates(workdir, checkpoints, checkpoint)
        read = functools.partial(checkpoints.read_variables, like=state_shapes(config, place))
        whole = checkpoints.read_whole(steps, read)
    for step, reason in whole.damaged.items():
        print(
            f"warning: {workdir}/checkpoints/{step} is damaged ({reason}); "
            f"step {whole.step} is taken",
            file=sys.stderr, flush=True,
        )  # fmt: skip
    return whole


def _candidates(workdir: str | Path, checkpoints: Checkpoints, checkpoint: Checkpoint) -> list[int]:
    """List the steps that a checkpoint's name means, the first choice first."""
    named = {"newest": checkpoints.steps[::-1], "best": checkpoints.ranked}
    steps = named.get(checkpoint, [checkpoint])
    if not named["newest"]:
        raise UserError(f"{workdir}: no {checkpoint} checkpoint yet; train it first")
    if not steps or str(steps[0]) not in map(str, checkpoints.steps):
        there = ", ".join(map(str, checkpoints.steps))
        words = "newest, best" if named["best"] else "newest"  # of those validated
        raise UserError(
            f"{workdir}: no checkpoint {checkpoint}; there are {words} and the steps {there}"
        )
    return [int(step) for step in steps]


def _whole_config(path: Path) -> ConfigDict:
    config = from_json(path.read_text())
    for section in ("task", "seed", "model", "degrade", "data", "train", "log", "checkpoint"):
        if section not in config:
            raise ValueError(f"{section} is missing")
    build_model(config)  # refuses fields that it does not know
    for name, value in config.model.items():
        usual = FIELDS[name]
        if usual is not None and not isinstance(value, type(usual)):
            raise ValueError(f"model.{name} is {value!r}")
    return config


def _copy_of_config(workdir: Path) -> Path | None:
    """Return the newest configuration that lies in a checkpoint and is whole."""
    copies = workdir.glob("checkpoints/[0-9]*/config/metadata")
    copies = (path for path in copies if path.parts[-3].isdecimal())
    for path in sorted(copies, key=lambda path: int(path.parts[-3]), reverse=True):
        try:
            _whole_config(path)
            return path
        except (*_NO_CONFIG, OSError):
            continue
    return None
