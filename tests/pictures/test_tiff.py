"""TIFF: exact in every layout, and refused where its range cannot be known."""

import io

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image
from random_pictures import (
    ALPHA,
    COLOUR,
    DEEP,
    EVERY_KIND,
    GREY,
    SRGB,
    assert_same,
    noise,
    opened,
    random_picture,
)
from reference_files import encoded, tiff
from skimage.color import lab2rgb

from nlrn_jax.errors import UserError
from nlrn_jax.pictures.files import open_picture, save_picture
from nlrn_jax.pictures.picture import Picture


@pytest.mark.parametrize("dtype, shape, has_alpha", EVERY_KIND)
def test_a_saved_tiff_is_the_same_to_libtiff(tmp_path, dtype, shape, has_alpha):
    saved = random_picture(dtype, shape, has_alpha)
    save_picture(tmp_path / "a.tif", saved)
    decoded = imagecodecs.tiff_decode((tmp_path / "a.tif").read_bytes())
    expected = np.dstack([saved.pixels, saved.alpha]) if has_alpha else saved.pixels
    np.testing.assert_array_equal(decoded.reshape(expected.shape), expected)


def test_a_saved_tiff_is_the_same_to_pillow(tmp_path):
    save_picture(tmp_path / "a.tif", Picture(COLOUR, ALPHA, SRGB, (300, 150)))
    with Image.open(tmp_path / "a.tif") as read:
        assert (read.mode, read.info["icc_profile"], read.info["dpi"]) == ("RGBA", SRGB, (300, 150))
        np.testing.assert_array_equal(np.array(read), np.dstack([COLOUR, ALPHA]))


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_tiff_is_exact_in_every_layout(tmp_path, order, planar, dtype):
    samples = noise(dtype, 5, 7, 4)
    content = tiff(samples, 2, order, planar, {338: [2]})
    assert_same(opened(tmp_path, content), samples[..., :3], samples[..., 3])
    assert_same(opened(tmp_path, tiff(samples[..., :1], 1, order, planar)), samples[..., 0])
    inverted = (1 if dtype == np.float32 else np.iinfo(dtype).max) - samples[..., 0]
    assert_same(opened(tmp_path, tiff(samples[..., :1], 0, order, planar)), inverted)


@pytest.mark.parametrize("compression", ["lzw", "packbits", "zlib", "zstd", "lzma", None])
@pytest.mark.parametrize("tile", [None, (16, 16)])
def test_sixteen_bit_tiff_is_exact_however_it_is_compressed(tmp_path, compression, tile):
    samples = noise(np.uint16, 21, 37, 3)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, samples, photometric="rgb", compression=compression, tile=tile)
    assert_same(open_picture(path), samples)


def test_premultiplied_alpha_is_divided_out(tmp_path):
    colour, alpha = DEEP[..., :3], DEEP[..., 3:] // 2 + 32768
    stored = np.rint(colour.astype(float) * alpha / 65535).astype(np.uint16)
    content = tiff(np.dstack([stored, alpha]), 2, tags={338: [1]})
    result = opened(tmp_path, content)
    assert np.abs(result.pixels.astype(int) - colour).max() <= 1  # alpha of a half: one bit lost
    np.testing.assert_array_equal(result.alpha, alpha[..., 0])
    assert result.notes == ("premultiplied alpha divided out",)


def test_a_channel_of_no_meaning_is_dropped(tmp_path):
    result = opened(tmp_path, tiff(DEEP, 2, tags={338: [0]}))
    assert_same(result, DEEP[..., :3])
    assert result.notes == ("a channel besides colour and alpha dropped",)


def test_jpeg_inside_tiff_is_read_as_by_pillow(tmp_path):
    smooth = Image.fromarray(COLOUR).resize((60, 40), Image.Resampling.BICUBIC)
    content = encoded(smooth, "TIFF", compression="jpeg")
    with Image.open(io.BytesIO(content)) as reference:
        expected = np.array(reference.convert("RGB")).astype(int)
    assert np.abs(opened(tmp_path, content).pixels - expected).max() <= 2


def test_resolution_a_centimetre_is_converted(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, DEEP[..., :3], resolution=(100, 50), resolutionunit="CENTIMETER")
    assert open_picture(path).dpi == pytest.approx((254, 127))
    tifffile.imwrite(path, DEEP[..., :3], resolution=(100, 50), resolutionunit="NONE")
    assert open_picture(path).dpi is None


def test_palette_with_alpha_channel_becomes_rgb_and_alpha(tmp_path):
    palette = noise(np.uint8, 256, 3)
    table = palette.T.astype(np.uint16) * 257
    content = tiff(np.dstack([GREY, ALPHA]), 3, tags={320: table.ravel(), 338: [2]})
    result = opened(tmp_path, content)
    assert_same(result, palette[GREY], ALPHA)
    assert result.notes == ("palette converted to RGB",)


def test_lab_becomes_srgb(tmp_path):
    colours = np.array([[[255, 0, 0], [128, 0, 0], [150, 30, -20], [90, -25, 20]]])  # L * 2.55
    result = opened(tmp_path, tiff(colours.astype(np.int8).view(np.uint8), 8))
    expected = 255 * lab2rgb(colours / [2.55, 1, 1])
    assert np.abs(result.pixels - expected).max() <= 6  # another chromatic adaptation
    assert result.notes == ("Lab converted to sRGB",)


# ---- what is refused


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers_are_counted(tmp_path, bad):
    pixels = np.full((5, 4, 1), 0.5, np.float32)
    pixels[1:4, 2] = bad
    with pytest.raises(UserError, match=r"picture: 3 of 20 values are NaN or infinite; replace"):
        opened(tmp_path, tiff(pixels, 1))


@pytest.mark.parametrize("low, high", [(0, 255), (-100, 1)])
def test_floats_far_from_nought_to_one_are_refused(tmp_path, low, high):
    pixels = np.array([[[low], [high]]], np.float32)
    with pytest.raises(UserError, match=f"float values from {low} to {high}; scale black to 0"):
        opened(tmp_path, tiff(pixels, 1))


@pytest.mark.parametrize(
    "samples", [noise(np.uint16, 3, 4, 1).astype(t) for t in (np.uint32, np.float64, np.float16)]
)
def test_samples_of_other_depths_are_refused(tmp_path, samples):
    bits = 8 * samples.dtype.itemsize
    with pytest.raises(UserError, match=rf"{bits}-bit samples .*; save it as 8- or 16-bit"):
        opened(tmp_path, tiff(samples, 1))


def test_strips_that_are_missing_are_refused(tmp_path):
    for tags in ({279: [0]}, {273: [0]}, {278: [3]}):
        with pytest.raises(UserError, match="strips are damaged"):
            opened(tmp_path, tiff(DEEP[..., :3], 2, tags=tags))
