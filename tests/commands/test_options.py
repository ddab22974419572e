"""The flags: what `--help` says of them, and where a run lies that names no workdir."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from absl import flags
from absl.testing import flagsaver

from configs import base, sr_x3
from nlrn_jax.commands import arguments, menu, options
from nlrn_jax.config.record import to_json

# ml_collections loads configuration files the old way.
pytestmark = pytest.mark.filterwarnings("ignore:the load_module.. method:DeprecationWarning")

ROOT = Path(__file__).parents[2]
HOLDERS = {
    name: held
    for name, held in (vars(options) | vars(menu)).items()
    if isinstance(held, flags.FlagHolder)
}


@pytest.fixture
def parsed(monkeypatch):
    """Return a function that parses a command line, and leaves no flag behind."""
    monkeypatch.chdir(ROOT)
    was_parsed = flags.FLAGS.is_parsed()

    def parse(*arguments):
        monkeypatch.setattr(sys, "argv", ["main", *arguments])
        menu.parse(sys.argv)

    with flagsaver.flagsaver():
        yield parse
    if not was_parsed:
        flags.FLAGS.unparse_flags()


def sections():
    """Return the lines of the help by the mode that they stand under; '' for every mode."""
    found, mode = {"": []}, ""
    for line in menu.usage().splitlines():
        if head := re.match(r"--mode=(\w+)[ :]", line):
            mode = head[1]
            found[mode] = []
        found[mode].append(line)
    return found


def flags_in(lines):
    return set(re.findall(r"^  --(\w+)(?:=\.\.\.|  )", "\n".join(lines), re.MULTILINE))


def test_help_shows_every_mode_with_an_example_and_the_flags_that_it_obeys():
    shown = sections()
    assert list(shown) == ["", *menu.MODES]
    for name, mode in menu.MODES.items():
        assert flags_in(shown[name]) == set(mode.flags)
        assert "  python -m nlrn_jax.main " in shown[name][1]
    assert flags_in(shown[""]) == {"config", "workdir", "mode", "compilation_cache"}


def test_help_shows_every_flag_of_the_program_and_no_other():
    shown = set().union(*map(flags_in, sections().values()))
    assert shown == {held.name for held in HOLDERS.values()}


def test_help_fits_a_terminal():
    wide = [line for line in menu.usage().splitlines() if len(line) > 100]
    assert all(line.startswith("  python -m nlrn_jax.main") for line in wide)


@pytest.mark.parametrize("word", ["--help", "-h"])
def test_help_is_asked_for_in_the_usual_ways(word):
    program = [sys.executable, "-m", "nlrn_jax.main", "--config=nowhere.py", word]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, menu.usage() + "\n", "")


def test_neither_help_nor_importing_the_package_imports_jax():
    program = """if True:
        import sys
        import nlrn_jax, nlrn_jax.main
        from nlrn_jax.commands import menu
        menu.usage()
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


def refused(parsed, capsys, *arguments):
    """Return the one line that a command line is refused with."""
    with pytest.raises(SystemExit) as end:
        parsed(*arguments)
    out, err = capsys.readouterr()
    assert end.value.code == 2 and not out
    assert re.fullmatch(r"error: [^\n]+\n", err), err
    return err


# The least command line of each mode.
LEAST = {
    "train": ["--config=configs/sr_x3.py"],
    "evaluate": ["--config=configs/sr_x3.py"],
    "restore": ["--workdir=a", "--input=a.png"],
    "explain": ["--workdir=a", "--at=1,2"],
    "compare": ["--workdir=a", "--runs=a,b"],
    "study": ["--config=configs/study_steps.py"],
    "plan": ["--config=configs/sr_x3.py"],
    "weights": [],
    "export": ["--workdir=a", "--output=b.safetensors"],
    "import": ["--checkpoint=a", "--output=b.safetensors"],
}
VALUES = {
    "weights": "denoise",
    "distributed": "auto", "runs": "a,b", "checkpoint": "best", "topology": "v5e:4x4",
    "at": "1,2", "states": "1", "original": "a.png", "input": "a.png", "output": "b.png",
    "overwrite": "true", "scale": "3", "memory": "4GiB", "exact": "true", "ensemble": "true",
    "patches": "45", "stride": "7", "max_megapixels": "9", "strength": "0.5",
    "format": "png", "quality": "80", "skip": "true", "compare": "true",
}  # fmt: skip
OF_A_MODE = {name for mode in menu.MODES.values() for name in mode.flags}


