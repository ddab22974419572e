from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn import FEW, ROUNDING

from nlrn_jax.data import degrade
from nlrn_jax.data.degrade import add_noise, bicubic_resize, degrade_sr, sr_patch
from nlrn_jax.data.pixels import crop_to_multiple, to_float, to_uint8
from nlrn_jax.pictures.files import read_pixels
from nlrn_jax.pictures.finding import find_pictures
from nlrn_jax.scoring import metrics

DATA = Path(__file__).parents[3] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"no benchmark images in {DATA}")
rng = np.random.default_rng(0)
SMALL = rng.integers(0, 256, (23, 36, 3), dtype=np.uint8)


def resized_naively(image, scale):
    """Float64 [H, W], one output pixel at a time, from the definition: no weight table."""

    def weight(x):
        x = abs(x)
        if x <= 1:
            return 1.5 * x**3 - 2.5 * x**2 + 1
        return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x <= 2 else 0.0

    def mirrored(i, length):
        while not 0 <= i < length:
            i = -1 - i if i < 0 else 2 * length - 1 - i
        return i

    def line(values):
        out = []
        for x in range(int(np.ceil(round(len(values) * scale, 6)))):
            centre, shrink = (x + 0.5) / scale - 0.5, min(scale, 1)
            reach = range(int(centre - 2 / shrink) - 2, int(centre + 2 / shrink) + 3)
            taps = [(weight(shrink * (centre - i)), mirrored(i, len(values))) for i in reach]
            out.append(sum(w * values[i] for w, i in taps) / sum(w for w, _ in taps))
        return np.array(out)

    return np.apply_along_axis(line, 1, np.apply_along_axis(line, 0, image))


@needs_data
@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("dense", [0, 2**30], ids=["taps", "matrix"])
def test_low_resolution_is_bit_exactly_that_of_matlab(scale, dense, monkeypatch):
    monkeypatch.setattr(degrade, "_DENSE", dense)
    high = find_pictures(DATA / "set5_matlab_lr" / "hr")
    low = find_pictures(DATA / "set5_matlab_lr" / f"x{scale}")
    assert len(high) == len(low) == 5
    for high_path, low_path in zip(high, low, strict=True):
        original = crop_to_multiple(read_pixels(high_path), scale)
        expected = read_pixels(low_path)
        np.testing.assert_array_equal(bicubic_resize(original, 1 / scale), expected)
        by_jax = jax.jit(bicubic_resize, static_argnums=1)(jnp.asarray(original), 1 / scale)
        np.testing.assert_array_equal(by_jax, expected)


@pytest.mark.parametrize("scale", [0.1, 1 / 3, 0.5, 0.77, 1, 1.3, 2, 3, 4])
@pytest.mark.parametrize("shape", [(9, 14), (1, 5), (3, 2), (1, 1)])
@pytest.mark.parametrize("dense", [0, 2**30], ids=["taps", "matrix"])
def test_resizing_follows_the_definition(shape, scale, dense, monkeypatch):
    monkeypatch.setattr(degrade, "_DENSE", dense)
    x = np.random.default_rng(1).random(shape)
    expected = resized_naively(x, scale)
    np.testing.assert_allclose(bicubic_resize(x, scale), expected, atol=1e-12)
    single = bicubic_resize(x.astype(np.float32), scale)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, expected, atol=FEW)
    np.testing.assert_allclose(bicubic_resize(jnp.float32(x), scale), expected, atol=FEW)


def test_sides_are_rounded_up_but_not_by_floating_point_dust():
    assert bicubic_resize(np.zeros((10, 99)), 1 / 3).shape == (4, 33)
    assert bicubic_resize(np.ones((10, 99)), 1e-3).tolist() == [[pytest.approx(1)]]
    assert degrade._length(10, 1e-8) == 1
    for multiple in range(1, 400):
        for scale in (3, 7, 49):
            assert degrade._length(multiple * scale, 1 / scale) == multiple


@pytest.mark.parametrize("scale", [1 / 3, 2.5])
def test_channels_are_resized_one_by_one(scale):
    together = bicubic_resize(SMALL, scale)
    for channel in range(3):
        alone = bicubic_resize(SMALL[..., channel], scale)
        np.testing.assert_array_equal(together[..., channel], alone)


def test_scale_one_changes_nothing():
    np.testing.assert_array_equal(bicubic_resize(SMALL, 1), SMALL)


