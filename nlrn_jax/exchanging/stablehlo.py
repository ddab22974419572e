"""A network as one program of StableHLO, which JAX runs anywhere without this package.

    restore = jax.export.deserialize(Path("denoise.stablehlo").read_bytes()).call
    y = restore(x)        # [N, H, W, C], float32, [0, 1], any N, H and W; y is not clipped

The weights are in it, and so are the forms for CPUs, CUDA and TPUs. JAX reads what it has written
for six months, as it says in `jax.export`; beside the program lies a JSON of what it is, and until
when that holds.
"""

import datetime
import json
from pathlib import Path

import jax
import jax.numpy as jnp
from jax import export

from nlrn_jax import writing
from nlrn_jax.config.record import to_json
from nlrn_jax.errors import UserError
from nlrn_jax.exchanging.file import Weights, require_absent
from nlrn_jax.network.build import build_model

ENDING = ".stablehlo"
PLATFORMS = ("cpu", "cuda", "tpu")
READABLE = datetime.timedelta(days=180)  # the six months that `jax.export` promises


def program_of(weights: Weights, window: int | None) -> export.Exported:
    """Return the program of a network: [N, H, W, C], float32 -> the same, for any N, H and W.

    Args:
      weights: of the network.
      window: odd side of the window that a position sees; None: the whole image.
    """
    model = build_model(weights.config).clone(neighborhood=window)
    variables = jax.tree.map(jnp.asarray, weights.variables)
    shape = *export.symbolic_shape("n, h, w"), model.channels
    images = jax.ShapeDtypeStruct(shape, jnp.float32)

    def restore(x: jax.Array) -> jax.Array:
        return model.apply(variables, x)

    return export.export(jax.jit(restore), platforms=PLATFORMS)(images)


def write_program(path: str | Path, weights: Weights, overwrite: bool = False) -> Path:
    """Write the program of a network, its derivative, and a JSON beside it; return the file.

    The window is that with which whole pictures are restored.

    Raises:
      UserError: the name does not end in .stablehlo; something is there already.
    """
    require_free(path, overwrite)
    path = Path(path)
    window = build_model(weights.config).window
    program = program_of(weights, window).serialize(vjp_order=1)
    with writing.replaced(path) as temporary:
        temporary.write_bytes(program)
    told = json.dumps(_told(weights, window), indent=2) + "\n"
    writing.write_text(path.with_suffix(".json"), told)
    return path


def require_free(path: str | Path, overwrite: bool) -> None:
    """Refuse a place for a program that is none, or taken.

    Raises:
      UserError: names it.
    """
    path = Path(path)
    if path.suffix != ENDING:
        raise UserError(f"--output={path}: a program of StableHLO is called NAME{ENDING}")
    require_absent([path, path.with_suffix(".json")], overwrite)


def _told(weights: Weights, window: int) -> dict:
    """Return what is told of a program."""
    enlarged = weights.config.task == "sr"
    return {
        "input": "[N, H, W, C], float32, 0 to 1" + ", enlarged by bicubic" * enlarged,
        "output": "the same, not clipped",
        "channels": weights.config.model.channels,
        "window": window,
        "derivative": "reverse, of first order",
        "platforms": PLATFORMS,
        "jax": jax.__version__,
        "calling_convention": export.maximum_supported_calling_convention_version,
        "readable_until": (datetime.date.today() + READABLE).isoformat(),
        "nlrn_jax": weights.facts._asdict() | {"config": json.loads(to_json(weights.config))},
    }
