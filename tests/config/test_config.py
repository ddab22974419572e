"""Configurations: complete, documented, checked field by field, and kept as JSON."""

import importlib
import json
import math
import re
from pathlib import Path

import jax
import pytest

from configs import base
from nlrn_jax.config.checks import check
from nlrn_jax.config.levels import (
    is_trained_for,
    levels,
    measuring_protocol,
    own_protocol,
    scored_levels,
)
from nlrn_jax.config.record import differences, evaluated_as, from_json, get, to_json
from nlrn_jax.errors import UserError
from nlrn_jax.network.build import build_model

FOLDER = Path(base.__file__).parent
RECIPES = sorted(
    path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith(("base", "study_"))
)
VARIANTS = [(name, variant) for name in RECIPES for variant in ("", "quick")]
CPU = ("denoise_25", "denoise_blind", "denoise_color", "photo", "sr_multi")
VARIANTS += [(name, "cpu") for name in CPU]
GREY = [name for name in RECIPES if name not in ("denoise_color", "photo")]  # as published

WRONG = {
    "task": ["", "Denoise", "deblur"],
    "seed": [-1, 2**32],
    "model.network": ["", "unet"],
    "model.channels": [0, 2, 4],
    "model.filters": [0, -1],
    "model.embedding": [0],
    "model.steps": [0],
    "model.neighborhood": [0, 2, 44, -1],
    "model.distance": ["", "cosine"],
    "model.depth": [1, 0],
    "model.blocks": [(8,), (0,), (17,), (8, 8), (12, 8), (2.0,), ("2",)],
    "model.carry": ["", "stack"],
    "model.remat": ["", "all"],
    "model.dtype": ["float16", "float64", ""],
    "degrade.sigma": [(400.0,), (0.0, 151.0),
        (), (0.0,), (-5.0,), (math.inf,), (math.nan,), (55.0, 5.0), (5.0, 25.0, 50.0), ("25",),
    ],
    "degrade.poisson": [
        (0.0,), (-1.0,), (151.0,), (math.nan,), (30.0, 5.0), (1.0, 2.0, 3.0), ("1",),
    ],
    "degrade.jpeg": [(0,), (101,), (40.0,), (90, 40), (10, 20, 30), ("40",)],
    "degrade.chances": [
        (), (1.0, 1.0), (1.0, 0.0, 1.0), (1.0, 1.1, 1.0), (-0.1, 1.0, 1.0), (1.0, 1.0, math.nan),
        ("1", 1.0, 1.0), (1.0, 1.0, 1.0, 1.0),
    ],
    "degrade.scales": [(), (1,), (9,), (3, 0), (2.0,), ("3",)],
    "data.holdout": [-1],
    "data.patch": [0, -43],
    "data.max_megapixels": [0.0, -1.0, math.inf, math.nan],
    "data.workers": [-1],
    "train.steps": [0],
    "train.batch": [0],
    "train.accumulate": [0, -1, 3, 32],
    "train.learning_rate": [0.0, -1e-3, math.inf, math.nan],
    "train.schedule": ["", "linear"],
    "train.halve_at": [(0.0,), (1.0,), (0.5, 100_000), (math.nan,), ("a",)],
    "train.clip": [-2.5, math.nan],
    "train.loss_crop": [-1, 44],
    "train.freeze_at": [-0.1, 1.1, math.nan],
    "train.ema": [-0.1, 1.0, math.nan],
    "log.every": [0],
    "checkpoint.every": [0],
    "checkpoint.keep": [0],
    "checkpoint.validation_share": [-0.1, 1.1, math.nan],
    "checkpoint.crop": [0, 31],
    "evaluate.patch": [0],
    "evaluate.stride": [0, 44],
    "evaluate.batch": [0],
    "evaluate.protocol": ["psnr", "sr_y", "Denoise"],
    "evaluate.levels": [(0.0,), (25.0, -1.0), ("25",), (math.inf,)],
    "evaluate.classical": ["median", "bm3d,wavelet"],
}  # fmt: skip

# Bools, and the sources of data, which are read before anything long starts.
NEVER_WRONG = {
    "model.propagate", "model.share", "model.norms", "evaluate.whole", "evaluate.ensemble",
    "data.train", "data.eval", "data.root", "train.start",
}  # fmt: skip

