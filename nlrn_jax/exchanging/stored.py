"""A network wherever it is stored: the folder of a run, a file of weights, or a shipped name.

A name such as `denoise` means the weights that came with the program, unless a run lies in a folder
of that name here.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from nlrn_jax.errors import UserError
from nlrn_jax.exchanging import shipped
from nlrn_jax.exchanging.file import Weights, flat, read_weights
from nlrn_jax.exchanging.telling import in_one_line, purpose
from nlrn_jax.network.build import Model, build_model
from nlrn_jax.training import run
from nlrn_jax.training.run import Checkpoint
from nlrn_jax.training.state import fresh_variables

_SHOWN = 3  # arrays in a message


def load(place: str | Path, checkpoint: Checkpoint = "newest") -> tuple[Model, dict]:
    """Load a network to use on pictures of any size: its model and its variables.

    Arguments and errors as those of `load_trained`. Returns the model whose positions see windows
    as large as the patches that it was trained on, as `restore` has it: that of the whole input is
    another denoiser on larger pictures, and its memory grows with the square of their pixels.
    """
    model, variables = load_trained(place, checkpoint)
    return model.clone(neighborhood=model.window), variables


def load_trained(place: str | Path, checkpoint: Checkpoint = "newest") -> tuple[Model, dict]:
    """Load a network: the model that its configuration describes, and its variables.

    Args:
      place: the folder of a run; a file of weights, FILE.safetensors, or a folder that holds
        `model.safetensors`; or the name of shipped weights, such as 'denoise_color'.
      checkpoint: of a run: 'newest', 'best' (by validation PSNR), or a step. Where that is damaged
        the next that is whole is taken, and said.

    Returns:
      The model, and {'params', 'batch_stats'}; the averaged weights where a run keeps them.

    Raises:
      UserError: no network there, or none that is complete and whole.
    """
    weights = weights_of(place, checkpoint)
    if weights is None:
        return run.load(place, checkpoint)
    return build_model(weights.config), jax.tree.map(jnp.asarray, weights.variables)


def read_config(place: str | Path) -> ConfigDict:
    """Read the configuration of a network; place and errors as those of `load_trained`."""
    weights = weights_of(place)
    return run.read_config(place) if weights is None else weights.config


def described(place: str | Path) -> str:
    """Say in one clause what a network is for, and what it reaches where that is known."""
    weights = weights_of(place)
    return purpose(run.read_config(place)) if weights is None else in_one_line(weights)


def find_step(place: str | Path, checkpoint: Checkpoint = "newest") -> int:
    """Return the step whose weights would be loaded; arguments and errors as `load_trained`."""
    weights = weights_of(place, checkpoint)
    return run.find_step(place, checkpoint) if weights is None else weights.facts.steps


def weights_of(place: str | Path, checkpoint: Checkpoint = "newest") -> Weights | None:
    """Read weights; None where the place is that of a run. The rest as of `load_trained`."""
    shipped.require_there(place)
    file = shipped.file_of(place)
    if file is None:
        return None
    weights = read_weights(file)
    require_network(file, weights)
    if str(checkpoint) not in ("newest", "best", str(weights.facts.steps)):
        raise UserError(
            f"{place}: holds the weights of step {weights.facts.steps} alone, not of {checkpoint}; "
            "leave --checkpoint out"
        )
    return weights


def require_network(file: Path, weights: Weights) -> None:
    """Refuse arrays that are not those of the network that a configuration describes.

    Raises:
      UserError: names the first that are missing, too many, of another shape, or not finite.
    """
    try:
        model = build_model(weights.config)
        shapes = jax.eval_shape(lambda: fresh_variables(model, jax.random.key(0)))
        wanted = {name: shape.shape for name, shape in flat(shapes)}
    except (TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"{file}: its config describes no network ({error}); export it again"
        ) from error
    arrays = dict(flat(weights.variables))
    faults = [f"{name} is missing" for name in sorted(wanted.keys() - arrays.keys())]
    faults += [f"{name} is none of it" for name in sorted(arrays.keys() - wanted.keys())]
    shared = sorted(wanted.keys() & arrays.keys())
    faults += [fault for name in shared if (fault := _fault(name, arrays[name], wanted[name]))]
    if faults:
        more = f", and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        raise UserError(
            f"{file}: does not hold the network of its config: {'; '.join(faults[:_SHOWN])}{more}; "
            "export it again"
        )


def _fault(name: str, array: np.ndarray, shape: tuple[int, ...]) -> str:
    if array.shape != shape or array.dtype != np.float32:
        return f"{name} is {array.dtype} {list(array.shape)}, not float32 {list(shape)}"
    return "" if np.isfinite(array).all() else f"{name} holds NaN or infinity"