def test_bytes_are_rounded_half_up_and_clipped():
    halves = np.array([[3, 4], [3, 4]], np.uint8)
    assert bicubic_resize(halves, 0.5).tolist() == [[4]]
    edge = np.repeat(np.array([[0, 0, 255, 255]], np.uint8), 4, axis=0)
    as_float = bicubic_resize(edge / 255, 2)
    assert as_float.min() < 0 and as_float.max() > 1, "floats are not clipped"
    assert bicubic_resize(edge, 2).min() == 0 and bicubic_resize(edge, 2).max() == 255


@pytest.mark.parametrize("scale", [1 / 3, 2])
@pytest.mark.parametrize("dense", [0, 2**30], ids=["taps", "matrix"])
def test_gradient_is_the_transposed_resize(scale, dense, monkeypatch):
    """<R x, y> = <x, R^T y>, where the gradient of <R x, y> by x is R^T y."""
    monkeypatch.setattr(degrade, "_DENSE", dense)
    x, other = np.random.default_rng(2).random((2, 9, 12, 3), np.float32)
    y = bicubic_resize(np.random.default_rng(3).random(x.shape, np.float32), scale)
    transposed = jax.jit(jax.grad(lambda x: jnp.vdot(bicubic_resize(x, scale), y)))(x)
    expected = np.vdot(bicubic_resize(other, scale), y)
    np.testing.assert_allclose(np.vdot(other, transposed), expected, rtol=ROUNDING)


def test_vmap_resizes_each_image():
    batch = np.random.default_rng(4).random((3, 8, 10), np.float32)
    each = np.stack([bicubic_resize(x, 0.5) for x in batch])
    together = jax.vmap(lambda x: bicubic_resize(x, 0.5))(batch)
    np.testing.assert_allclose(together, each, atol=FEW)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.float32, jnp.uint8])
def test_jax_arrays_keep_their_dtype(dtype):
    resized = bicubic_resize(jnp.ones((8, 8), dtype), 2)
    assert isinstance(resized, jax.Array) and resized.dtype == dtype
    assert np.all(resized == 1)


@pytest.mark.parametrize("dtype", [">f4", ">f8", "g", "f2"])
def test_floats_of_any_size_and_order_of_bytes_keep_their_precision(dtype):
    image = np.random.default_rng(5).random((7, 9))
    resized = bicubic_resize(image.astype(dtype), 1.5)
    assert resized.dtype == np.dtype(dtype)
    step = max(np.finfo(dtype).eps, np.finfo(np.float64).eps)
    np.testing.assert_allclose(resized, bicubic_resize(image, 1.5), rtol=0, atol=8 * step)


def test_lists_are_taken():
    np.testing.assert_array_equal(bicubic_resize([[0.25, 0.5]], 2), bicubic_resize(
        np.array([[0.25, 0.5]]), 2))  # fmt: skip


def test_cached_weights_are_not_changed_by_their_users():
    with pytest.raises(ValueError, match="read-only"):
        degrade._matrix(9, 3.0, "float32")[0, 0] = 1


@pytest.mark.parametrize("bad", [np.zeros((4, 4), int), np.zeros(4), np.zeros((1, 4, 4, 1))])
def test_what_is_no_image_is_not_resized(bad):
    with pytest.raises(ValueError, match=r"uint8 or float, \[H, W\]"):
        bicubic_resize(bad, 2)


@pytest.mark.parametrize("shape", [(0, 4), (4, 0, 3)])
def test_what_has_no_pixels_is_not_resized(shape):
    with pytest.raises(ValueError, match="has no pixels"):
        bicubic_resize(np.zeros(shape), 2)


@pytest.mark.parametrize("scale", [0, -2, float("inf"), float("nan")])
def test_scale_must_be_positive(scale):
    with pytest.raises(ValueError, match="scale must be positive"):
        bicubic_resize(SMALL, scale)


def test_the_network_input_is_the_low_resolution_enlarged():
    original = crop_to_multiple(SMALL, 3)
    low, enlarged = degrade_sr(original, 3)
    assert low.dtype == np.uint8 and low.shape == (7, 12, 3)
    assert enlarged.dtype == np.float32 and enlarged.shape == original.shape
    for channel in range(3):
        expected = resized_naively(low[..., channel] / 255, 3)
        np.testing.assert_allclose(enlarged[..., channel], expected, atol=FEW)


def test_sides_must_be_multiples_of_the_scale():
    with pytest.raises(ValueError, match=r"\[23, 36, 3\].*scale 3"):
        degrade_sr(SMALL, 3)
    with pytest.raises(ValueError, match="float64"):
        degrade_sr(np.zeros((6, 6)), 3)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("channels", [(), (3,)], ids=["grey", "rgb"])