RIGHT = {
    "task": ["denoise", "sr"],
    "seed": [0, 2**32 - 1],
    "model.channels": [1, 3],
    "model.neighborhood": [None, 1, 45],
    "model.carry": ["logits", "embeddings"],
    "model.remat": ["nothing", "correlation", "states"],
    "model.dtype": ["float32", "bfloat16"],
    "degrade.sigma": [(25,), (0.5, 55.0), (0.0, 55.0), (25.0, 25.0)],
    "degrade.scales": [(2,), (8,), (4, 2, 3)],
    "data.holdout": [0],
    "data.max_megapixels": [0.5, 1000.0],
    "data.workers": [0, 8],
    "train.schedule": ["halve", "cosine"],
    "train.halve_at": [(), (0.5,)],
    "train.clip": [0.0],
    "train.loss_crop": [0, 5, 43],
    "train.freeze_at": [0.0, 0.6, 1.0],
    "train.ema": [0.0, 0.999],
    "checkpoint.validation_share": [0.0, 1.0],
    "checkpoint.crop": [32],
    "evaluate.stride": [1, 43],
    "degrade.poisson": [(), (25,), (0.0, 40.0), (150.0,)],
    "degrade.jpeg": [(), (1,), (100,), (40, 100), (40, 40)],
    "degrade.chances": [(0.0, 1.0, 0.0), (0.5, 0.5, 0.5), (1, 1, 1)],
    "evaluate.protocol": ["", "denoise", "denoise_clipped", "jpeg", "photo"],
    "evaluate.levels": [(), (25.0,), (15, 25.5, 50)],
    "evaluate.classical": ["", "tv", "nl_means, tv,bm3d"],
}

# What a resumed run may change.
FREE = {
    "train.steps", "data.eval", "data.root", "data.max_megapixels", "data.workers", "model.carry",
    "model.remat",
}  # fmt: skip
FREE_SECTIONS = {"log", "checkpoint", "evaluate"}


def load(name, variant=""):
    """Return the configuration of configs/NAME.py."""
    return importlib.import_module(f"configs.{name}").get_config(variant)


def leaves(tree, prefix=""):
    """Return {'section.field': value} of nested dicts."""
    if not isinstance(tree, dict):
        return {prefix: tree}
    return {
        name: value
        for key, subtree in tree.items()
        for name, value in leaves(subtree, f"{prefix}.{key}".lstrip(".")).items()
    }


FIELDS = leaves(base.get_config().to_dict())


def changed(field, value):
    """Return the published recipe with another value in one field."""
    config = base.get_config()
    *sections, name = field.split(".")
    section = get(config, sections[0]) if sections else config
    section[name] = value
    return config


def cases(table):
    return [(field, value) for field, values in table.items() for value in values]


@pytest.mark.parametrize("name, variant", VARIANTS)
def test_every_recipe_is_right_and_survives_json(name, variant):
    config = load(name, variant)
    check(config)
    read = from_json(to_json(config))
    check(read)
    assert read.to_dict() == config.to_dict()
    assert to_json(read) == to_json(config)
    assert leaves(config.to_dict()).keys() == FIELDS.keys(), "base.py has every field"


def test_the_recipes_are_those_of_the_readme():
    assert RECIPES == [
        "denoise_15", "denoise_25", "denoise_50", "denoise_blind", "denoise_color", "photo",
        "sr_multi", "sr_x2", "sr_x3", "sr_x4",
    ]  # fmt: skip


@pytest.mark.parametrize("name", RECIPES)
def test_an_unknown_variant_is_named(name):
    with pytest.raises(ValueError, match="'quik'"):
        load(name, "quik")


def test_every_field_has_its_unit_or_meaning_beside_it():
    source = (FOLDER / "base.py").read_text()
    body = source[source.index("def get_config") : source.index("return config")]
    set_here = re.findall(r"^ +config\.([\w.]+) = (?!ConfigDict)", body, re.MULTILINE)
    explained = re.findall(r"^ +config\.([\w.]+) = .*  # \S", body, re.MULTILINE)
    assert set(set_here) == FIELDS.keys(), "one line each"
    assert sorted(set_here) == sorted(explained)


