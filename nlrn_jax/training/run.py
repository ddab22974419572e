"""A run on disk: a folder with `config.json`, the record, checkpoints, and what is drawn of it."""

from pathlib import Path

import jax
from ml_collections import ConfigDict

from nlrn_jax import config as configuration
from nlrn_jax import writing
from nlrn_jax.errors import UserError
from nlrn_jax.network.model import NLRN, build_model
from nlrn_jax.training.checkpoints import Checkpoints
from nlrn_jax.training.state import evaluated_variables, state_shapes

Checkpoint = str | int  # 'newest', 'best' (by validation PSNR), or a step


def load(workdir: str | Path, checkpoint: Checkpoint = "newest") -> tuple[NLRN, dict]:
    """Load the network of a run: the model its configuration describes, and its variables.

    Args:
      workdir: folder of a run, with `config.json` and `checkpoints/`.
      checkpoint: 'newest', 'best' (by validation PSNR), or a step.

    Returns:
      The model, and {'params', 'batch_stats'}; the averaged weights where the run keeps them.

    Raises:
      UserError: no run there, or none of its checkpoints is complete.
    """
    config = read_config(workdir)
    place = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    with Checkpoints(workdir, keep=1, read_only=True) as checkpoints:
        step = _find(workdir, checkpoints, checkpoint)
        state = checkpoints.read_state(step, state_shapes(config, place))
    return build_model(config), evaluated_variables(state)


def find_step(workdir: str | Path, checkpoint: Checkpoint = "newest") -> int:
    """Return the step of a checkpoint; arguments and errors as those of `load`."""
    read_config(workdir)
    with Checkpoints(workdir, keep=1, read_only=True) as checkpoints:
        return _find(workdir, checkpoints, checkpoint)


def newest_step(workdir: str | Path) -> int:
    """Return the step of the newest complete checkpoint; 0 where there is none, or no run."""
    if not (Path(workdir) / "checkpoints").is_dir():
        return 0
    with Checkpoints(workdir, keep=1, read_only=True) as checkpoints:
        return checkpoints.newest or 0


def read_config(workdir: str | Path) -> ConfigDict:
    """Read the configuration of a run.

    Raises:
      UserError: the folder holds no run.
    """
    path = Path(workdir) / "config.json"
    if not path.is_file():
        raise UserError(
            f"{path}: no such file, so {workdir} is not the folder of a run; train it first, or "
            "name another --workdir"
        )
    try:
        return configuration.from_json(path.read_text())
    except ValueError as error:
        raise UserError(f"{path}: not a configuration ({error})") from error


def claim_workdir(workdir: str | Path, config: ConfigDict) -> None:
    """Make a workdir this configuration's, or check that it is.

    Raises:
      UserError: it belongs to another configuration; names the fields that differ.
    """
    require_same_run(workdir, config)
    if not jax.process_index():  # the first process writes for all
        writing.write_text(Path(workdir) / "config.json", configuration.to_json(config))


def require_same_run(workdir: str | Path, config: ConfigDict) -> None:
    """Refuse a workdir of another configuration; one that is no run yet will do.

    Raises:
      UserError: names the fields that differ.
    """
    if not (Path(workdir) / "config.json").exists():
        return
    differing = configuration.differences(read_config(workdir), config)
    if differing:
        raise UserError(
            f"{workdir} belongs to a run of another configuration ({'; '.join(differing)}): "
            "name another --workdir, or give the fields those values"
        )


def _find(workdir: str | Path, checkpoints: Checkpoints, checkpoint: Checkpoint) -> int:
    named = {"newest": checkpoints.newest, "best": checkpoints.best}
    step = named.get(checkpoint, checkpoint)
    if step is None:
        raise UserError(f"{workdir}: no {checkpoint} checkpoint yet; train it first")
    if str(step) not in map(str, checkpoints.steps):
        there = ", ".join(map(str, checkpoints.steps)) or "none"
        raise UserError(
            f"{workdir}: no checkpoint {checkpoint}; there are newest, best and the steps {there}"
        )
    return int(step)
