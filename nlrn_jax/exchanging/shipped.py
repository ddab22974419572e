"""The weights that come with the program: which there are, and where. Imports no JAX.

`weights/README.md` says how each was made, and of which pictures.
"""

from pathlib import Path

from nlrn_jax.errors import UserError
from nlrn_jax.exchanging.file import ENDING, is_weights

FOLDER = Path(__file__).parent / "weights"
RECIPES = {  # by which each was trained, to the letter
    "photo": "configs/photo.py:cpu",
    "denoise_color": "configs/denoise_color.py:cpu",
    "denoise": "configs/denoise_blind.py:cpu",
    "sr": "configs/sr_multi.py:cpu",
}


def names() -> list[str]:
    """List the names of the shipped weights."""
    return [name for name in RECIPES if path_of(name).is_file()]


def path_of(name: str) -> Path:
    """Return the file of shipped weights."""
    return FOLDER / f"{name}{ENDING}"


def file_of(place: str | Path) -> Path | None:
    """Return the file or folder of weights that a place means; None where it is to be a run."""
    path, name = Path(place), str(place)
    if (path / "config.json").is_file() and (path / "checkpoints").is_dir():
        return None
    if is_weights(path):
        return path
    return path_of(name) if name in names() else None


def require_there(place: str | Path) -> None:
    """Refuse a file of something else, and a word that names neither a folder here nor weights.

    Raises:
      UserError: lists those that there are.
    """
    name = str(place)
    if not name:
        raise UserError(
            "no network is named: name a run, weights that came with the program "
            f"({', '.join(names())}), or a file NAME{ENDING}"
        )
    if Path(name).is_file() and not is_weights(name):
        raise UserError(f"{name}: is no file of weights: those are called NAME{ENDING}")
    bare = name == Path(name).name and not name.endswith(ENDING)
    if bare and not Path(name).exists() and name not in names():
        known = ", ".join(names()) or "none"
        raise UserError(
            f"{name} is not the folder of a run, and the weights that came with the program are "
            f"{known}: name one of these, a run, or a file NAME{ENDING}"
        )


def usual(colour: bool, scale: int = 1) -> str:
    """Return the name of the weights for pictures that nothing else is known of.

    Args:
      colour: whether they are in colour.
      scale: by which they are enlarged; 1: not.

    Raises:
      UserError: none that would do came with the program.
    """
    wanted = ["denoise"] if not colour else ["photo", "denoise_color", "denoise"]
    for name in ["sr"] if scale > 1 else wanted:
        if name in names():
            return name
    raise UserError(
        "no weights for that came with the program: name a run, as in --workdir=RUN, or weights, "
        f"as in --weights=NAME{ENDING}"
    )