@pytest.mark.parametrize(("field", "value"), cases(WRONG))
def test_a_wrong_value_is_refused_with_its_field(field, value):
    with pytest.raises(UserError) as error:
        check(changed(field, value))
    assert str(error.value).startswith(f"config.{field}={value!r} should be ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("field", "value"), cases(RIGHT))
def test_a_right_value_is_not_refused(field, value):
    check(changed(field, value))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("degrade.poisson", (30.0,)),
        ("degrade.jpeg", (40,)),
        ("evaluate.protocol", "denoise"),
        ("evaluate.protocol", "photo"),
        ("evaluate.levels", (2.5,)),
        ("evaluate.levels", (1,)),
        ("evaluate.classical", "tv"),
    ],
)
def test_what_suits_denoising_alone_is_refused_for_super_resolution(field, value):
    config = changed(field, value)
    config.task = "sr"
    with pytest.raises(UserError, match=re.escape(f"config.{field}={value!r}")):
        check(config)


def test_a_run_is_evaluated_as_itself_with_what_is_asked():
    run, given = changed("model.filters", 8), changed("data.eval", "set5")
    run.data.eval, run.evaluate.patch, run.seed = "samples", 24, 3
    given.seed, given.evaluate.levels, given.train.steps = 7, (15.0,), 9
    config = evaluated_as(run, given)
    assert (config.model.filters, config.train.steps) == (8, 500_000)
    assert (config.seed, config.data.eval) == (7, "set5")
    assert (config.evaluate.levels, config.evaluate.patch) == ((15.0,), 43)


def test_every_field_that_can_be_wrong_is_checked():
    assert WRONG.keys() | NEVER_WRONG == FIELDS.keys()
    assert not WRONG.keys() & NEVER_WRONG


def another(value):
    """Return some other value of the same type."""
    if value is None or isinstance(value, bool):
        return 45 if value is None else not value
    if isinstance(value, tuple):
        return (*value, 9)
    return value + ("x" if isinstance(value, str) else 1)


@pytest.mark.parametrize("field", FIELDS)
def test_a_difference_is_seen_in_every_field_that_makes_another_run(field):
    old, new = base.get_config(), changed(field, another(FIELDS[field]))
    free = field in FREE or field.split(".")[0] in FREE_SECTIONS
    for there, now in ((old, new), (from_json(to_json(old)), new), (new, old)):
        found = differences(there, now)
        assert [difference.split(":")[0] for difference in found] == ([] if free else [field])
    assert not differences(new, from_json(to_json(new)))


def test_a_difference_shows_both_values():
    (difference,) = differences(base.get_config(), changed("train.batch", 8))
    assert difference == "train.batch: 16 there, 8 now"


def test_a_field_that_one_run_lacks_is_a_difference():
    new = base.get_config()
    new.train.momentum = 0.9
    assert differences(base.get_config(), new) == ["train.momentum: None there, 0.9 now"]
    assert differences(new, base.get_config()) == ["train.momentum: 0.9 there, None now"]


def test_a_configuration_from_json_takes_no_new_fields():
    config = from_json(to_json(base.get_config()))
    with pytest.raises(AttributeError, match="momentum"):
        config.train.momentum = 0.9


@pytest.mark.parametrize("name", RECIPES)
def test_the_recipe_is_the_published_one(name):
    config = load(name)
    train = config.train
    assert config.data.patch == 43 and train.batch == 16
    assert train.learning_rate == 1e-3 and train.schedule == "halve" and train.steps == 500_000
    halvings = [round(fraction * train.steps) for fraction in train.halve_at]
    assert halvings == [100_000, 200_000, 300_000, 400_000, 450_000]
    assert train.clip == 2.5 and train.loss_crop == 0
    assert config.evaluate.patch == 43 and config.evaluate.stride == 7


@pytest.mark.parametrize("name", GREY)
def test_the_network_is_the_published_one(name):
    model = build_model(load(name))
    patch = jax.ShapeDtypeStruct((1, 43, 43, 1), "float32")
    variables = jax.eval_shape(model.init, jax.random.key(0), patch)
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == 340_099


def test_each_recipe_has_the_protocol_and_levels_of_its_name():
    ranges = {
        "denoise_blind": (0.0, 55.0), "denoise_color": (0.0, 55.0), "photo": (0.0, 40.0),
        "sr_multi": (2, 3, 4),
    }  # fmt: skip
    for name, variant in VARIANTS:
        kind, _, level = name.partition("_")
        expected = ranges.get(name) or (int(level.removeprefix("x")),)
        config = load(name, variant)
        assert own_protocol(config) == ("sr_y" if kind == "sr" else kind)
        assert levels(config) == expected
        assert config.model.channels == (1 if name in GREY else 3)


