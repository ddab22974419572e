"""What a run learns from and what it keeps out: decided once, and on record."""

import numpy as np
import pytest

from nlrn_jax.data.sources import Image
from nlrn_jax.errors import UserError
from nlrn_jax.training.split import held_out_of, hold_out, record_split, split


def images(*names):
    """Make pictures whose pixels belong to their names."""
    return [Image(name, np.full((3, 2), ord(name[0]), np.uint8)) for name in names]


def names(found):
    return "".join(image.name for image in found)


@pytest.fixture
def started(tmp_path):
    """A run that learns from a, c, d, f and keeps out b and e."""
    sides = split(tmp_path, images(*"abcdef"), 2)
    assert (names(sides.training), names(sides.held_out)) == ("acdf", "be")
    record_split(tmp_path, sides.training, sides.held_out)
    return tmp_path


@pytest.mark.parametrize(("total", "count"), [(10, 3), (10, 1), (400, 8), (7, 6), (2, 1), (3, 0)])
def test_held_out_images_are_evenly_spaced_and_no_longer_trained_on(total, count):
    images = [Image(str(i), np.zeros((1, 1), np.uint8)) for i in range(total)]
    training, held_out = hold_out(images, count)
    assert len(held_out) == count
    held = [int(image.name) for image in held_out]
    rest = [int(image.name) for image in training]
    assert sorted(held + rest) == list(range(total)), "each image is on one side"
    assert rest == sorted(rest) and held == sorted(held), "in their order"
    assert set(np.diff(held)) <= {total // count, -(-total // count)} if count else not held
    assert hold_out(images, count)[1] == held_out, "the same again"


@pytest.mark.parametrize("count", [3, 4])
def test_something_is_left_to_train_on(count):
    images = [Image(str(i), np.zeros((1, 1), np.uint8)) for i in range(3)]
    with pytest.raises(UserError, match=rf"data\.holdout={count} leaves none of 3"):
        hold_out(images, count)


def test_a_copy_of_what_is_held_out_is_not_learned_from(tmp_path):
    copied = images(*"abcd")
    copied[3] = copied[2]._replace(name="c again")
    sides = split(tmp_path, copied, 1)
    assert (names(sides.training), names(sides.held_out)) == ("ab", "c")
    assert sides.remark().endswith("being copies of held-out pictures: c again")


def test_where_all_are_alike_copies_stay(tmp_path):
    alike = [images("a")[0]._replace(name=name) for name in "xyz"]
    sides = split(tmp_path, alike, 1)
    assert (names(sides.training), names(sides.held_out)) == ("xz", "y")


def test_what_is_added_later_is_on_neither_side(started):
    sides = split(started, images(*"0a1b2cdefg"), 2)
    assert (names(sides.training), names(sides.held_out)) == ("acdf", "be")
    assert names(sides.left_out) == "012g"
    assert sides.remark().endswith("being new since the run started: 0, 1, 2 and 1 more")


def test_a_split_does_not_depend_on_names_and_their_order(started):
    renamed = [image._replace(name=f"new {image.name}") for image in images(*"fedcba")]
    sides = split(started, renamed, 2)
    assert names(sides.training) == "new anew cnew dnew f", "in the order of the run"
    assert names(sides.held_out) == "new bnew e"
    assert not sides.left_out and not sides.remark()


def test_a_picture_that_is_gone_or_changed_is_named(started):
    with pytest.raises(UserError, match=r"1 of 4 pictures .* \(c\)"):
        split(started, images(*"abdef"), 2)
    changed = images(*"abcdef")
    changed[4].pixels[0, 0] += 1
    with pytest.raises(UserError, match=r"1 of 2 pictures .* \(e\)"):
        split(started, changed, 2)
    with pytest.raises(UserError, match=r"\(e\)"):
        held_out_of(started, changed, 2)


def test_what_is_kept_out_is_found_though_the_rest_is_gone(started):
    assert names(held_out_of(started, images(*"xbye"), 2)) == "be"


def test_without_a_record_the_split_is_by_place(tmp_path):
    assert names(held_out_of(tmp_path, images(*"abcdef"), 2)) == "be"


def test_a_run_refuses_other_sides_than_those_on_record(started):
    record_split(started, images(*"acdf"), images(*"be"))
    for other in ("acd", "acdb", "adcf"):
        with pytest.raises(UserError, match=r"data\.json: .* \(training\)"):
            record_split(started, images(*other), images(*"be"))
    with pytest.raises(UserError, match=r"\(held_out\)"):
        record_split(started, images(*"acdf"), images("b"))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"training": [1], "held_out": []}'])
def test_a_damaged_record_is_not_guessed_at(started, text):
    (started / "data.json").write_text(text)
    with pytest.raises(UserError, match=r"data\.json: damaged"):
        split(started, images(*"abcdef"), 2)
