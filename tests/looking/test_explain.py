"""What the network looks at equals its equations; the picture and its figures tell the truth."""

import json
import time

import numpy as np
import pytest
import reference
from drawn import ROUNDING, TINY, close, exact, images, randomized
from PIL import Image as Pillow

from nlrn_jax.data.pixels import to_float, to_uint8
from nlrn_jax.errors import UserError
from nlrn_jax.looking.explain import check, explain
from nlrn_jax.looking.insight import look
from nlrn_jax.looking.overlay import MARK, _mark
from nlrn_jax.looking.subject import SIDE, Subject, read_subject
from nlrn_jax.network.build import build_model
from nlrn_jax.network.model import NLRN
from nlrn_jax.pictures.colours import paint, palette
from nlrn_jax.pictures.files import write_pixels
from nlrn_jax.scoring.metrics import psnr
from nlrn_jax.scoring.protocols import Setting, example

STEPS = 3


def tiny(**changes):
    """Make a network and draw its variables."""
    model = NLRN(**TINY, steps=STEPS, **changes)
    return model, randomized(model, images((1, 7, 9, 1)))


def expected_weights(model, variables, x, at):
    """Walk the naive network's states; return the weights of one position over the whole image."""
    params, statistics = variables["params"], variables["batch_stats"]
    u, _ = reference.batch_norm(
        255 * x, *(params["input_norm"][k] for k in ("scale", "bias")), statistics["input_norm"], 0
    )
    first = features = reference.convolve(u, params["input_conv"])
    height, width = x.shape[1:3]
    seen = reference.window(*at, height, width, model.neighborhood)
    correlation, weights = None, np.zeros((STEPS, height * width))
    for t in range(STEPS):
        norms = {name: array[t] for name, array in params["norms"].items()}
        own = {k: {name: a[t] for name, a in v.items()} for k, v in statistics["cell"].items()}
        features, correlation, _ = reference.cell(
            features, correlation, first, params["cell"], norms, own, model.neighborhood, False
        )
        weights[t, seen] = reference.softmax(correlation[0, at[0] * width + at[1], seen])
        correlation = correlation if model.propagate else None
    return weights.reshape(STEPS, height, width)


@pytest.mark.parametrize("at", [(3, 4), (0, 8)])
@pytest.mark.parametrize(
    "changes",
    [{}, {"neighborhood": 5}, {"neighborhood": 5, "propagate": False}, {"carry": "embeddings"}],
)
def test_weights_are_those_of_the_equations_in_every_state(changes, at):
    model, variables = tiny(**changes)
    x = images((1, 7, 9, 1), seed=1)
    view = look(model, variables, x[0], at)
    wanted = expected_weights(model, exact(variables), exact(x), at)
    (top, left), (rows, columns) = view.corner, view.weights.shape[1:]
    part = slice(top, top + rows), slice(left, left + columns)
    close(view.weights, wanted[(slice(None), *part)], 1e-4)
    np.testing.assert_allclose(view.weights.sum((1, 2)), 1, rtol=ROUNDING)
    outside = wanted.copy()
    outside[(slice(None), *part)] = 0
    assert not outside.any()


@pytest.mark.parametrize("remat", ["nothing", "states"])
def test_the_output_after_a_state_is_that_of_the_network_with_so_many_states(remat):
    model, variables = tiny(neighborhood=5, remat=remat)
    x = images((1, 7, 9, 1), seed=1)
    view = look(model, variables, x[0], (2, 2))
    outputs = view.after
    assert outputs.shape == (STEPS, 7, 9, 1)
    np.testing.assert_array_equal(view.output, outputs[-1])
    for steps in range(1, STEPS + 1):
        wanted, _ = reference.network(exact(x), exact(variables), steps, neighborhood=5)
        close(outputs[steps - 1], wanted[0])


@pytest.fixture
def subject(photographs):
    """A noisy picture of 24 x 20 pixels and its original."""
    original = to_float(photographs[0].pixels)
    noise = np.random.default_rng(1).standard_normal(original.shape).astype(np.float32)
    return Subject("wave", original + noise / 10, original)


def explained(config, subject, at, states, path):
    """Explain with a network drawn at random."""
    model = build_model(config)
    variables = randomized(model, images((1, 4, 4, 1)))
    return explain(model, variables, subject, at, states, path)