def test_the_small_recipes_have_one_network_and_differ_in_what_it_learns():
    first = load("denoise_25", "cpu")
    for name in CPU[1:]:
        config = load(name, "cpu")
        assert config.model.to_dict() | {"channels": 1} == first.model.to_dict()
        assert config.data.holdout == first.data.holdout and config.evaluate == first.evaluate
        assert config.checkpoint.every == 2_000


def test_the_model_is_what_its_section_says():
    config = base.get_config()
    config.model.update(
        channels=3, filters=8, embedding=4, steps=2, neighborhood=5, propagate=False, share=False,
        dtype="bfloat16",
    )  # fmt: skip
    model = build_model(config)
    ours = {"network", "depth", "norms", "blocks"}
    for field in set(config.model) - ours:
        assert getattr(model, field) == config.model[field]
    config.model.update(network="dncnn", depth=5, norms=False, blocks=(2, 3))
    other = build_model(config)
    for field in set(config.model) - {"network", "steps", "share", "carry", "remat"}:
        assert getattr(other, field) == config.model[field]


@pytest.mark.parametrize(
    "fields, culprit",
    [
        (
            {"blocks": (8, 17)},
            r"model.blocks=\(8, 17\) should be .* from 1 to model.depth - 1 = 16",
        ),
        ({"carry": "embeddings"}, "model.carry='embeddings' should be 'logits' where"),
        ({"remat": "states"}, "model.remat='states' should be 'nothing' where"),
    ],
)
def test_what_the_other_network_has_not_is_refused(fields, culprit):
    config = base.get_config()
    config.model.update(network="dncnn", blocks=(8, 12))
    check(config)
    config.model.update(fields)
    with pytest.raises(UserError, match=culprit):
        check(config)


def test_a_run_of_an_earlier_version_goes_on():
    """It lacks the fields that came later, and did what their first values say."""
    now = base.get_config()
    earlier = json.loads(to_json(now))
    del earlier["train"]["accumulate"], earlier["model"]["share"], earlier["data"]["max_megapixels"]
    for field in ("network", "distance", "depth", "norms", "blocks"):
        del earlier["model"][field]
    del earlier["degrade"]["poisson"], earlier["degrade"]["jpeg"], earlier["degrade"]["chances"]
    assert not differences(from_json(json.dumps(earlier)), now)
    now.train.accumulate = 2
    (difference,) = differences(from_json(json.dumps(earlier)), now)
    assert difference == "train.accumulate: 1 there, 2 now"


@pytest.mark.parametrize(
    "sigma, expected",
    [
        ((25.0,), (25.0,)),
        ((7.0,), (7.0,)),
        ((40.0, 40.0), (40.0,)),
        ((0.0, 55.0), (15.0, 25.0, 50.0)),
        ((15.0, 25.0), (15.0, 25.0)),
        ((20.0, 49.0), (25.0,)),
        ((0.0, 10.0), (5.0,)),
        ((60.0, 75.0), (67.5,)),
    ],
)
def test_a_range_of_noise_is_scored_at_the_published_levels_inside_it(sigma, expected):
    config = changed("degrade.sigma", sigma)
    check(config)
    assert levels(config) == sigma and scored_levels(config) == expected
    assert all(is_trained_for(config, level) for level in expected)
    assert not is_trained_for(config, sigma[0] - 1) and not is_trained_for(config, sigma[-1] + 1)


def test_every_scale_that_is_trained_is_scored():
    config = changed("degrade.scales", (2, 4))
    config.task = "sr"
    assert scored_levels(config) == levels(config) == (2, 4)
    assert [is_trained_for(config, scale) for scale in (2, 3, 4)] == [True, False, True]


def degraded(sigma=(0.0,), poisson=(), jpeg=(), chances=(1.0, 1.0, 1.0)):
    """Return the recipe of a network that is trained for these."""
    config = base.get_config()
    config.degrade.update(sigma=sigma, poisson=poisson, jpeg=jpeg, chances=chances)
    check(config)
    return config


BLIND = {"sigma": (0.0, 55.0)}
FILES = {"jpeg": (10, 100)}
PHOTO = {"sigma": (0.0, 20.0), "poisson": (0.0, 40.0), "jpeg": (40, 100)}