def test_each_flag_of_a_mode_has_a_value_here():
    assert VALUES.keys() == OF_A_MODE and LEAST.keys() == menu.MODES.keys()


@pytest.mark.parametrize("mode", menu.MODES)
@pytest.mark.parametrize("flag", sorted(VALUES))
def test_a_flag_is_obeyed_or_refused_by_each_mode(mode, flag, parsed, capsys):
    obeyed = set(menu.MODES[mode].flags)
    given = [f"--mode={mode}", *LEAST[mode], f"--{flag}={VALUES[flag]}"]
    if flag == "stride":
        given.append("--patches=45")
    if flag == "weights" and flag in obeyed and "--workdir=a" in given:  # instead of a run
        given.remove("--workdir=a")
    if flag == "format" and mode == "export":
        given[-1] = "--format=stablehlo"
    if flag in obeyed:
        parsed(*given)
    else:
        line = refused(parsed, capsys, *given)
        assert f"--mode={mode} does not obey it" in line and "is a flag of --mode=" in line


@pytest.mark.parametrize("mode", ["restore", "explain", "compare"])
def test_fields_of_a_recipe_are_refused_where_the_run_has_its_own(mode, parsed, capsys):
    given = [f"--mode={mode}", "--config=configs/sr_x3.py", *LEAST[mode], "--config.seed=3"]
    assert "--config.seed: " in refused(parsed, capsys, *given)


@pytest.mark.parametrize(
    "mode, given, said",
    [
        ("compare", ["--config=configs/sr_x3.py"], "--config: "),
        ("import", ["--checkpoint=newest,best"], "--checkpoint=newest,best: name one"),
        ("export", ["--weights=denoise"], "--weights and a run are two networks"),
        ("evaluate", ["--weights=sr", "--runs=a"], "--weights and a run are two networks"),
        ("restore", ["--stride=5"], "--stride"),
        ("restore", ["--format=stablehlo"], "--format=stablehlo: --mode=restore has png"),
        ("export", ["--format=png"], "--format=png: --mode=export has safetensors, stablehlo"),
        ("restore", ["--patches=9", "--exact"], "--exact"),
        ("restore", ["--checkpoint=newest,best"], "--checkpoint=newest,best"),
        ("restore", ["--checkpoint="], "--checkpoint="),
        ("explain", ["--checkpoint=1,2"], "--checkpoint=1,2"),
        ("evaluate", ["--checkpoint="], "--checkpoint="),
        ("evaluate", ["--checkpoint=1,,2"], "--checkpoint=1,,2"),
        ("evaluate", ["--config=configs/sr_x2.py"], "configs/sr_x3.py and configs/sr_x2.py"),
        ("evaluate", ["--runs=a,,b"], "--runs"),
        ("evaluate", ["--runs="], "--runs"),
        ("train", ["--workdir= "], "--workdir"),
        ("train", ["--compilation_cache="], "--compilation_cache"),
        ("train", ["--workdir=~no_such_user_here/x"], "./~no_such_user_here/x"),
        ("restore", ["--output="], "--output"),
        ("train", ["--flagfile=nowhere"], "nowhere"),
        ("train", ["--flagfile"], "flagfile"),
        ("train", ["--nooverwrite=3"], "overwrite"),
        ("train", ["restore"], "written --mode=restore"),
        ("train", ["--distributed="], "--distributed"),
        ("train", ["--config.=3"], "there is no ''"),
        ("train", ["--config.train=3"], "--config.train is a section"),
        ("train", ["--config.train.steps=None"], "--config.train.steps=None"),
        ("train", ["--config.train.learning_rate=None"], "--config.train.learning_rate=None"),
        ("train", ["--config.degrade.sigma"], "--config.degrade.sigma"),
        ("train", ["--config.degrade.sigma=(1,2"], "--config.degrade.sigma"),
        ("train", ["--noconfig.train.steps"], "config.train.steps"),
        ("study", ["--config=configs/sr_x3.py"], "given twice"),
        ("train", ["--config.train.steps=many"], "=many: a whole number is needed"),
        ("train", ["--config.model.propagate=maybe"], "=maybe: true or false is needed"),
        ("restore", ["--strength=1.5"], "--strength=1.5"),
        ("restore", ["--strength=-0.1"], "--strength=-0.1"),
        ("restore", ["--strength=nan"], "--strength=nan: a number from 0 to 1 is needed"),
        ("restore", ["--strength=half"], "--strength=half"),
        ("restore", ["--format=gif"], "--format=gif"),
        ("restore", ["--format="], "--format="),
        ("restore", ["--quality=0"], "--quality=0"),
        ("restore", ["--quality=101"], "--quality=101"),
        ("restore", ["--quality=best"], "--quality=best"),
        ("restore", ["--skip", "--overwrite"], "--skip leaves results alone"),
        ("restore", ["--overwrite=maybe"], "--overwrite=maybe: true or false is needed"),
    ],
)
def test_what_is_no_command_line_is_refused_in_a_line(mode, given, said, parsed, capsys):
    assert said in refused(parsed, capsys, f"--mode={mode}", *LEAST[mode], *given)


