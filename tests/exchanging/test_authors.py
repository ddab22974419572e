"""Checkpoints of the authors' TensorFlow programs become our networks, or are refused by name.

Those in `checkpoints/` were written by TensorFlow 2.x itself: tests/authors.py.
"""

from pathlib import Path

import authors
import numpy as np
import pytest
from drawn import close

from configs import base
from nlrn_jax.errors import UserError
from nlrn_jax.exchanging.authors import as_weights, read_authors, told
from nlrn_jax.exchanging.bundle import read_bundle
from nlrn_jax.exchanging.file import read_weights, write_weights
from nlrn_jax.network.build import build_model

CHECKPOINTS = Path(__file__).parent / "checkpoints"
PROGRAMS = list(authors.PROGRAMS)
IMAGES = np.random.default_rng(9).random((2, 7, 9, 1), np.float32)


def saved(folder, arrays):
    path = folder / "theirs.npz"
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("scope, channels", [("model/", 1), ("", 1), ("a/b/", 3)])
def test_it_restores_as_their_program_does(program, scope, channels, tmp_path):
    arrays = authors.variables(program, scope, channels=channels)
    found = read_authors(saved(tmp_path, arrays))
    file = write_weights(tmp_path / "ours.safetensors", as_weights(found, base.get_config()))
    weights = read_weights(file)
    x = np.repeat(IMAGES, channels, -1)
    expected = authors.restore(program, arrays, x, scope)
    assert abs(expected - x).max() > 1e-3
    ours = build_model(weights.config).apply(weights.variables, x)
    close(ours - x, expected - x)


@pytest.mark.parametrize("program", PROGRAMS)
def test_what_tensorflow_wrote_is_read(program):
    arrays = read_bundle(CHECKPOINTS / program)
    expected = authors.variables(program)
    assert arrays.keys() == expected.keys()  # and not the step, which is no float32
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, expected[name])


@pytest.mark.parametrize("program", PROGRAMS)
def test_it_says_what_it_found(program):
    found = read_authors(CHECKPOINTS / program)
    handed = "the correlation" if program == "NLRN_v0" else "no correlation"
    assert told(found) == (
        "2 states, 6 filters, embeddings of 3, 1 channel(s), "
        f"{handed} handed on, as in {program}; 2 arrays are no weights"
    )


NAME = "model/rnn/RB1_a/kernel"


@pytest.mark.parametrize(
    "change, message",
    [
        ({NAME: None}, f"has no variable {NAME}"),
        ({"model/rnn/RB2_a/kernel": np.zeros(3)}, "model/rnn/RB2_a/kernel is unknown"),
        ({NAME: np.zeros((3, 3, 6, 5))}, rf"{NAME} is \(3, 3, 6, 5\), it should be \(3, 3, 6, 6\)"),
        ({"model/rnn/batch_normalization_5/gamma": None}, "5 batch norms in rnn/"),
        ({"model/batch_normalization_1/beta": np.zeros(5)}, r"beta is \(5,\), it should be \(6,\)"),
        (
            {"model/rnn/batch_normalization_4/beta": np.zeros(5)},
            r"batch_normalization_4/beta is \(5,\), it should be \(6,\)",
        ),
        ({"model/rnn/non_local_phi/kernel": np.zeros((1, 1, 6, 4))}, r"\(1, 1, 6, 3\)"),
        ({"model/conv1/kernel": None}, "has 0 variables conv1/kernel"),
        ({"other/conv1/kernel": np.zeros(1)}, "has 2 variables conv1/kernel"),
    ],
)
def test_what_is_missing_unknown_or_of_another_shape_is_named(change, message, tmp_path):
    arrays = authors.variables("NLRN_v0") | change
    arrays = {name: array for name, array in arrays.items() if array is not None}
    with pytest.raises(UserError, match=message):
        read_authors(saved(tmp_path, arrays))


def copied(folder, index=None, data=None):
    """Copy a checkpoint, its files changed."""
    for ending, change in ((".index", index), (".data-00000-of-00001", data)):
        content = (CHECKPOINTS / f"NLRN{ending}").read_bytes()
        content = change(content) if change else content
        if content:
            (folder / f"NLRN{ending}").write_bytes(content)
    return folder / "NLRN"


@pytest.mark.parametrize(
    "change, message",
    [
        ({"index": lambda content: b""}, r"NLRN\.index: no such file"),
        ({"index": lambda content: content[:-9]}, r"NLRN\.index: is no whole checkpoint"),
        ({"index": lambda content: content[500:]}, r"NLRN\.index: is no whole checkpoint"),
        ({"data": lambda content: content[:-9]}, r"ends before model/"),
        ({"data": lambda content: b""}, r"NLRN\.data-00000-of-00001: no such file"),
    ],
)
def test_damage_is_one_line(change, message, tmp_path):
    with pytest.raises(UserError, match=message):
        read_authors(copied(tmp_path, **change))


def test_a_checkpoint_may_be_named_by_its_index_too():
    found, named = (read_authors(CHECKPOINTS / name) for name in ("NLRN", "NLRN.index"))
    assert found.fields == named.fields and found.program == named.program


def test_no_npz_is_one_line(tmp_path):
    (tmp_path / "a.npz").write_text("none")
    with pytest.raises(UserError, match=r"a\.npz: cannot be read as \.npz"):
        read_authors(tmp_path / "a.npz")
