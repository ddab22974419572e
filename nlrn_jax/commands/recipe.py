"""A recipe: the file that `--config` names, found, and loaded as a configuration.

That is a Python file whose `get_config()`, or `get_config(variant)`, returns a `ConfigDict` with
the fields of configs/base.py; the `config.json` of a run will do as well, and so will a file of
weights, which holds one. Where the current folder has no configs/NAME.py, the one that came with
the program is meant. Imports no JAX.
"""

import difflib
import inspect
import runpy
import sys
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder

from nlrn_jax.config.record import flatten, from_json
from nlrn_jax.errors import UserError
from nlrn_jax.exchanging.file import ENDING, read_weights

_HERE = Path(__file__).parents[1]
# The folder around configs/: installed it lies in the package, in a checkout beside it.
_AROUND = _HERE / "recipes" if (_HERE / "recipes").is_dir() else _HERE.parent


def shipped() -> Path:
    """Return the folder of the recipes that came with the program, from here if it lies below."""
    folder, here = _AROUND / "configs", Path.cwd()
    return folder.relative_to(here) if folder.is_relative_to(here) else folder


def find(name: str) -> tuple[Path, list[str]]:
    """Return the file of a recipe, FILE or FILE:VARIANT, and the variant if there is one.

    Raises:
      UserError: no such file, here or among those that came with the program.
    """
    file, *variant = name.split(":", 1)
    if variant == [""]:
        raise UserError(f"--config={name}: no variant behind the colon; name one, as {name}quick")
    path = Path(file).expanduser()
    if not file.strip():
        raise UserError(f"--config={name} is empty: name a recipe, as in --config=configs/sr_x3.py")
    if path.is_file():
        return path, variant
    if path.parts[0] == "configs" and (_AROUND / path).is_file():
        return _AROUND / path, variant
    if path.name == "config.json" and (path.parent / "checkpoints").is_dir():
        raise UserError(
            f"{path}: is lost; each checkpoint holds a copy, cp "
            f"{path.parent}/checkpoints/STEP/config/metadata {path}"
        )
    if path.name == "config.json":
        raise UserError(
            f"{path}: no such file, so {path.parent} is not the folder of a run; train it first, "
            "or name another"
        )
    reason = "is a folder" if path.is_dir() else "no such file"
    known = sorted(recipe.stem for recipe in (_AROUND / "configs").glob("*.py"))
    nearest = difflib.get_close_matches(path.stem, known, n=1) or ["sr_x3"]
    raise UserError(
        f"--config={name}: {reason}; name a recipe, as --config=configs/{nearest[0]}.py; "
        f"{shipped()} has {', '.join(known)}"
    )


def load(name: str) -> ConfigDict:
    """Load a recipe, FILE or FILE:VARIANT, or the `config.json` of a run.

    Raises:
      UserError: no such file, or no configuration comes of it; names the file and the line.
    """
    path, variant = find(name)
    if path.suffix == ".json":
        return _of_run(path)
    if path.suffix == ENDING:
        return _of_network(read_weights(path).config)
    if path.suffix != ".py":
        raise UserError(f"--config={name}: is no recipe, a Python file such as configs/sr_x3.py")
    get_config = _run(path).get("get_config")
    if not callable(get_config):
        raise UserError(f"{path}: has no get_config(), so it is no recipe, as {shipped()}/*.py are")
    try:
        inspect.signature(get_config).bind(*variant)
    except TypeError as error:
        mend = f"leave out :{variant[0]}" if variant else f"name a variant, as {path}:NAME"
        raise UserError(
            f"--config={name}: get_config() does not take that ({error}); {mend}"
        ) from error
    config = told(path, lambda: get_config(*variant))
    _require_schema(path, config)
    return config


def require_fields(config: ConfigDict, given: Iterable[str]) -> None:
    """Refuse fields of the command line that a configuration has not.

    Raises:
      UserError: names the first, and the nearest that there are.
    """
    known = flatten(config)
    sections = {name.rpartition(".")[0] for name in known} - {""}
    for name in given:
        if name in sections:
            fields = [field for field in known if field.startswith(f"{name}.")]
            raise UserError(
                f"--config.{name} is a section: set one of its fields, {', '.join(fields)}"
            )
        if name not in known:
            section, _, field = name.rpartition(".")
            unknown = field if not section or section in sections else section
            raise UserError(f"--config.{name}: there is no {unknown!r}{_nearest(name, known)}")


def _nearest(name: str, known: Iterable[str]) -> str:
    """Propose the fields that a misspelt name may mean, by all of it or by its last part."""
    known = list(known)
    places = difflib.get_close_matches(name, known, n=1)
    if not places:
        leaves = difflib.get_close_matches(
            name.rpartition(".")[2], [field.rpartition(".")[2] for field in known], n=1
        )
        places = [field for field in known if field.rpartition(".")[2] in leaves]
    if not places:
        return f"; {shipped()}/base.py has every field"
    return f"; did you mean {' or '.join(f'--config.{place}' for place in places)}?"


def _run(path: Path) -> dict:
    # A recipe may import from configs/: its own folder's, or that of the program.
    sys.path += [place for place in (str(Path.cwd()), str(_AROUND)) if place not in sys.path]
    return told(path, lambda: runpy.run_path(str(path)))


def told(path: Path, call: Callable[[], Any]) -> Any:
    """Call what is in a recipe, and return what it returns.

    Raises:
      UserError: what it raised, in one line with the file and the line.
    """
    try:
        return call()
    except UserError as error:
        raise UserError(str(error) if str(path) in str(error) else f"{path}: {error}") from error
    except SyntaxError as error:
        place = f"{error.filename or path}, line {error.lineno}"
        raise UserError(f"{place}: {error.msg}; mend the recipe") from error
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if Path(frame.filename) == path]
        if not lines and not isinstance(error, OSError | ValueError):  # those of reading the file
            raise
        place = f"{path}, line {lines[-1]}" if lines else str(path)
        reason = " ".join(str(error).split())
        raise UserError(f"{place}: {type(error).__name__}: {reason}; mend the recipe") from error


def _require_schema(path: Path, config: object) -> None:
    """Refuse a configuration with other fields than configs/base.py has: each must be obeyed."""
    if not isinstance(config, ConfigDict):
        raise UserError(
            f"{path}: get_config() returns {type(config).__name__}, not a ConfigDict; does it end "
            "with `return config`?"
        )
    base = flatten(_run(_AROUND / "configs" / "base.py")["get_config"]())
    try:
        fields = flatten(config)
    except TypeError as error:
        raise UserError(f"{path}: config.json could not hold that: {error}") from error
    for name in fields.keys() - base.keys():
        raise UserError(
            f"{path}: config.{name} is no field{_nearest(name, base).replace('--', '')}"
        )
    for name in base.keys() - fields.keys():
        raise UserError(
            f"{path}: config.{name} is missing; begin with `config = base.get_config()`, as "
            f"{shipped()}/sr_x3.py does"
        )


def _of_run(path: Path) -> ConfigDict:
    try:
        return _of_network(from_json(path.read_text()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: not the configuration of a run ({error})") from error


def _of_network(config: ConfigDict) -> ConfigDict:
    if config.model.neighborhood is None:  # JSON forgets that it may be a number
        config.unlock()
        config.model.neighborhood = placeholder(int)
        config.lock()
    return config
