"""The words of the command line: written out in one way, read as paths or numbers, repeated."""

import math
import os
import re
import shlex
import shutil
import sys
import textwrap
from pathlib import Path

from absl import flags

from nlrn_jax.errors import UserError
from nlrn_jax.exchanging import shipped
from nlrn_jax.exchanging.file import file_in


class WholeNumber(flags.IntegerParser):
    """Reads a whole number, or None where `config.check` allows it."""

    def parse(self, argument: str | int) -> int | None:
        return None if str(argument).lower() == "none" else super().parse(argument)

    def convert(self, argument: str | int) -> int:
        try:
            return super().convert(argument)
        except ValueError:
            raise ValueError("a whole number is needed") from None


class Share(flags.FloatParser):
    """Reads a number from 0 to 1."""

    def __init__(self):
        super().__init__(lower_bound=0, upper_bound=1)

    def convert(self, argument: str | float) -> float:
        value = super().convert(argument)
        if math.isnan(value):  # which lies beyond no bound
            raise ValueError("a number from 0 to 1 is needed")
        return value


class Place(flags.ArgumentParser):
    """Reads a path; `~` is the home folder, which a shell does not put in after `=`."""

    def parse(self, argument: str) -> str:
        if not argument.strip():  # such as --output=$UNSET
            raise ValueError("is empty: name a file or folder, or leave the flag out")
        place = os.path.expanduser(argument)
        if place.startswith("~"):
            raise ValueError(
                f"no such user has a home folder here; ./{argument} is a file so named"
            )
        return place


class Places(flags.ListParser):
    """Reads paths with commas between."""

    def parse(self, argument: str | list[str]) -> list[str]:
        return [Place().parse(place) for place in super().parse(argument) or [""]]


def completed(given: list[str]) -> list[str]:
    """Write arguments out, those of flag files too; --config is first, of evaluation its run's.

    Raises:
      absl.flags.Error: a flag file is not there, or two recipes are named.
    """
    words = written_out(flags.FLAGS.read_flags_from_files(given, force_gnu=False))
    recipes = list(dict.fromkeys(_values(words, "config")))
    if len(recipes) > 1:
        raise flags.Error(f"--config is given twice, {' and '.join(recipes)}: name one")
    if not recipes and _values(words, "mode")[-1:] == ["evaluate"]:
        named = (_values(words, flag) for flag in ("runs", "weights", "workdir"))
        runs = next(filter(None, named), [])
        recipes = [_configuration(run.split(",")[0].strip()) for run in runs[-1:] if run.strip()]
    others = _last_fields([word for word in words if not word.startswith("--config=")])
    return [*(f"--config={name}" for name in recipes), *others]


def _configuration(place: str) -> str:
    """Return the file that holds the configuration of a run, or of weights."""
    shipped.require_there(place)
    weights = shipped.file_of(place)
    return f"{place}/config.json" if weights is None else str(file_in(weights))


def written_out(given: list[str]) -> list[str]:
    """Write `-name` and `--name value` as --name=value; fields of the recipe have values too."""
    written, rest = [], list(given)
    while rest:
        word = rest.pop(0)
        name = word.lstrip("-")
        if word == "--":  # flags end here
            return [*written, word, *rest]
        if re.match("--?[a-z]", word):
            word = f"--{name}"
            field = name.startswith("config.") and rest and not rest[0].startswith("-")
            known = name in flags.FLAGS and not flags.FLAGS[name].boolean
            if "=" not in word and rest and (field or known):
                word += f"={rest.pop(0)}"
        written.append(word)
    return written


def _last_fields(words: list[str]) -> list[str]:
    """Keep the last value of each field of the recipe: of tuples ml_collections would add all."""
    last = {name: place for place, name in enumerate(word.partition("=")[0] for word in words)}
    return [
        word
        for place, word in enumerate(words)
        if not word.startswith("--config.") or last[word.partition("=")[0]] == place
    ]


def _values(words: list[str], name: str) -> list[str]:
    return [word.partition("=")[2] for word in words if word.startswith(f"--{name}=")]


def given_fields(words: list[str]) -> list[str]:
    """Return the fields of the recipe that arguments set, as train.steps."""
    found = (re.match(r"--(?:no)?config\.([^=]*)", word) for word in words)
    return [match[1] for match in found if match]


def described(name: str) -> list[str]:
    """Return the lines of one flag: its name, and what it means."""
    defined = flags.FLAGS[name]
    text = re.sub("^<(.*)>: ", r"\1: ", defined.help)  # of an enum
    if defined.boolean:
        return _columns(f"--{name}", text)
    default = defined.default
    if default is not None and not isinstance(defined, flags.EnumFlag):
        shown = ",".join(default) if isinstance(default, list) else default
        text += f"; default: {shown}"
    return _columns(f"--{name}=...", text)


def _columns(name: str, text: str) -> list[str]:
    first, *others = textwrap.wrap(text, 72)
    return [f"  {name:24} {first}", *(f"{'':27}{line}" for line in others)]


def integers(flag: flags.FlagHolder) -> list[int]:
    """Read a flag of whole numbers with commas between."""
    try:
        if not flag.value:
            raise ValueError
        return [int(number) for number in flag.value]
    except ValueError:
        given = ",".join(flag.value)
        raise UserError(f"--{flag.name}={given}: whole numbers, with commas between") from None


def program() -> str:
    """Return how this program is called, as it was."""
    return "nlrn-jax" if Path(sys.argv[0]).name == "nlrn-jax" else "python -m nlrn_jax.main"


def command(given: list[str] | None = None) -> str:
    """Return a command that works from here: this program, in this Python, as given or as typed."""
    called, executable = program().split(), sys.argv[0]
    if called[0] == "python":
        executable = sys.executable
    found = shutil.which(called[0])
    if not (found and Path(found).absolute() == Path(executable).absolute()):
        called[0] = executable
    return shlex.join([*called, *(sys.argv[1:] if given is None else given)])


def command_for(mode: str) -> str:
    """Repeat the command as typed, with another mode."""
    dropped = ("--mode=", "--config.data.eval=", "--distributed=")
    kept = [word for word in written_out(sys.argv[1:]) if not word.startswith(dropped)]
    return command([*kept, f"--mode={mode}"])