def test_the_picture_and_its_figures_lie_side_by_side(tiny_config, subject, tmp_path, capsys):
    path = tmp_path / "deep" / "wave.png"
    figures = explained(tiny_config, subject, (3, 4), [1, 2], path)
    assert json.loads(path.with_suffix(".json").read_text()) == figures
    assert sorted(p.name for p in path.parent.iterdir()) == ["wave.json", "wave.png"]
    assert figures["at"] == [3, 4] and figures["window"] == [0, 0, 9, 10]
    noisy, original = to_uint8(subject.input), to_uint8(subject.original)
    assert figures["input_psnr"] == pytest.approx(psnr(noisy, original, 255))
    for state in figures["states"]:
        assert 1 <= state["positions"] <= 9 * 10
        assert 1 / state["positions"] <= state["greatest_weight"] * (1 + 1e-6)
    assert "wave from row 3, column 4" in capsys.readouterr().out


def test_looking_is_not_silent(tiny_config, subject, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("nlrn_jax.terminal.SILENCE_SECONDS", 0.05)

    def slow(*arguments):
        time.sleep(0.3)
        return look(*arguments)

    monkeypatch.setattr("nlrn_jax.looking.explain.look", slow)
    explained(tiny_config, subject, (3, 4), [1], tmp_path / "wave.png")
    assert "looking at wave ... 0 s\n" in capsys.readouterr().out


@pytest.mark.parametrize("at", [(0, 0), (0, 6), (4, 0), (4, 6), (2, 3)])
def test_the_frame_of_a_position_is_whole_at_the_border_too(at):
    drawn = _mark(np.zeros((5, 7), np.uint8), at, 20)
    framed = (drawn == MARK).all(axis=-1)
    rows, columns = (np.flatnonzero(framed.any(axis=axis)) for axis in (1, 0))
    inside = framed[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    for side in (inside[:2], inside[-2:], inside[:, :2], inside[:, -2:]):
        assert side.all()
    assert not inside[3:-3, 3:-3].any() and len(rows) >= 20


def test_every_chosen_state_has_its_column(tiny_config, subject, tmp_path):
    columns = []
    for states in ([1], [1, 2]):
        path = tmp_path / f"{len(states)}.png"
        explained(tiny_config, subject, (3, 4), states, path)
        with Pillow.open(path) as drawn:
            marked = (np.array(drawn) == MARK).all(axis=-1).any(axis=0)
        # a frame has two upright sides; the picture in the first column frames the window
        columns.append(int(np.sum(np.diff(marked.astype(int)) == 1)))
    assert columns[1] - columns[0] == 1


def test_without_an_original_there_is_no_psnr(tiny_config, subject, tmp_path):
    subject = subject._replace(original=None)
    figures = explained(tiny_config, subject, (3, 4), [2], tmp_path / "wave.png")
    assert figures["input_psnr"] is None
    assert all(state["psnr"] is None for state in figures["states"])


def test_a_colour_network_is_explained_as_well(tiny_config, photographs, tmp_path):
    tiny_config.model.channels = 3
    colour = np.stack([p.pixels for p in photographs[:3]], axis=-1)
    subject = read_subject(tiny_config, None, save(tmp_path / "clean.png", colour), 1)
    model = build_model(tiny_config)
    variables = randomized(model, images((1, 4, 4, 3)))
    figures = explain(model, variables, subject, (3, 4), [1], tmp_path / "out.png")
    view = look(model.clone(neighborhood=11), variables, subject.input, (3, 4))
    wanted = psnr(to_uint8(view.after[0]), colour, 255)
    assert figures["states"][0]["psnr"] == pytest.approx(wanted, abs=1e-3)


def test_of_a_large_picture_the_surroundings_are_looked_at(tiny_config, tmp_path, monkeypatch):
    monkeypatch.setattr("nlrn_jax.looking.subject.SIDE", 24)
    small = images((60, 24))
    at = (40, 3)
    whole = Subject("tall", small, None)
    part = Subject("part", small[28:52], None)
    path = tmp_path / "tall.png"
    figures = explained(tiny_config, whole, at, [1], path)
    same = explained(tiny_config, part, (12, 3), [1], tmp_path / "part.png")
    assert figures["states"] == same["states"]
    assert figures["window"] == [35, 0, 11, 9] and same["window"] == [7, 0, 11, 9]
    assert SIDE > 24


def save(path, pixels):
    """Write a picture, and return its path."""
    write_pixels(path, pixels)
    return path


def test_a_clean_picture_alone_is_degraded_as_in_evaluation(tiny_config, photographs, tmp_path):
    clean = save(tmp_path / "clean.png", photographs[0].pixels)
    subject = read_subject(tiny_config, None, clean, 1)
    noise = subject.input - subject.original
    assert 0.8 < noise.std() * 255 / tiny_config.degrade.sigma[-1] < 1.2
    again = read_subject(tiny_config, None, clean, 1)
    np.testing.assert_array_equal(subject.input, again.input)


@pytest.mark.parametrize(
    "degrade, protocol, level",
    [
        ({"poisson": (0.0, 40.0), "sigma": (0.0, 20.0)}, "photo", 30.0),
        ({"sigma": (0.0,), "jpeg": (5, 25)}, "jpeg", 20),
    ],
)
def test_it_is_degraded_as_the_network_was_trained_for(
    degrade, protocol, level, tiny_config, photographs, tmp_path
):
    tiny_config.degrade.update(degrade)
    subject = read_subject(tiny_config, None, save(tmp_path / "0.png", photographs[0].pixels), 1)
    expected = example(photographs[0], Setting(protocol, 1, tiny_config.seed), level)
    np.testing.assert_array_equal(subject.input, expected.input)


def test_a_degraded_picture_is_taken_as_it_is(tiny_config, photographs, tmp_path):
    noisy = save(tmp_path / "noisy.png", photographs[0].pixels)
    clean = save(tmp_path / "clean.png", photographs[1].pixels)
    subject = read_subject(tiny_config, noisy, clean, 1)
    np.testing.assert_array_equal(to_uint8(subject.input), photographs[0].pixels)
    np.testing.assert_array_equal(to_uint8(subject.original), photographs[1].pixels)
    assert read_subject(tiny_config, noisy, None, 1).original is None


def test_low_resolution_is_enlarged_and_its_original_may_have_a_remainder(tiny_config, tmp_path):
    tiny_config.task = "sr"
    low = save(tmp_path / "low.png", np.full((8, 6, 3), 255, np.uint8))
    high = save(tmp_path / "high.png", np.full((26, 18, 3), 255, np.uint8))
    subject = read_subject(tiny_config, low, high, 3)
    assert subject.input.shape == subject.original.shape == (24, 18)
    np.testing.assert_allclose(subject.input * 255, 235, atol=1e-3)  # white in BT.601
    with pytest.raises(UserError, match=r"high\.png: 26 x 18 pixels.* 16 x 12"):
        read_subject(tiny_config, low, high, 2)


def test_one_of_the_pictures_is_needed(tiny_config):
    with pytest.raises(UserError, match="--input"):
        read_subject(tiny_config, None, None, 1)


@pytest.mark.parametrize("at", [(-1, 0), (24, 0), (0, 20)])
def test_a_position_outside_is_refused(tiny_config, subject, at):
    with pytest.raises(UserError, match=f"--at={at[0]},{at[1]}: outside the 24 rows and 20"):
        check(tiny_config, subject, at, None)


def test_states_are_chosen_from_first_to_last_or_as_given(tiny_config, subject):
    tiny_config.model.steps = 12
    assert check(tiny_config, subject, (0, 0), None) == [1, 5, 8, 12]
    assert check(tiny_config, subject, (0, 0), [12, 1, 1]) == [1, 12]
    with pytest.raises(UserError, match="--states=1,13: the network's are 1 to 12"):
        check(tiny_config, subject, (0, 0), [1, 13])


def test_colours_grow_evenly_brighter():
    from skimage.color import rgb2lab

    lightness = rgb2lab(palette()[None])[0, :, 0]
    assert (np.diff(lightness) > -0.3).all()  # rounding to 8 bits
    np.testing.assert_allclose(lightness, np.linspace(lightness[0], lightness[-1], 256), atol=6)
    np.testing.assert_array_equal(paint(np.array([-1, 0, 1, 2])), palette()[[0, 0, 255, 255]])
