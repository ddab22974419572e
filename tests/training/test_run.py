"""A run on disk: one configuration, and the checkpoint that is asked for."""

import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from nlrn_jax.config.record import differences
from nlrn_jax.errors import UserError
from nlrn_jax.network.build import build_model
from nlrn_jax.training.checkpoints import Checkpoints
from nlrn_jax.training.run import (
    claim_workdir,
    find_step,
    held,
    load,
    newest_step,
    read_config,
    require_apart,
    require_folder,
    require_same_run,
)
from nlrn_jax.training.state import create_state


def make_run(workdir, config, *scores):
    """Save steps 1, 2, ... with these PSNRs; return their states, each with weights of its own."""
    claim_workdir(workdir, config)
    fresh, states = create_state(config), {}
    with Checkpoints(workdir, keep=2) as checkpoints:
        for step, psnr in enumerate(scores, 1):
            variables = jax.tree.map(lambda leaf, step=step: leaf + step, fresh.variables)
            states[step] = fresh.replace(step=jnp.int32(step), variables=variables)
            checkpoints.save(states[step], config, psnr)
    return states


def assert_equal(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_load_brings_model_and_weights_together(tiny_config, tmp_path):
    states = make_run(tmp_path, tiny_config, 30.0, 20.0)
    model, variables = load(tmp_path)
    assert model == build_model(tiny_config)
    assert_equal(variables, states[2].variables)
    assert_equal(load(tmp_path, "best")[1], states[1].variables)


def test_load_says_nothing_where_all_is_well(tiny_config, tmp_path, caplog, capfd):
    make_run(tmp_path, tiny_config, 30.0)
    caplog.clear()
    capfd.readouterr()
    load(tmp_path)
    assert not caplog.records and capfd.readouterr() == ("", "")


def test_load_takes_the_averaged_weights_where_the_run_keeps_them(tiny_config, tmp_path):
    tiny_config.train.ema = 0.5
    states = make_run(tmp_path, tiny_config, None)
    assert_equal(load(tmp_path)[1], states[1].average)
    with pytest.raises(AssertionError):
        assert_equal(states[1].average, states[1].variables)


def test_a_checkpoint_is_found_by_name_or_by_step(tiny_config, tmp_path):
    make_run(tmp_path, tiny_config, 20.0, 30.0, 25.0)
    names = ("newest", "best", 3, "2")
    assert [find_step(tmp_path, name) for name in names] == [3, 2, 3, 2]
    assert_equal(load(tmp_path, 2)[1], load(tmp_path, "best")[1])
    for wrong in (4, "4", "last", "-1"):
        with pytest.raises(UserError, match=f"no checkpoint {wrong}; .* steps 2, 3"):
            find_step(tmp_path, wrong)


def test_there_is_no_best_where_nothing_was_validated(tiny_config, tmp_path):
    make_run(tmp_path, tiny_config, None)
    with pytest.raises(UserError, match=r"no checkpoint best; there are newest and the steps 1$"):
        find_step(tmp_path, "best")


def test_the_newest_step_is_0_before_the_first_checkpoint(tiny_config, tmp_path):
    assert newest_step(tmp_path / "nowhere") == 0
    claim_workdir(tmp_path, tiny_config)
    assert newest_step(tmp_path) == 0
    make_run(tmp_path, tiny_config, None, None)
    assert newest_step(tmp_path) == 2
    assert not (tmp_path / "nowhere").exists()


def test_loading_what_is_no_run_says_so(tiny_config, tmp_path):
    with pytest.raises(UserError, match=r"config\.json: no such file"):
        load(tmp_path / "nowhere")
    claim_workdir(tmp_path, tiny_config)
    with pytest.raises(UserError, match="no newest checkpoint yet"):
        load(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UserError, match="not a configuration"):
        load(tmp_path)


def test_a_workdir_belongs_to_one_configuration(tiny_config, tmp_path):
    claim_workdir(tmp_path, tiny_config)
    assert differences(read_config(tmp_path), tiny_config) == []
    tiny_config.train.steps = 99  # going on for longer is the same run
    claim_workdir(tmp_path, tiny_config)
    assert read_config(tmp_path).train.steps == 99
    tiny_config.model.filters = 16
    for refuse in (claim_workdir, require_same_run):
        with pytest.raises(UserError, match=r"model\.filters: 8 there, 16 now"):
            refuse(tmp_path, tiny_config)
    assert read_config(tmp_path).model.filters == 8


def test_asking_claims_nothing(tiny_config, tmp_path):
    require_same_run(tmp_path / "new", tiny_config)
    assert not (tmp_path / "new").exists()


def files(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def halve(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


# What may happen to the folder of a checkpoint when power fails, a disk is full, a copy breaks off.
DAMAGES = {
    "data emptied": lambda folder: [p.write_bytes(b"") for p in folder.glob("state/**/d/*")],
    "data halved": lambda folder: [halve(p) for p in folder.glob("state/**/d/*")],
    "data missing": lambda folder: [p.unlink() for p in folder.glob("state/**/d/*")],
    "all emptied": lambda folder: [p.write_bytes(b"") for p in files(folder)],
    "all halved": lambda folder: [halve(p) for p in files(folder)],
    "no index": lambda folder: (folder / "state" / "manifest.ocdbt").unlink(),
    "a broken index": lambda folder: halve(folder / "state" / "manifest.ocdbt"),
    "no list of arrays": lambda folder: (folder / "state" / "_METADATA").unlink(),
    "an empty list of arrays": lambda folder: (folder / "state/_METADATA").write_text("{}"),
    "no state": lambda folder: shutil.rmtree(folder / "state"),
    "nothing": lambda folder: (shutil.rmtree(folder), folder.mkdir()),
}


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A run of steps 1 and 2, and their states."""
    workdir = tmp_path_factory.mktemp("sound")
    return workdir, make_run(workdir, tiny.config(), 30.0, 20.0)


@pytest.mark.parametrize("damage", DAMAGES)
def test_instead_of_a_damaged_checkpoint_the_newest_whole_one_is_loaded(
    damage, sound, tmp_path, capfd
):
    workdir, states = sound
    run = shutil.copytree(workdir, tmp_path / "run")
    DAMAGES[damage](run / "checkpoints" / "2")
    before = sorted(run.rglob("*"))
    assert_equal(load(run)[1], states[1].variables)
    assert find_step(run) == find_step(run, "best") == 1
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 2  # of `load` and of the newest step
    for line in lines:
        assert line.startswith(f"warning: {run}/checkpoints/2 is damaged (")
        assert line.endswith("; step 1 is taken")
    with pytest.raises(UserError, match=r"cannot read 2 \([^\n]+\); name another .* steps 1$"):
        load(run, 2)
    assert sorted(run.rglob("*")) == before


def test_the_best_that_is_whole_is_loaded(sound, tmp_path, capfd):
    run = shutil.copytree(sound[0], tmp_path / "run")
    DAMAGES["data halved"](run / "checkpoints" / "1")
    assert find_step(run, "best") == 2
    assert "checkpoints/1 is damaged" in capfd.readouterr().err


@pytest.mark.parametrize("figures", [b"", b"{}", b'{"psnr": NaN}', b"\xff"])
def test_figures_that_cannot_be_read_cost_a_checkpoint_its_rank_alone(
    figures, sound, tmp_path, capfd
):
    workdir, states = sound
    run = shutil.copytree(workdir, tmp_path / "run")
    (run / "checkpoints/1/metrics/metrics").write_bytes(figures)
    assert find_step(run, "best") == 2
    assert_equal(load(run, 1)[1], states[1].variables)
    with Checkpoints(run, keep=2) as checkpoints:  # as training opens them
        assert checkpoints.ranked == [2]
    assert (run / "damaged/1-metrics/metrics").read_bytes() == figures
    assert not capfd.readouterr().err


def test_a_run_without_a_whole_checkpoint_is_one_line(sound, tmp_path):
    run = shutil.copytree(sound[0], tmp_path / "run")
    for step in "12":
        DAMAGES["nothing"](run / "checkpoints" / step)
    for name in ("newest", 2):
        with pytest.raises(UserError, match=r"^[^\n]+/checkpoints: cannot read 2[^\n]+$"):
            load(run, name)


@pytest.mark.parametrize("text", ["", "{", "{}", "[]", '"text"', '{"model": 1}', "\xff"])
def test_a_damaged_configuration_is_mended_by_its_copy(text, sound, tmp_path):
    run = shutil.copytree(sound[0], tmp_path / "run")
    config = run / "config.json"
    whole = json.loads(config.read_text())
    config.write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match=rf"^{config} is not .*; the newest .* copy: cp ") as error:
        load(run)
    _, source, target = str(error.value).partition("copy: ")[2].split()
    shutil.copy(source, target)
    assert json.loads(config.read_text()) == whole
    load(run)


def test_a_lost_configuration_is_not_replaced_by_another(sound, tmp_path):
    run = shutil.copytree(sound[0], tmp_path / "run")
    (run / "config.json").unlink()
    with pytest.raises(UserError, match=r"config\.json is missing; .*: cp "):
        claim_workdir(run, tiny.config())
    assert not (run / "config.json").exists()


def test_a_finished_run_keeps_its_configuration_when_fewer_steps_are_asked_for(tiny_config, sound):
    before = (sound[0] / "config.json").read_bytes()
    tiny_config.train.steps = 1
    claim_workdir(sound[0], tiny_config)
    assert (sound[0] / "config.json").read_bytes() == before


def test_a_run_is_found_by_any_spelling_of_its_place(tiny_config, tmp_path):
    make_run(tmp_path / "run", tiny_config, 30.0)
    (tmp_path / "other").mkdir()
    assert find_step(tmp_path / "other" / ".." / "run") == 1


def test_a_configuration_of_another_network_is_said_to_be_one(tiny_config, tmp_path):
    make_run(tmp_path, tiny_config, 30.0)
    path = tmp_path / "config.json"
    path.write_text(path.read_text().replace('"filters": 8', '"filters": 9'))
    with pytest.raises(UserError, match=r"config\.json: is of another network .*: cp "):
        find_step(tmp_path)


@pytest.mark.parametrize(
    "wrong", ['"filters": "x"', '"filtres": 8', '"filters": 8, "heads": 3', '"steps": null']
)
def test_a_configuration_of_no_network_is_said_to_be_none(tiny_config, tmp_path, wrong):
    make_run(tmp_path, tiny_config, 30.0)
    path = tmp_path / "config.json"
    right = '"steps": 2' if "steps" in wrong else '"filters": 8'
    path.write_text(path.read_text().replace(right, wrong))
    with pytest.raises(UserError, match=r"config\.json is not a configuration .*: cp "):
        find_step(tmp_path)


def test_two_programs_do_not_train_in_one_folder(tmp_path):
    with held(tmp_path / "run"):
        with (
            pytest.raises(UserError, match=r"another program trains in it"),
            held(tmp_path / "run"),
        ):
            pass
        with held(tmp_path / "another"):
            pass
    with held(tmp_path / "run"):
        pass


@pytest.mark.parametrize("name", ["array_metadatas/process_0", "_METADATA"])
def test_a_checkpoint_with_a_damaged_side_file_is_not_taken(tiny_config, tmp_path, name, capsys):
    make_run(tmp_path, tiny_config, 30.0, 20.0)
    (tmp_path / "checkpoints" / "2" / "state" / name).write_bytes(b"")
    assert find_step(tmp_path) == 1
    assert "checkpoints/2 is damaged" in capsys.readouterr().err


def test_a_damaged_list_of_the_devices_of_training_keeps_nobody_from_the_weights(
    tiny_config, tmp_path, capsys
):
    states = make_run(tmp_path, tiny_config, 30.0, 20.0)
    (tmp_path / "checkpoints" / "2" / "state" / "_sharding").write_bytes(b"")
    assert_equal(load(tmp_path)[1], states[2].variables)
    assert not capsys.readouterr().err


def test_a_run_lies_in_a_folder_of_its_own(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "photos").mkdir()
    for place in ("file", "file/run"):
        with pytest.raises(
            UserError, match=rf"^--workdir={tmp_path}/{place}: .*/file is a file, not a folder"
        ):
            require_folder(tmp_path / place)
    for place in ("photos", "photos/run", "other/../photos"):
        with pytest.raises(UserError, match=r"lies in config\.data.train=folder:"):
            require_apart(tmp_path / place, f"samples,folder:{tmp_path}/photos")
    require_folder(tmp_path / "new" / "run")
    require_apart(tmp_path, f"folder:{tmp_path}/photos")
    require_apart(tmp_path / "photos2", f"folder:{tmp_path}/photos")
