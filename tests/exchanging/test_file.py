"""A file of weights: what is written is read, by other programs too, and damage is one line."""

import json

import numpy as np
import pytest
import reference
import safetensors.numpy
from drawn import close, exact
from flax.traverse_util import flatten_dict, unflatten_dict

from nlrn_jax import load
from nlrn_jax.config.record import to_json
from nlrn_jax.errors import UserError
from nlrn_jax.exchanging import shipped
from nlrn_jax.exchanging.file import (
    Facts,
    Weights,
    flat,
    is_weights,
    nested,
    read_weights,
    write_weights,
)
from nlrn_jax.training.state import create_state

FIGURE = {
    "benchmark": "Set12", "label": "sigma 25", "protocol": "denoise", "seed": 0,
    "psnr": 30.0, "ssim": 0.9,
}  # fmt: skip


@pytest.fixture
def weights(tiny_config):
    """Weights of 8 filters, with facts."""
    variables = create_state(tiny_config).variables
    return Weights(tiny_config, variables, Facts("0.1.0", 12, 3, (FIGURE,)))


def assert_same(read, weights):
    assert read.config.to_dict() == weights.config.to_dict()
    assert read.facts == weights.facts
    wanted, found = dict(flat(weights.variables)), dict(flat(read.variables))
    assert found.keys() == wanted.keys()
    for name, array in found.items():
        np.testing.assert_array_equal(array, wanted[name])


def test_what_is_written_is_read(weights, tmp_path):
    file = write_weights(tmp_path / "a.safetensors", weights)
    assert file == tmp_path / "a.safetensors" and is_weights(file)
    assert_same(read_weights(file), weights)
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


def test_a_folder_is_as_hubs_have_it(weights, tmp_path):
    file = write_weights(tmp_path / "hub", weights)
    assert file == tmp_path / "hub" / "model.safetensors" and is_weights(tmp_path / "hub")
    assert (tmp_path / "hub" / "config.json").read_text() == to_json(weights.config)
    assert_same(read_weights(tmp_path / "hub"), weights)


def test_in_a_folder_the_configuration_may_lie_beside(weights, tmp_path):
    file = write_weights(tmp_path, weights)
    safetensors.numpy.save_file(safetensors.numpy.load_file(file), file)  # no metadata
    read = read_weights(tmp_path)
    assert_same(read, weights._replace(facts=Facts()))


def test_another_program_reads_the_arrays_by_documented_names(weights, tmp_path):
    arrays = safetensors.numpy.load_file(write_weights(tmp_path / "a.safetensors", weights))
    wanted = flatten_dict(weights.variables, sep=".")
    assert arrays.keys() == wanted.keys() and "params.cell.conv_a.kernel" in arrays
    for name, array in arrays.items():
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, wanted[name])


@pytest.mark.parametrize("name", shipped.names())
def test_numpy_alone_restores_by_the_weights_that_come_along(name):
    """By the documented names, the configuration in the metadata, and the paper's equations."""
    with safetensors.safe_open(shipped.path_of(name), "np") as file:
        fields = json.loads(file.metadata()["nlrn_jax"])["config"]["model"]
    arrays = safetensors.numpy.load_file(shipped.path_of(name))
    variables = exact(unflatten_dict(arrays, sep="."))
    shape = (1, 7, 9, fields["channels"])
    x = np.random.default_rng(0).uniform(size=shape).astype(np.float32)
    restored, _ = reference.network(x, variables, fields["steps"], fields["neighborhood"])
    model, ours = load(name)
    close(model.apply(ours, x), restored)
    assert abs(restored - x).max() > 0.1


def test_transposed_arrays_keep_their_order(weights, tmp_path):
    """Of those safetensors alone would write the memory as it lies."""
    turned = {"params": {"a": np.arange(6, dtype=np.float32).reshape(2, 3).T}}
    file = write_weights(tmp_path / "a.safetensors", weights._replace(variables=turned))
    np.testing.assert_array_equal(
        read_weights(file).variables["params"]["a"], turned["params"]["a"]
    )


def test_the_same_network_is_the_same_file(weights, tmp_path):
    """Though safetensors orders several metadata anew in each process, and each call."""
    files = [write_weights(tmp_path / f"{k}.safetensors", weights) for k in range(8)]
    assert len({file.read_bytes() for file in files}) == 1


def test_names_lead_back_to_the_tree():
    tree = {"a": {"b": 1, "c": {"d": 2}}, "e": 3}
    assert dict(flat(tree)) == {"a.b": 1, "a.c.d": 2, "e": 3}
    assert nested(dict(flat(tree))) == tree


def test_nothing_is_overwritten_unless_that_is_wanted(weights, tmp_path):
    file = write_weights(tmp_path / "a.safetensors", weights)
    before = file.read_bytes()
    with pytest.raises(UserError, match="exists already"):
        write_weights(file, weights._replace(facts=Facts()))
    assert file.read_bytes() == before
    write_weights(file, weights._replace(facts=Facts()), overwrite=True)
    assert read_weights(file).facts == Facts()


def test_the_configuration_of_a_run_is_never_replaced(weights, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "config.json").write_text("of the run")
    for overwrite in (False, True):
        with pytest.raises(UserError, match="is the folder of a run"):
            write_weights(tmp_path, weights, overwrite)
    assert (tmp_path / "config.json").read_text() == "of the run"
    write_weights(tmp_path / "a.safetensors", weights)  # a file beside it may lie there
    assert (tmp_path / "config.json").read_text() == "of the run"


def test_a_folder_is_not_made_of_a_file(weights, tmp_path):
    (tmp_path / "a").write_text("")
    with pytest.raises(UserError, match="is a file"):
        write_weights(tmp_path / "a", weights)


def test_what_is_no_file_of_weights_is_one_line(weights, tmp_path):
    whole = write_weights(tmp_path / "a.safetensors", weights).read_bytes()
    path = tmp_path / "b.safetensors"
    for content in (b"", b"no weights", whole[:-8], whole[:100]):
        path.write_bytes(content)
        with pytest.raises(
            UserError, match=r"b\.safetensors: is no whole file of weights"
        ) as error:
            read_weights(path)
        assert "\n" not in str(error.value)
    with pytest.raises(UserError, match=r"c\.safetensors: no such file"):
        read_weights(tmp_path / "c.safetensors")


@pytest.mark.parametrize(
    "told, said",
    [
        ({}, "metadata hold no config"),
        ({"config": {}}, "its config is none of this program"),
        ({"config": []}, "its config is none of this program"),
        ({"config": {"train": 3}}, "its config is none of this program"),
        ({"facts": []}, "its facts cannot be read"),
        ({"facts": {"unknown": 1}}, "its facts cannot be read"),
        ({"facts": {"steps": "many"}}, "its facts cannot be read"),
    ],
)
def test_metadata_of_others_are_one_line(told, said, weights, tmp_path):
    arrays = {name: np.asarray(array) for name, array in flat(weights.variables)}
    base = {"config": json.loads(to_json(weights.config))} if "facts" in told else {}
    metadata = {"nlrn_jax": json.dumps(base | told), "of": "others"}
    safetensors.numpy.save_file(arrays, tmp_path / "a.safetensors", metadata)
    with pytest.raises(UserError, match=said):
        read_weights(tmp_path / "a.safetensors")