def test_a_patch_is_what_the_whole_image_has_there(scale, channels):
    # Noise of hard black and white: any tap that is missing or mirrored in the wrong place shows.
    picture = rng.choice(np.array([0, 255], np.uint8), (23 * scale, 31 * scale, *channels))
    _, whole = degrade_sr(picture, scale)
    size = 17
    for top in (0, 1, 4 * scale, 4 * scale + 1, len(whole) - size - 1, len(whole) - size):
        for left in (0, 3, 5 * scale - 1, whole.shape[1] - size):
            patch, target = sr_patch(picture, top, left, size, scale)
            there = np.s_[top : top + size, left : left + size]
            np.testing.assert_allclose(patch, whole[there], atol=FEW)
            np.testing.assert_array_equal(target, to_float(picture[there]))
            assert patch.dtype == target.dtype == np.float32


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_patch_computes_only_its_surroundings(scale, monkeypatch):
    shapes = []
    resize = degrade.bicubic_resize
    monkeypatch.setattr(
        degrade, "bicubic_resize", lambda x, s: shapes.append(x.shape) or resize(x, s)
    )
    sr_patch(np.zeros((600, 600), np.uint8), 301, 302, 43, scale)
    assert max(shapes[0]) <= 43 + 2 * 5 * scale


def test_a_patch_may_be_the_whole_image():
    picture = SMALL[:12, :12]
    np.testing.assert_array_equal(sr_patch(picture, 0, 0, 12, 4)[0], degrade_sr(picture, 4)[1])


@pytest.mark.parametrize("top, left, size", [(-1, 0, 4), (0, 33, 4), (20, 0, 5), (0, 0, 0)])
def test_a_patch_must_lie_inside(top, left, size):
    with pytest.raises(ValueError, match="leaves the image"):
        sr_patch(SMALL[:22], top, left, size, 2)


@pytest.mark.parametrize("sigma", [15, 50])
def test_noise_is_gaussian_of_the_stated_strength(sigma):
    flat = np.full((300, 400), 0.5)
    noise = add_noise(flat, sigma, np.random.default_rng(5)) - 0.5
    assert noise.dtype == np.float32
    levels = np.sort(noise.ravel()) * 255 / sigma
    assert abs(levels.mean()) < 0.02 and abs(levels.std() - 1) < 0.01
    for quantile, expected in [(0.0228, -2), (0.1587, -1), (0.8413, 1), (0.9772, 2)]:
        assert levels[int(quantile * levels.size)] == pytest.approx(expected, abs=0.05)
    assert abs(np.mean(noise[:, 1:] * noise[:, :-1])) < 0.02 * noise.var(), "not white"


def test_noise_is_not_clipped_nor_rounded():
    noisy = add_noise(np.tile([0.0, 1.0], (50, 50)), 25, np.random.default_rng(6))
    assert noisy.min() < -0.1 and noisy.max() > 1.1
    assert len(np.unique(noisy)) > 4900


def test_noise_repeats_with_the_generator_and_is_fresh_otherwise():
    clean = np.zeros((8, 9, 3), np.float32)
    first, again = (add_noise(clean, 25, np.random.default_rng(7)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    generator = np.random.default_rng(7)
    add_noise(clean, 25, generator)
    assert not np.array_equal(first, add_noise(clean, 25, generator))
    np.testing.assert_array_equal(add_noise(clean, 0, generator), clean)


def test_noise_on_bytes_is_refused():
    with pytest.raises(ValueError, match="to_float"):
        add_noise(SMALL, 25, rng)


@needs_data
@pytest.mark.parametrize("name", ["bsd68", "set12"])
@pytest.mark.parametrize("sigma, free, in_bytes", [(15, 24.61, 24.79), (25, 20.18, 20.48),
                                                   (50, 14.15, 14.91)])  # fmt: skip
def test_noisy_benchmarks_score_what_the_docstring_says(name, sigma, free, in_bytes):
    originals = [to_float(read_pixels(path)) for path in find_pictures(DATA / name)]
    generator = np.random.default_rng(0)
    pairs = [(add_noise(x, sigma, generator), x) for x in originals]
    assert np.mean([metrics.psnr(*pair) for pair in pairs]) == pytest.approx(free, abs=0.02)
    if name == "bsd68":
        rounded = [metrics.psnr(*map(to_uint8, pair), 255) for pair in pairs]
        assert np.mean(rounded) == pytest.approx(in_bytes, abs=0.02)
