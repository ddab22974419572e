"""Pictures side by side and one below the other."""

import numpy as np
import pytest

from nlrn_jax.pictures.panels import label_row, stack


def test_a_row_shows_every_picture_under_its_caption():
    low = np.array([[11, 22], [33, 44]], np.uint8)
    high = np.full((40, 60, 3), (200, 100, 50), np.uint8)
    row = label_row([low, high], ["a caption wider than its picture", "high"])
    assert row.dtype == np.uint8 and row.shape[2] == 3
    first = np.argmax(np.all(row == (200, 100, 50), axis=-1).any(axis=1))
    strip, pictures = row[:first], row[first:]
    for level in low.flat:  # 2x2 became 40x40: every pixel a block of 20x20
        assert np.all(pictures == level, axis=-1).sum() == 20 * 20
    assert np.all(pictures == (200, 100, 50), axis=-1).sum() == 40 * 60
    low_columns, high_columns = np.s_[:, : -60 - 20], np.s_[:, -60 - 20 :]
    assert strip[low_columns].min() < 50 and strip[high_columns].min() < 50, "no black letters"
    assert np.all(row[:, [0, -1]] == 255) and np.all(row[-1] == 255), "no white ground"


def test_every_picture_needs_a_caption():
    with pytest.raises(ValueError):
        label_row([np.zeros((2, 2), np.uint8)] * 2, ["one"])


def test_pictures_are_stacked_on_white():
    narrow, wide = np.zeros((2, 3, 3), np.uint8), np.full((1, 5, 3), 9, np.uint8)
    stacked = stack([narrow, wide])
    assert stacked.shape == (3, 5, 3) and stacked.dtype == np.uint8
    np.testing.assert_array_equal(stacked[:2, :3], narrow)
    assert (stacked[:2, 3:] == 255).all()
    np.testing.assert_array_equal(stacked[2:], wide)