@pytest.mark.parametrize("text, window", [("5", 5), ("None", None), ("none", None)])
def test_the_window_can_be_none_again_as_an_error_recommends(text, window, parsed):
    parsed("--config=configs/study_window.py", f"--config.model.neighborhood={text}")
    assert options.CONFIG.value.model.neighborhood == window
    assert options.overridden() == {"model.neighborhood": window}


@pytest.mark.parametrize(
    "given",
    [
        ["--config", "configs/sr_x3.py", "--mode", "plan", "--config.train.steps", "7"],
        ["-config=configs/sr_x3.py", "-mode=plan", "-config.train.steps=7"],
        ["--config.train.steps=7", "--mode=plan", "--config=configs/sr_x3.py"],
        ["--flagfile={}/flags", "--mode=plan"],
        ["--config=configs/sr_x3.py", "--config=configs/sr_x3.py", "--flagfile", "{}/flags"],
    ],
)
def test_flags_are_written_in_the_usual_ways(given, parsed, tmp_path):
    (tmp_path / "flags").write_text(
        "# kept\n--config=configs/sr_x3.py\n--config.train.steps=7\n--mode=plan\n"
    )
    parsed(*(word.format(tmp_path) for word in given))
    assert menu.MODE.value == "plan" and options.CONFIG.value.train.steps == 7
    assert options.workdir() == Path("runs/sr_x3")


