"""A run begins with the weights of another: what fits is copied, what does not is said."""

import jax
import numpy as np
import pytest
import tiny

from nlrn_jax.errors import UserError
from nlrn_jax.exchanging.file import Facts, Weights, flat, write_weights
from nlrn_jax.exchanging.start import start_of
from nlrn_jax.network.build import build_model
from nlrn_jax.restoring.patches import apply
from nlrn_jax.training.run import load
from nlrn_jax.training.state import create_state


@pytest.fixture
def source(tiny_config, tmp_path):
    """A file of weights of a grey denoiser, all of its arrays random."""
    keys = iter(jax.random.split(jax.random.key(5), 99))
    fresh = create_state(tiny_config).variables
    drawn = jax.tree.map(
        lambda leaf: leaf + 0.1 * jax.random.uniform(next(keys), leaf.shape), fresh
    )
    return write_weights(tmp_path / "grey.safetensors", Weights(tiny_config, drawn, Facts()))


def begun(config, source, **model):
    config.train.start = str(source)
    config.model.update(model)
    return start_of(config, "runs/nowhere")


def test_without_a_start_weights_are_fresh(tiny_config):
    assert start_of(tiny_config, "runs/nowhere") == (None, "")


def test_an_equal_network_is_copied_whole(tiny_config, source):
    start = begun(tiny_config, source)
    jax.tree.map(np.testing.assert_array_equal, start.variables, load_of(source))
    assert start.remark == f"starts from {source}: 30 of 30 arrays"


def load_of(source):
    from nlrn_jax.exchanging.stored import load

    return load(source)[1]


def test_a_colour_network_does_to_grey_pictures_what_the_grey_one_did(tiny_config, source):
    grey = build_model(tiny_config)
    start = begun(tiny_config, source, channels=3)
    x = jax.random.uniform(jax.random.key(1), (1, 9, 7, 1))
    wanted = apply(grey, load_of(source), x)
    found = apply(build_model(tiny_config), start.variables, x.repeat(3, -1))
    np.testing.assert_allclose(found, np.repeat(wanted, 3, -1), rtol=1e-5)
    assert "spread over its own" in start.remark and "params.input_conv.kernel" in start.remark


def test_a_grey_network_does_what_the_colour_one_did_to_grey_pictures(tiny_config, tmp_path):
    tiny_config.model.channels = 3
    variables = create_state(tiny_config).variables
    source = write_weights(tmp_path / "c.safetensors", Weights(tiny_config, variables, Facts()))
    colour = build_model(tiny_config)
    start = begun(tiny_config, source, channels=1)
    x = jax.random.uniform(jax.random.key(1), (1, 9, 7, 1))
    wanted = np.mean(apply(colour, variables, x.repeat(3, -1)), -1, keepdims=True)
    found = apply(build_model(tiny_config), start.variables, x)
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_what_does_not_fit_starts_fresh_and_is_said(tiny_config, source):
    start = begun(tiny_config, source, steps=3, embedding=5)
    fresh = dict(flat(create_state(tiny_config).variables))
    found, there = dict(flat(start.variables)), dict(flat(load_of(source)))
    for name in ("params.norms.scale", "params.cell.theta.kernel"):
        np.testing.assert_array_equal(found[name], fresh[name])
        assert name in start.remark.partition("starts fresh: ")[2]
    np.testing.assert_array_equal(
        found["params.cell.conv_a.kernel"], there["params.cell.conv_a.kernel"]
    )


def test_a_network_of_other_filters_is_refused(tiny_config, source):
    with pytest.raises(UserError, match=r"config\.train\.start='.*': has 8 filters, the run 16"):
        begun(tiny_config, source, filters=16)


def test_an_unknown_start_lists_the_shipped_weights(tiny_config, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="denoize is not the folder of a run, and the weights"):
        begun(tiny_config, "denoize")


def test_training_goes_on_from_there(tiny_config, source, tmp_path):
    start = begun(tiny_config, source)
    tiny_config.train.update(steps=1, learning_rate=1e-9)
    tiny.train(tiny_config, tmp_path / "run", start.variables)
    _, variables = load(tmp_path / "run")
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5),
        variables["params"], start.variables["params"],
    )  # fmt: skip


def test_a_run_goes_on_though_what_it_started_from_is_gone(tiny_config, source, tmp_path):
    start = begun(tiny_config, source)
    tiny_config.train.steps = 1
    tiny.train(tiny_config, tmp_path / "run", start.variables)
    source.unlink()
    assert start_of(tiny_config, tmp_path / "run") == (None, "")
