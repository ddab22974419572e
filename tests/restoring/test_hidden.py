"""Colours under full transparency: not at the rim of what one sees, and as they were."""

import numpy as np
import pytest

from nlrn_jax.data.degrade import bicubic_resize
from nlrn_jax.data.pixels import to_float
from nlrn_jax.pictures.files import open_picture, save_picture
from nlrn_jax.pictures.picture import Picture
from nlrn_jax.restoring.hidden import filled, put_back
from nlrn_jax.restoring.jobs import restore_file
from nlrn_jax.restoring.targets import Job

WHITE = {np.uint8: 255, np.uint16: 65535, np.float32: 1}


def disc(dtype, side=24) -> np.ndarray:
    """Opacity of a disc, its rim soft."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    return (np.clip(8.5 - np.hypot(y, x), 0, 1) * WHITE[dtype]).astype(dtype)


def coloured(alpha, inside, outside) -> np.ndarray:
    return np.where((alpha > 0)[..., None], inside, outside).astype(alpha.dtype)


def bicubic(pixels, advance):
    """Enlarge 3 times, as the network does before its own."""
    large = bicubic_resize(to_float(pixels), 3).clip(0, 1)
    white = WHITE[pixels.dtype.type]
    return (large if white == 1 else np.rint(large * white)).astype(pixels.dtype)


@pytest.mark.parametrize("dtype", WHITE)
@pytest.mark.parametrize("outside", [0, 0.5])
def test_hidden_colours_do_not_bleed_into_the_rim(tmp_path, dtype, outside):
    white, alpha = WHITE[dtype], disc(dtype)
    pixels = coloured(alpha, [white, white / 2, white / 4], [outside * white] * 3)
    save_picture(tmp_path / "a.tif", Picture(pixels, alpha))
    restore_file(Job(tmp_path / "a.tif", tmp_path / "b.tif"), bicubic, 3, False, print)
    result = open_picture(tmp_path / "b.tif")
    seen = result.pixels[result.alpha > 0] / white
    np.testing.assert_allclose(seen, np.broadcast_to([1, 0.5, 0.25], seen.shape), atol=0.01)
    assert len(seen) > 9 * 150


def test_grey_pictures_have_no_rim_either(tmp_path):
    alpha = disc(np.uint8)
    save_picture(tmp_path / "a.png", Picture(np.where(alpha > 0, 200, 0).astype(np.uint8), alpha))
    restore_file(Job(tmp_path / "a.png", tmp_path / "b.png"), bicubic, 3, False, print)
    result = open_picture(tmp_path / "b.png")
    assert set(result.pixels[result.alpha > 0]) == {200}


def test_denoising_looks_at_no_hidden_colour_and_keeps_it(tmp_path):
    alpha = disc(np.uint8)
    pixels = coloured(alpha, [10, 20, 30], [0, 0, 0])
    hidden = alpha == 0
    pixels[hidden] = np.random.default_rng(0).integers(0, 256, (hidden.sum(), 3))
    save_picture(tmp_path / "a.png", Picture(pixels, alpha))

    def invert(seen, advance):
        np.testing.assert_array_equal(seen, np.broadcast_to([10, 20, 30], seen.shape))
        return 255 - seen

    restore_file(Job(tmp_path / "a.png", tmp_path / "b.png"), invert, 1, False, print)
    result = open_picture(tmp_path / "b.png")
    np.testing.assert_array_equal(result.pixels[hidden], pixels[hidden])
    seen = alpha > 8
    np.testing.assert_array_equal(result.pixels[seen], 255 - pixels[seen])
    np.testing.assert_array_equal(result.alpha, alpha)


@pytest.mark.parametrize("level", [0, 255, 128])
def test_where_nothing_or_all_is_hidden_nothing_changes(level):
    pixels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    alpha = np.full((4, 4), level, np.uint8)
    assert filled(pixels, alpha) is pixels and filled(pixels, None) is pixels
    assert put_back(pixels, 255 - pixels, alpha) is pixels
