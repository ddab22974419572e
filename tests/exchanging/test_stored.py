"""A network is found wherever it is stored: a run, a file, a folder, a shipped name."""

import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

from nlrn_jax import load, restore
from nlrn_jax.errors import UserError
from nlrn_jax.exchanging import shipped
from nlrn_jax.exchanging.export import exported
from nlrn_jax.exchanging.file import Facts, Weights, flat, nested, write_weights
from nlrn_jax.exchanging.stored import described, find_step, load_trained, read_config
from nlrn_jax.network.build import build_model
from nlrn_jax.training.checkpoints import Checkpoints
from nlrn_jax.training.run import claim_workdir
from nlrn_jax.training.state import create_state


@pytest.fixture
def weights(tiny_config):
    """Weights of 8 filters, of step 12."""
    return Weights(tiny_config, create_state(tiny_config).variables, Facts(steps=12))


@pytest.fixture
def run(tiny_config, tmp_path):
    """A run with a checkpoint of step 0."""
    claim_workdir(tmp_path / "run", tiny_config)
    with Checkpoints(tmp_path / "run", keep=1) as checkpoints:
        checkpoints.save(create_state(tiny_config), tiny_config, None)
    return tmp_path / "run"


def assert_equal(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_a_file_and_a_folder_are_loaded_as_a_run_is(run, tmp_path):
    model, variables = load(run)
    for place in (tmp_path / "a.safetensors", tmp_path / "hub"):
        write_weights(place, exported(run))
        assert load(place)[0] == model
        assert_equal(load(str(place))[1], variables)
        assert read_config(place).to_dict() == read_config(run).to_dict()
        assert find_step(place) == find_step(run) == 0
        assert described(place) == "grey pictures with Gaussian noise of sigma 25"


def test_a_file_holds_one_step(weights, tmp_path):
    file = write_weights(tmp_path / "a.safetensors", weights)
    for checkpoint in ("newest", "best", 12, "12"):
        assert find_step(file, checkpoint) == 12
    with pytest.raises(UserError, match="holds the weights of step 12 alone, not of 7"):
        load(file, 7)


def test_each_shipped_name_is_loaded(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in shipped.names():
        model, variables = load_trained(name)
        assert model == build_model(read_config(name)) and model.neighborhood is None
        assert load(name)[0] == model.clone(neighborhood=model.window)
        assert_equal(variables, load(shipped.path_of(name))[1])


def test_what_is_loaded_is_what_restores():
    """On pictures larger than the window too, where that of the whole input is another."""
    model, variables = load("denoise")
    noisy = np.random.default_rng(0).random((model.window + 7, model.window + 4), np.float32)
    applied = model.apply(variables, noisy[None, :, :, None])[0, :, :, 0]
    np.testing.assert_allclose(restore(model, variables, noisy), applied, atol=1e-6)
    whole, _ = load_trained("denoise")
    assert abs(whole.apply(variables, noisy[None, :, :, None])[0, :, :, 0] - applied).max() > 1e-3


def test_a_run_in_a_folder_of_a_shipped_name_comes_first(run, monkeypatch, tmp_path):
    run.rename(tmp_path / "denoise")
    monkeypatch.chdir(tmp_path)
    assert read_config("denoise").model.filters == 8


@pytest.fixture
def named(weights, monkeypatch, tmp_path):
    """Let small weights be the only ones that came with the program, as `denoise`."""
    monkeypatch.setattr(shipped, "FOLDER", tmp_path / "weights")
    write_weights(tmp_path / "weights" / "denoise.safetensors", weights)
    monkeypatch.chdir(tmp_path)


def test_pictures_in_a_folder_of_a_shipped_name_hide_nothing(named, tmp_path):
    (tmp_path / "denoise").mkdir()
    assert read_config("denoise").model.filters == 8 and find_step("denoise") == 12


def test_an_unknown_name_lists_the_known_ones(named):
    with pytest.raises(UserError, match=r"^denoize is not the folder of a run, .* denoise.*: name"):
        load("denoize")
    with pytest.raises(UserError, match=r"^no network is named: name a run, .*\(denoise\)"):
        load("")
    with pytest.raises(UserError, match=r"denoize\.safetensors: no such file"):
        load("denoize.safetensors")
    Path("photo.png").touch()
    with pytest.raises(UserError, match=r"photo\.png: is no file of weights"):
        load("photo.png")
    with pytest.raises(UserError, match=r"runs/denoize is not the folder of a run; train it"):
        load("runs/denoize")


@pytest.mark.parametrize(
    "name, change, said",
    [
        ("params.cell.g.bias", lambda array: None, r"params\.cell\.g\.bias is missing"),
        ("params.extra", lambda array: np.zeros(3, np.float32), r"params\.extra is none of it"),
        ("params.cell.g.bias", lambda array: array[1:], r"is float32 \[7\], not float32 \[8\]"),
        ("params.cell.g.bias", lambda array: array * np.nan, r"g\.bias holds NaN or infinity"),
    ],
)
def test_arrays_of_another_network_are_one_line(name, change, said, weights, tmp_path):
    arrays = {key: np.asarray(array) for key, array in flat(weights.variables)}
    changed = arrays | {name: change(arrays.get(name))}
    tree = nested({key: array for key, array in changed.items() if array is not None})
    file = write_weights(tmp_path / "a.safetensors", weights._replace(variables=tree))
    with pytest.raises(UserError, match=said) as error:
        load(file)
    assert "\n" not in str(error.value)


def test_a_configuration_of_no_network_is_one_line(weights, tmp_path):
    config = weights.config.copy_and_resolve_references()
    with config.unlocked():
        config.model.heads = 3
    file = write_weights(tmp_path / "a.safetensors", weights._replace(config=config))
    with pytest.raises(UserError, match="its config describes no network"):
        load(file)


def test_the_usual_weights_are_those_of_the_kind_or_the_nearest(named):
    assert shipped.usual(colour=False) == shipped.usual(colour=True) == "denoise"
    for name, of_colour in (("denoise_color",) * 2, ("photo",) * 2, ("sr", "photo")):
        shutil.copy(shipped.path_of("denoise"), shipped.path_of(name))
        assert shipped.usual(colour=True) == of_colour
        assert shipped.usual(colour=False) == "denoise"
    assert shipped.usual(colour=True, scale=2) == shipped.usual(colour=False, scale=4) == "sr"


def test_an_enlargement_is_not_made_by_what_denoises(named):
    with pytest.raises(UserError, match="no weights for that came with the program"):
        shipped.usual(colour=True, scale=2)