@pytest.mark.parametrize(
    "given, protocol",
    [
        (BLIND, "denoise"),
        (FILES, "jpeg"),
        (FILES | {"sigma": (25.0,), "chances": (1.0, 0.0, 1.0)}, "jpeg"),
        (FILES | BLIND, "denoise"),
        (FILES | BLIND | {"chances": (1.0, 1.0, 0.0)}, "denoise"),
        (PHOTO, "photo"),
        ({"poisson": (30.0,)}, "photo"),
        (PHOTO | {"chances": (0.0, 1.0, 1.0)}, "denoise"),
    ],
)
def test_the_protocol_of_a_network_follows_from_what_happens_to_its_patches(given, protocol):
    config = degraded(**given)
    assert own_protocol(config) == measuring_protocol(config) == protocol
    config.evaluate.protocol = "denoise_clipped"
    assert (own_protocol(config), measuring_protocol(config)) == (protocol, "denoise_clipped")


@pytest.mark.parametrize(
    "given, protocol, known, scored",
    [
        (PHOTO, "", (0.0, 40.0), (10.0, 20.0, 30.0)),
        (PHOTO, "photo", (0.0, 40.0), (10.0, 20.0, 30.0)),
        (PHOTO, "denoise", (0.0, 20.0), (15.0,)),
        (PHOTO, "denoise_clipped", (0.0, 20.0), (15.0,)),
        (PHOTO, "jpeg", (40, 100), (40,)),
        ({"poisson": (2.0, 8.0)}, "", (2.0, 8.0), (5.0,)),
        ({"poisson": (25.0,)}, "", (25.0,), (25.0,)),
        ({"poisson": (25.0,)}, "denoise", (), (15.0, 25.0, 50.0)),
        (FILES, "", (10, 100), (10, 20, 30, 40)),
        ({"jpeg": (60, 81)}, "", (60, 81), (70,)),
        ({"jpeg": (75,)}, "", (75,), (75,)),
        (FILES, "photo", (), (10.0, 20.0, 30.0)),
        (BLIND, "", (0.0, 55.0), (15.0, 25.0, 50.0)),
        (BLIND, "jpeg", (), (10, 20, 30, 40)),
        (BLIND, "photo", (), (10.0, 20.0, 30.0)),
    ],
)
def test_any_denoiser_may_be_measured_by_any_protocol(given, protocol, known, scored):
    config = degraded(**given)
    assert (levels(config, protocol), scored_levels(config, protocol)) == (known, scored)
    assert all(is_trained_for(config, level, protocol) == bool(known) for level in scored)
    config.evaluate.update(protocol=protocol, levels=scored)
    check(config)
    own = degraded(**given)
    assert (levels(config), scored_levels(config)) == (levels(own), scored_levels(own))


@pytest.mark.parametrize(
    "protocol, wrong", [("jpeg", (10.5,)), ("jpeg", (0,)), ("jpeg", (101,)), ("photo", (0.0,)),
                        ("photo", (151.0,)), ("denoise", (151.0,))],
)  # fmt: skip
def test_levels_are_checked_by_the_protocol_that_they_are_of(protocol, wrong):
    config = degraded(**PHOTO)
    config.evaluate.update(protocol=protocol, levels=wrong)
    with pytest.raises(UserError, match=rf"config\.evaluate\.levels=.*the protocol {protocol}$"):
        check(config)


@pytest.mark.parametrize("protocol", ["jpeg", "photo", ""])
def test_classical_denoisers_are_for_gaussian_noise_alone(protocol):
    config = degraded(**PHOTO)
    config.evaluate.update(protocol=protocol, classical="tv")
    with pytest.raises(UserError, match=r"config\.evaluate\.classical='tv'.*Gaussian noise"):
        check(config)
    config.evaluate.protocol = "denoise"
    check(config)


@pytest.mark.parametrize(
    "given, field",
    [
        ({"sigma": (0.0,)}, "degrade.sigma"),
        (FILES | {"sigma": (0.0,), "chances": (1.0, 1.0, 0.0)}, "degrade.chances"),
        (PHOTO | {"chances": (0.0, 0.0, 0.0)}, "degrade.chances"),
    ],
)
def test_a_network_for_nothing_is_refused(given, field):
    with pytest.raises(UserError, match=rf"^config\.{field}=.* should be "):
        degraded(**given)