@pytest.mark.parametrize("flag", ["workdir", "input", "output", "compilation_cache"])
def test_a_tilde_is_the_home_folder_in_every_flag_that_is_a_path(flag, parsed, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    parsed("--mode=restore", "--workdir=a", "--input=a.png", f"--{flag}=~/x")
    assert flags.FLAGS[flag].value == "/home/me/x"


def test_a_tilde_is_the_home_folder_in_lists_of_paths_too(parsed, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    parsed("--mode=compare", "--workdir=~", "--runs=a,~/b")
    assert options.RUNS.value == ["a", "/home/me/b"] and options.workdir() == Path("/home/me")


def test_a_tilde_is_the_home_folder_of_an_original_too(parsed, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    parsed("--mode=explain", "--workdir=~", "--at=1,2", "--original=~/c")
    assert options.ORIGINAL.value == "/home/me/c"


@pytest.fixture
def run(tmp_path):
    """Make a folder with the configuration of a run."""
    (tmp_path / "run").mkdir()
    config = base.quick(sr_x3.get_config())
    (tmp_path / "run" / "config.json").write_text(to_json(config))
    return tmp_path / "run"


def test_evaluation_of_weights_reads_theirs_or_takes_a_recipe(parsed):
    parsed("--mode=evaluate", "--weights=sr", "--config.evaluate.stride=5")
    config = options.CONFIG.value
    assert (config.task, config.evaluate.stride, options.network()) == ("sr", 5, "sr")
    assert options.drawn() == Path("runs/weights_sr") and not options.is_by_recipe()
    parsed("--mode=evaluate", "--weights=sr", "--config=configs/sr_x3.py")
    assert options.CONFIG.value.model.filters == 128 and options.network() == "sr"


@pytest.mark.parametrize("given", [["--workdir={}"], ["--runs={}"], ["--config={}/config.json"]])
def test_evaluation_reads_the_configuration_of_its_run(given, parsed, run):
    given = [word.format(run) for word in given]
    parsed("--mode=evaluate", *given, "--config.evaluate.stride=5")
    config = options.CONFIG.value
    assert (config.model.filters, config.evaluate.stride) == (32, 5)
    assert options.workdir() == run and not options.is_by_recipe()


def test_a_run_is_no_study(parsed, run, capsys):
    line = refused(parsed, capsys, "--mode=study", f"--config={run}/config.json")
    assert "is of one run; a study is as --config=configs/study_" in line


def test_results_of_several_runs_want_a_folder(parsed, run, capsys):
    line = refused(parsed, capsys, "--mode=evaluate", f"--runs={run},{run}")
    assert "--workdir is missing" in line
    parsed("--mode=evaluate", f"--runs={run},{run}", "--workdir=both")
    assert options.workdir() == Path("both")


def test_evaluation_of_nothing_asks_for_a_recipe_or_a_run(parsed, capsys):
    assert "--workdir=RUN" in refused(parsed, capsys, "--mode=evaluate")
    assert "a is not the folder of a run" in refused(
        parsed, capsys, "--mode=evaluate", "--workdir=a"
    )


@pytest.mark.parametrize(
    "word", ["help", "--helpfull", "--helpshort", "-?", "-help", "--help=true"]
)
def test_help_is_shown_whatever_it_is_called(word, parsed, capsys):
    with pytest.raises(SystemExit) as end:
        parsed(word)
    assert end.value.code == 0 and capsys.readouterr().out == menu.usage() + "\n"


def test_help_says_how_the_program_was_called(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/usr/bin/nlrn-jax"])
    assert "  nlrn-jax --mode=restore " in menu.usage()
    assert "nlrn_jax.main" not in menu.usage()


def test_help_may_be_cut_short_by_its_reader():
    program = f"{sys.executable} -m nlrn_jax --help | head -n 1"
    done = subprocess.run(program, shell=True, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.startswith("The Non-Local") and not done.stderr


def test_a_command_to_copy_names_the_python_that_runs(monkeypatch):
    monkeypatch.setattr(
        sys, "argv", ["main", "--mode", "train", "--distributed", "0/2@h:1", "--x=a b"]
    )
    monkeypatch.setenv("PATH", "/nowhere")
    expected = [sys.executable, "-m", "nlrn_jax.main", "--x=a b", "--mode=plan"]
    assert shlex.split(arguments.command_for("plan")) == expected
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    assert shlex.split(arguments.command(["a b"])) == ["python", "-m", "nlrn_jax.main", "a b"]


def test_the_last_value_of_a_field_counts_of_tuples_too(parsed):
    parsed(
        "--config=configs/denoise_25.py", "--config.degrade.sigma=15.", "--config.train.steps=7",
        "--config.degrade.sigma=50.",
    )  # fmt: skip
    assert options.CONFIG.value.degrade.sigma == (50.0,)
    assert options.CONFIG.value.train.steps == 7


def test_a_field_without_a_recipe_is_told_from_an_unknown_flag(parsed, capsys):
    with pytest.raises(SystemExit):
        parsed("--mode=restore", "--workdir=x", "--input=a.png", "--config.train.steps=5")
    assert "--config.train.steps is a field of a recipe" in capsys.readouterr().err
