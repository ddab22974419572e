"""PNG, JPEG, BMP and WebP: to the last bit, and what was converted is said."""

import struct

import numpy as np
import pytest
from PIL import Image
from random_pictures import COLOUR, DEEP, GREY, assert_same, noise, opened, random_picture
from reference_files import cyan_is_grey_profile, encoded, png, png_chunk, png_samples
from skimage.color import lab2rgb

from nlrn_jax.errors import UserError
from nlrn_jax.pictures.files import open_picture, save_picture
from nlrn_jax.pictures.picture import Picture


def test_jpeg_is_nearly_what_was_saved_in_colour_too(tmp_path):
    ramps = np.stack(np.meshgrid(np.arange(48) * 5, np.arange(40) * 6), -1).astype(np.uint8)
    pixels = np.dstack([ramps, 255 - ramps[..., 0]])
    pixels[:, ::2] //= 2  # columns of different chroma survive 4:4:4 only
    save_picture(tmp_path / "a.jpg", Picture(pixels))
    difference = open_picture(tmp_path / "a.jpg").pixels.astype(int) - pixels
    assert np.sqrt(np.mean(difference**2)) < 2


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(9, 14), (9, 14, 3)])
@pytest.mark.parametrize("has_alpha", [False, True])
def test_a_saved_png_is_the_same_to_a_naive_decoder(tmp_path, dtype, shape, has_alpha):
    saved = random_picture(dtype, shape, has_alpha)
    save_picture(tmp_path / "a.png", saved)
    expected = np.dstack([saved.pixels, saved.alpha]) if has_alpha else saved.pixels
    np.testing.assert_array_equal(png_samples((tmp_path / "a.png").read_bytes()), expected)


@pytest.mark.parametrize("channels, colour_type", [(1, 0), (3, 2), (2, 4), (4, 6)])
def test_sixteen_bit_png_is_exact(tmp_path, channels, colour_type):
    samples = DEEP[..., -channels:]
    result = opened(tmp_path, png(samples, colour_type))
    has_alpha = channels in (2, 4)
    colour = samples[..., :-1] if has_alpha else samples
    colour = colour[..., 0] if channels < 3 else colour
    assert_same(result, colour, samples[..., -1] if has_alpha else None)


def test_the_transparent_colour_becomes_alpha(tmp_path):
    deep = np.array([[[1, 2, 3], [1, 2, 4]]], np.uint16)
    content = png(deep, 2, chunks=png_chunk(b"tRNS", struct.pack(">3H", 1, 2, 4)))
    assert_same(opened(tmp_path, content), deep, np.array([[65535, 0]], np.uint16))
    grey = np.array([[7, 8]], np.uint8)
    content = png(grey[..., None], 0, 8, png_chunk(b"tRNS", struct.pack(">H", 7)))
    result = opened(tmp_path, content)
    assert_same(result, grey, np.array([[0, 255]], np.uint8))
    assert result.notes == ("transparent level converted to alpha",)


# ---- what is converted


@pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF"])
def test_palette_becomes_rgb(tmp_path, format):
    flat = np.repeat(COLOUR[:1, :5], 4, axis=0)
    indexed = Image.fromarray(flat).quantize(5, dither=Image.Dither.NONE)
    result = opened(tmp_path, encoded(indexed, format))
    assert_same(result, flat)
    assert result.notes == ("palette converted to RGB",)


def test_a_palette_keeps_its_transparency(tmp_path):
    flat = np.repeat(COLOUR[:1, :2], 4, axis=0)
    indexed = Image.fromarray(flat).quantize(2, dither=Image.Dither.NONE)
    opacity = np.array([10, 200], np.uint8)
    content = encoded(indexed, "PNG", transparency=opacity.tobytes())
    assert_same(opened(tmp_path, content), flat, opacity[np.array(indexed)])


@pytest.mark.parametrize("format, compression", [("PNG", 1), ("BMP", 0), ("TIFF", "group4")])
def test_one_bit_becomes_grey(tmp_path, format, compression):
    content = encoded(Image.fromarray(GREY > 127), format, compression=compression)
    result = opened(tmp_path, content)
    assert_same(result, (GREY > 127) * np.uint8(255))
    assert result.notes == ("1-bit converted to 8-bit grey",)


@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_cmyk_without_a_profile_becomes_rgb(tmp_path, format):
    flat = np.full((16, 16, 3), (200, 40, 90), np.uint8)
    result = opened(tmp_path, encoded(Image.fromarray(flat).convert("CMYK"), format))
    assert np.abs(result.pixels.astype(int) - flat).max() <= 2
    assert result.notes == ("CMYK without a profile converted to RGB, by rule of thumb",)


@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_cmyk_goes_through_its_profile(tmp_path, format):
    cyan = Image.new("CMYK", (16, 16), (255, 0, 0, 0))
    result = opened(tmp_path, encoded(cyan, format, icc_profile=cyan_is_grey_profile()))
    assert result.pixels.shape == (16, 16, 3)
    expected = np.rint(
        255 * lab2rgb([50.0, 0.0, 0.0])
    )  # neutral, where the rule of thumb gives cyan
    assert np.abs(result.pixels - expected).max() <= 2
    assert result.notes == ("CMYK converted to sRGB",)
    assert result.icc_profile is None


def test_cmyk_with_a_bad_profile_says_so(tmp_path):
    cyan = Image.new("CMYK", (4, 4), (255, 0, 0, 0))
    result = opened(tmp_path, encoded(cyan, "TIFF", icc_profile=b"no profile"))
    assert "bad profile" in result.notes[0]
    assert result.icc_profile is None
    np.testing.assert_array_equal(result.pixels[0, 0], [0, 255, 255])


def test_of_several_pages_the_first_is_taken(tmp_path):
    first, second = Image.fromarray(COLOUR), Image.fromarray(255 - COLOUR)
    options = {"save_all": True, "append_images": [second]}
    for content in (
        encoded(first, "TIFF", **options),
        encoded(first, "PNG", **options),
        encoded(first, "WEBP", lossless=True, **options),
    ):
        result = opened(tmp_path, content)
        assert_same(result, COLOUR)
        assert result.notes == ("the first of 2 pages taken",)


def test_zeros_in_place_of_the_end_of_a_jpeg_are_refused(tmp_path):
    whole = encoded(Image.fromarray(noise(np.uint8, 64, 64, 3)), "JPEG")
    half = whole[: len(whole) // 2].ljust(len(whole), b"\0")
    with pytest.raises(UserError, match="no end marker"):
        opened(tmp_path, half)
