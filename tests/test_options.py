"""The flags: what `--help` says of them, and where a run lies that names no workdir."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from absl import flags
from absl.testing import flagsaver

from nlrn_jax import options

# ml_collections loads configuration files the old way.
pytestmark = pytest.mark.filterwarnings("ignore:the load_module.. method:DeprecationWarning")

ROOT = Path(__file__).parents[1]
HOLDERS = {name: held for name, held in vars(options).items() if isinstance(held, flags.FlagHolder)}


@pytest.fixture
def parsed(monkeypatch):
    """Return a function that parses a command line, and leaves no flag behind."""
    monkeypatch.chdir(ROOT)
    was_parsed = flags.FLAGS.is_parsed()

    def parse(*arguments):
        monkeypatch.setattr(sys, "argv", ["main", *arguments])
        options.parse(sys.argv)

    with flagsaver.flagsaver():
        yield parse
    if not was_parsed:
        flags.FLAGS.unparse_flags()


def sections():
    """Return the lines of the help by the mode that they stand under; '' for every mode."""
    found, mode = {"": []}, ""
    for line in options.usage().splitlines():
        if head := re.match(r"--mode=(\w+)[ :]", line):
            mode = head[1]
            found[mode] = []
        found[mode].append(line)
    return found


def flags_in(lines):
    return set(re.findall(r"^  --(\w+)(?:=\.\.\.|  )", "\n".join(lines), re.MULTILINE))


def test_help_shows_every_mode_with_an_example_and_the_flags_that_it_obeys():
    shown = sections()
    assert list(shown) == ["", *options.MODES]
    for name, mode in options.MODES.items():
        assert flags_in(shown[name]) == {flag.name for flag in mode.flags}
        assert "  python -m nlrn_jax.main " in shown[name][1]
    assert flags_in(shown[""]) == {"config", "workdir", "mode", "compilation_cache"}


def test_help_shows_every_flag_of_the_program_and_no_other():
    shown = set().union(*map(flags_in, sections().values()))
    assert shown == {held.name for held in HOLDERS.values()}


def test_help_fits_a_terminal():
    wide = [line for line in options.usage().splitlines() if len(line) > 100]
    assert all(line.startswith("  python -m nlrn_jax.main") for line in wide)


@pytest.mark.parametrize("word", ["--help", "-h"])
def test_help_is_asked_for_in_the_usual_ways(word):
    program = [sys.executable, "-m", "nlrn_jax.main", "--config=nowhere.py", word]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, options.usage() + "\n", "")


def test_neither_help_nor_importing_the_package_imports_jax():
    program = """if True:
        import sys
        import nlrn_jax, nlrn_jax.main
        from nlrn_jax import options
        options.usage()
        assert "jax" not in sys.modules
        assert callable(nlrn_jax.restore) and "jax" in sys.modules
    """
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_public_name_can_be_had():
    import nlrn_jax

    assert all(callable(getattr(nlrn_jax, name)) for name in nlrn_jax.__all__)
    assert set(nlrn_jax.__all__) <= set(dir(nlrn_jax))
    with pytest.raises(AttributeError, match="nothing"):
        nlrn_jax.nothing  # noqa: B018


@pytest.mark.parametrize(
    "arguments, folder",
    [
        (["--config=configs/sr_x3.py"], "runs/sr_x3"),
        (["--config=configs/sr_x3.py:quick"], "runs/sr_x3_quick"),
        (["--config=configs/sr_x3.py:quick", "--config.model.filters=8"], "runs/sr_x3_quick"),
        (["--config=configs/study_recipes.py:10", "--mode=study"], "runs/study_recipes_10"),
        (["--config=configs/sr_x3.py", "--workdir=x/y"], "x/y"),
        (["--mode=restore", "--input=a.png", "--config=configs/sr_x2.py"], "runs/sr_x2"),
        (["--mode=restore", "--input=a.png", "--workdir=x/y"], "x/y"),
    ],
)
def test_a_run_lies_where_it_is_told_or_else_by_its_config(arguments, folder, parsed):
    parsed(*arguments)
    assert options.workdir() == Path(folder)
