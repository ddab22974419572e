import errno
import io
import logging
import os
import random
import resource
import struct
import sys
import warnings
import zlib

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms
from skimage.color import lab2rgb

from nlrn_jax.data import pixels as image
from nlrn_jax.data.pixels import ImageError
from nlrn_jax.pictures import codec
from nlrn_jax.pictures import files as picture
from nlrn_jax.pictures.files import Picture, check_output, open_picture, same_file, save_picture

rng = np.random.default_rng(0)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
EVERY_KIND = [
    (dtype, shape, has_alpha)
    for dtype in (np.uint8, np.uint16, np.float32)
    for shape in ((9, 14), (9, 14, 3), (1, 1), (1, 1, 3), (1, 5, 3), (6, 1))
    for has_alpha in (False, True)
]


def noise(dtype, *shape) -> np.ndarray:
    if dtype == np.float32:
        return rng.uniform(-0.5, 1.5, shape).astype(dtype)  # beyond [0, 1] too
    return rng.integers(0, np.iinfo(dtype).max + 1, shape, dtype=dtype)


GREY, COLOUR, ALPHA = (noise(np.uint8, 9, 14, *c) for c in ((), (3,), ()))
DEEP = noise(np.uint16, 9, 14, 4)


def random_picture(dtype, shape, has_alpha) -> Picture:
    alpha = noise(dtype, *shape[:2]) if has_alpha else None
    return Picture(noise(dtype, *shape), alpha, SRGB, (300.0, 150.0))


def assert_same(opened: Picture, pixels, alpha=None):
    assert opened.pixels.dtype == pixels.dtype
    np.testing.assert_array_equal(opened.pixels, pixels)
    assert (opened.alpha is None) == (alpha is None)
    if alpha is not None:
        assert opened.alpha.dtype == pixels.dtype
        np.testing.assert_array_equal(opened.alpha, alpha)


# ---- naive readers and writers, by the formats' specifications


def png(samples, colour_type, depth=16, chunks=b"") -> bytes:
    """A PNG of rows without filter."""
    height, width = samples.shape[:2]
    rows = b"".join(b"\0" + row.astype(f">u{depth // 8}").tobytes() for row in samples)
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    body = chunks + png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + body


def png_chunk(kind, content) -> bytes:
    return struct.pack(">I4s", len(content), kind) + content + zlib_sum(kind + content)


def zlib_sum(content) -> bytes:
    return struct.pack(">I", zlib.crc32(content))


def png_samples(content: bytes) -> np.ndarray:
    """Decode a PNG, not interlaced, of 8 or 16 bits: PNG specification, section 9 (filters)."""
    at, data = 8, b""
    while at < len(content):
        length, kind = struct.unpack(">I4s", content[at : at + 8])
        body = content[at + 8 : at + 8 + length]
        if kind == b"IHDR":
            width, height, depth, colour_type = struct.unpack(">IIBB", body[:10])
        data += body if kind == b"IDAT" else b""
        at += length + 12
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[colour_type]
    step = channels * depth // 8
    rows = np.frombuffer(zlib.decompress(data), np.uint8).reshape(height, 1 + step * width)
    above = np.zeros(step * (width + 1), int)
    result = []
    for kind, row in zip(rows[:, 0], rows[:, 1:], strict=True):
        line = np.zeros(step * (width + 1), int)  # begins with a pixel of zeros
        for i, byte in enumerate(row, step):
            a, b, c = int(line[i - step]), int(above[i]), int(above[i - step])
            paeth = min((a, b, c), key=lambda value, p=a + b - c: abs(p - value))
            line[i] = (int(byte) + (0, a, b, (a + b) // 2, paeth)[kind]) % 256
        result.append(line[step:].astype(np.uint8))
        above = line
    samples = np.array(result).view(f">u{depth // 8}").reshape(height, width, channels)
    return samples.squeeze(2) if channels == 1 else samples


def tiff(samples, photometric, order="<", planar=False, tags=()) -> bytes:
    """An uncompressed TIFF 6.0 of samples [H, W, C], one strip a plane; tags are (tag, value)."""
    height, width, channels = samples.shape
    kind, size = samples.dtype.kind, samples.dtype.itemsize
    planes = list(np.moveaxis(samples, 2, 0)) if planar else [samples]
    strips = [plane.astype(f"{order}{kind}{size}").tobytes() for plane in planes]
    offsets = [8 + sum(map(len, strips[:i])) for i in range(len(strips))]
    entries = {256: [width], 257: [height], 258: [8 * size] * channels, 259: [1]}
    entries |= {262: [photometric], 273: offsets, 277: [channels], 278: [height]}
    entries |= {279: [*map(len, strips)], 284: [2 if planar else 1]}
    entries |= {339: [3 if kind == "f" else 1] * channels, **dict(tags)}
    start = offsets[-1] + len(strips[-1])
    beyond = start + 2 + 12 * len(entries) + 4
    directory, values = struct.pack(order + "H", len(entries)), b""
    for tag, numbers in sorted(entries.items()):
        value = struct.pack(f"{order}{len(numbers)}H", *numbers)
        if len(value) > 4:
            values, value = values + value, struct.pack(order + "I", beyond + len(values))
        directory += struct.pack(order + "HHI", tag, 3, len(numbers)) + value.ljust(4, b"\0")
    head = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "I", start)
    return head + b"".join(strips) + directory + bytes(4) + values


def encoded(pillow_image, format, **options) -> bytes:
    buffer = io.BytesIO()
    pillow_image.save(buffer, format, **options)
    return buffer.getvalue()


def opened(tmp_path, content: bytes, name="picture") -> Picture:
    (tmp_path / name).write_bytes(content)
    return open_picture(tmp_path / name)


# ---- out and in again


@pytest.mark.parametrize("extension", picture.EXTENSIONS)
def test_what_is_saved_is_opened(tmp_path, extension):
    for i, (dtype, shape, has_alpha) in enumerate(EVERY_KIND):
        path = tmp_path / f"{i}{extension}"
        saved = random_picture(dtype, shape, has_alpha)
        try:
            check_output(path, dtype, has_alpha, shape)
        except ImageError:
            with pytest.raises(ImageError, match=r"end the name in .*\.tif"):
                save_picture(path, saved)
            continue
        save_picture(path, saved)
        result = open_picture(path)
        assert result.notes == ()
        pixels = saved.pixels
        if extension == ".webp" and pixels.ndim == 2:
            pixels = np.dstack([pixels] * 3)  # WebP has no grey
        if extension in (".jpg", ".jpeg"):
            assert result.pixels.shape == pixels.shape
        else:
            assert_same(result, pixels, saved.alpha)
        assert extension == ".bmp" or result.icc_profile == SRGB
        assert extension == ".webp" or result.dpi == pytest.approx((300, 150), abs=0.02)


def test_each_format_holds_what_it_can(tmp_path):
    held = {
        extension: {
            (np.dtype(dtype).name, has_alpha)
            for dtype, _, has_alpha in EVERY_KIND
            if not refusal(tmp_path / f"a{extension}", dtype, has_alpha)
        }
        for extension in (".png", ".tif", ".jpg", ".bmp", ".webp")
    }
    bytes_only, both = {("uint8", False)}, {("uint8", False), ("uint8", True)}
    deep = both | {("uint16", False), ("uint16", True)}
    assert held[".png"] == deep
    assert held[".tif"] == deep | {("float32", False), ("float32", True)}
    assert held[".jpg"] == held[".bmp"] == bytes_only
    assert held[".webp"] == both


def refusal(path, *arguments) -> str:
    try:
        check_output(path, *arguments)
    except ImageError as error:
        return str(error)
    return ""


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


# ---- what others have written


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


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_tiff_is_exact_in_every_layout(tmp_path, order, planar, dtype):
    samples = noise(dtype, 5, 7, 4)
    content = tiff(samples, 2, order, planar, {338: [2]}.items())
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
    content = tiff(np.dstack([stored, alpha]), 2, tags={338: [1]}.items())
    result = opened(tmp_path, content)
    assert np.abs(result.pixels.astype(int) - colour).max() <= 1  # alpha of a half: one bit lost
    np.testing.assert_array_equal(result.alpha, alpha[..., 0])
    assert result.notes == ("premultiplied alpha divided out",)


def test_a_channel_of_no_meaning_is_dropped(tmp_path):
    result = opened(tmp_path, tiff(DEEP, 2, tags={338: [0]}.items()))
    assert_same(result, DEEP[..., :3])
    assert result.notes == ("a channel besides colour and alpha dropped",)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "BMP", "TIFF"])
@pytest.mark.parametrize("pixels", [GREY, COLOUR])
def test_eight_bits_are_read_as_for_training(tmp_path, format, pixels):
    content = encoded(Image.fromarray(pixels), format)
    result = opened(tmp_path, content, "a")
    assert_same(result, image.read(tmp_path / "a"))
    assert result.notes == () and result.alpha is None


def test_jpeg_inside_tiff_is_read_as_by_pillow(tmp_path):
    smooth = Image.fromarray(COLOUR).resize((60, 40), Image.Resampling.BICUBIC)
    content = encoded(smooth, "TIFF", compression="jpeg")
    with Image.open(io.BytesIO(content)) as reference:
        expected = np.array(reference.convert("RGB")).astype(int)
    assert np.abs(opened(tmp_path, content).pixels - expected).max() <= 2


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["jpg", "png", "webp", "tif", "deep png", "deep tif"])
def test_exif_orientation_is_applied(tmp_path, orientation, kind):
    upright = np.zeros((16, 32, 3), np.uint8 if "deep" not in kind else np.uint16)
    upright[:8, :8] = 255  # a light top-left corner
    stored = np.ascontiguousarray(as_held(upright, orientation))
    exif = Image.Exif()
    exif[0x0112] = orientation
    if kind == "deep png":
        content = png(
            stored, 2, chunks=png_chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))
        )
    elif kind == "deep tif":
        content = tiff(stored, 2, tags={274: [orientation]}.items())
    else:
        format = {"jpg": "JPEG", "tif": "TIFF"}.get(kind, kind.upper())
        options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 100}}.get(format, {})
        content = encoded(Image.fromarray(stored), format, exif=exif, **options)
    result = opened(tmp_path, content)
    assert result.pixels.shape == upright.shape and result.pixels.dtype == upright.dtype
    assert np.abs(result.pixels.astype(int) - upright).max() <= (2 if kind == "jpg" else 0)
    note = (f"EXIF orientation {orientation} applied",)
    assert result.notes == (note if orientation > 1 else ())


def as_held(upright, orientation) -> np.ndarray:
    """How a camera held so stores the upright picture (EXIF 2.3, tag 0x0112)."""
    transposed = upright.swapaxes(0, 1)
    return {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: transposed,
        6: np.rot90(upright, 1),
        7: transposed[::-1, ::-1],
        8: np.rot90(upright, -1),
    }[orientation]


def test_a_turned_picture_is_saved_upright_with_its_resolution(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    content = encoded(Image.fromarray(COLOUR), "PNG", exif=exif, dpi=(300, 150))
    result = opened(tmp_path, content)
    save_picture(tmp_path / "b.png", result)
    again = open_picture(tmp_path / "b.png")
    assert again.dpi == pytest.approx((150, 300), abs=0.02)
    assert again.notes == ()
    np.testing.assert_array_equal(again.pixels, np.rot90(COLOUR, -1))


def test_resolution_a_centimetre_is_converted(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, DEEP[..., :3], resolution=(100, 50), resolutionunit="CENTIMETER")
    assert open_picture(path).dpi == pytest.approx((254, 127))
    tifffile.imwrite(path, DEEP[..., :3], resolution=(100, 50), resolutionunit="NONE")
    assert open_picture(path).dpi is None


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


def test_palette_with_alpha_channel_becomes_rgb_and_alpha(tmp_path):
    palette = noise(np.uint8, 256, 3)
    table = palette.T.astype(np.uint16) * 257
    content = tiff(np.dstack([GREY, ALPHA]), 3, tags={320: table.ravel(), 338: [2]}.items())
    result = opened(tmp_path, content)
    assert_same(result, palette[GREY], ALPHA)
    assert result.notes == ("palette converted to RGB",)


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


def cyan_is_grey_profile() -> bytes:
    """An ICC profile (version 2, lut8) in which cyan ink is L* = 50, other ink black."""
    lightness = [0 if m or y or k else 128 if c else 255 for c, m, y, k in np.ndindex(2, 2, 2, 2)]
    grid = b"".join(bytes([level, 128, 128]) for level in lightness)
    one, linear = 1 << 16, bytes(range(256))
    matrix = struct.pack(">9i", one, 0, 0, 0, one, 0, 0, 0, one)
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + matrix + 4 * linear + grid + 3 * linear
    size = 128 + 4 + 12 + len(table)
    head = struct.pack(
        ">I4sI4s4s4s12s4s", size, b"", 0x02400000, b"prtr", b"CMYK", b"Lab ", b"", b"acsp"
    )
    head = head.ljust(68, b"\0") + struct.pack(">3I", 0xF6D6, one, 0xD32D)  # illuminant D50
    return head.ljust(128, b"\0") + struct.pack(">I4sII", 1, b"A2B0", 144, len(table)) + table


def test_cmyk_with_a_bad_profile_says_so(tmp_path):
    cyan = Image.new("CMYK", (4, 4), (255, 0, 0, 0))
    result = opened(tmp_path, encoded(cyan, "TIFF", icc_profile=b"no profile"))
    assert "bad profile" in result.notes[0]
    assert result.icc_profile is None
    np.testing.assert_array_equal(result.pixels[0, 0], [0, 255, 255])


def test_lab_becomes_srgb(tmp_path):
    colours = np.array([[[255, 0, 0], [128, 0, 0], [150, 30, -20], [90, -25, 20]]])  # L * 2.55
    result = opened(tmp_path, tiff(colours.astype(np.int8).view(np.uint8), 8))
    expected = 255 * lab2rgb(colours / [2.55, 1, 1])
    assert np.abs(result.pixels - expected).max() <= 6  # another chromatic adaptation
    assert result.notes == ("Lab converted to sRGB",)


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


# ---- what is refused


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers_are_counted(tmp_path, bad):
    pixels = np.full((5, 4, 1), 0.5, np.float32)
    pixels[1:4, 2] = bad
    with pytest.raises(ImageError, match=r"picture: 3 of 20 values are NaN or infinite; replace"):
        opened(tmp_path, tiff(pixels, 1))


@pytest.mark.parametrize("low, high", [(0, 255), (-100, 1)])
def test_floats_far_from_nought_to_one_are_refused(tmp_path, low, high):
    pixels = np.array([[[low], [high]]], np.float32)
    with pytest.raises(ImageError, match=f"float values from {low} to {high}; scale black to 0"):
        opened(tmp_path, tiff(pixels, 1))


@pytest.mark.parametrize(
    "samples", [noise(np.uint16, 3, 4, 1).astype(t) for t in (np.uint32, np.float64, np.float16)]
)
def test_samples_of_other_depths_are_refused(tmp_path, samples):
    bits = 8 * samples.dtype.itemsize
    with pytest.raises(ImageError, match=rf"{bits}-bit samples .*; save it as 8- or 16-bit"):
        opened(tmp_path, tiff(samples, 1))


def test_a_hundred_megapixels_are_opened(tmp_path):
    rows = zlib.compress(bytes(1251 * 10_000), 1)
    header = struct.pack(">IIBBBBB", 10_000, 10_000, 1, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", rows), (b"IEND", b""))
    content = b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in chunks)
    assert opened(tmp_path, content).pixels.shape == (10_000, 10_000)


def absurd_headers() -> dict[str, bytes]:
    """Pictures of a few bytes whose headers announce gigabytes."""
    jpeg, bmp = bytearray(encoded(Image.fromarray(COLOUR), "JPEG")), bytearray(
        encoded(Image.fromarray(COLOUR), "BMP")
    )  # fmt: skip
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = struct.pack(">HH", 60_000, 60_000)
    bmp[18:26] = struct.pack("<ii", 60_000, 60_000)
    sides = {256: [60_000], 257: [60_000], 278: [60_000]}
    content = png(COLOUR, 2, 8)
    header = content[16:29]
    wide = struct.pack(">II", 60_000, 60_000) + header[8:]
    return {
        "png": content.replace(header + content[29:33], wide + zlib_sum(b"IHDR" + wide)),
        "jpeg": bytes(jpeg),
        "bmp": bytes(bmp),
        "tiff": tiff(DEEP[..., :3], 2, tags=sides.items()),
        "webp": b"RIFF\x1a\0\0\0WEBPVP8L\x0d\0\0\0\x2f" + b"\xff\xff\xff\x0f" + bytes(8),
    }


@pytest.mark.parametrize("format, content", absurd_headers().items())
def test_absurd_headers_are_refused_before_memory_is_taken(tmp_path, format, content):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ImageError, match=r"million|cannot be decoded"):
        opened(tmp_path, content)
    taken = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert taken * (1 if sys.platform == "darwin" else 1024) < 100e6


def test_what_is_no_picture_is_named(tmp_path):
    (tmp_path / "x.png").mkdir()
    for name, reason in {"x.png": "is a folder", "none.png": "no such file"}.items():
        with pytest.raises(ImageError, match=rf"{name}: {reason}"):
            open_picture(tmp_path / name)
    for content in (b"", b"\0" * 500, b"these are words\n" * 9, b"\xff\xd8\xff", b"II*\0", b"BM"):
        with pytest.raises(ImageError) as caught:
            opened(tmp_path, content, "a.png")
        assert_one_line(caught.value, "a.png")


def assert_one_line(error, name):
    message = str(error)
    assert f"{name}: " in message and "; " in message
    assert len(message.splitlines()) == 1 and len(message) < 400


def test_an_unreadable_file_is_named(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(png(DEEP, 6))

    def denied(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(type(tmp_path), "open", denied)  # as root, no permission is missing
    with pytest.raises(ImageError, match=r"a\.png: .*Permission denied.*; check its permissions"):
        open_picture(tmp_path / "a.png")


# ---- damage


def small_pictures() -> dict[str, bytes]:
    colour, deep = Image.fromarray(COLOUR), Picture(DEEP[..., :3], DEEP[..., 3])
    layers = io.BytesIO()
    tifffile.imwrite(layers, DEEP[..., :3], photometric="rgb", compression="lzw", rowsperstrip=2)
    return {
        "png": encoded(colour, "PNG", icc_profile=SRGB),
        "palette.png": encoded(colour.quantize(9), "PNG"),
        "deep.png": codec.encode(deep, "PNG"),
        "jpg": encoded(colour, "JPEG"),
        "progressive.jpg": encoded(colour, "JPEG", progressive=True),
        "bmp": encoded(colour, "BMP"),
        "tif": tiff(DEEP, 2),
        "lzw.tif": layers.getvalue(),
        "fax.tif": encoded(colour.convert("1"), "TIFF", compression="group4"),
        "jpeg.tif": encoded(colour, "TIFF", compression="jpeg"),
        "palette.tif": encoded(colour.quantize(9), "TIFF", compression="tiff_adobe_deflate"),
        "webp": encoded(colour, "WEBP", lossless=True),
    }


SMALL = small_pictures()


def open_damaged(tmp_path, content: bytes) -> Picture | None:
    try:
        return opened(tmp_path, content, "damaged")
    except ImageError as error:
        assert_one_line(error, "damaged")
        return None


@pytest.fixture
def silence(capfd, caplog, recwarn):
    """Fail if decoders print, log or warn."""
    yield
    assert capfd.readouterr() == ("", "")
    assert not caplog.get_records("call")
    assert not recwarn.list


def test_decoders_remarks_are_muted(tmp_path, caplog):
    exif = b"Exif\0\0II*\0\x08\0\0\0\x09\0"  # a directory of nine tags, cut off
    jpeg = encoded(Image.fromarray(COLOUR), "JPEG", exif=exif)
    odd_tag = tiff(DEEP[..., :3], 2, tags={305: [1, 2, 3]}.items())
    odd_tag = odd_tag.replace(struct.pack("<HH", 305, 3), struct.pack("<HH", 305, 999))
    with pytest.warns(UserWarning, match="EXIF"), Image.open(io.BytesIO(jpeg)) as remarkable:
        remarkable.getexif()
    with tifffile.TiffFile(io.BytesIO(odd_tag)):
        assert caplog.records
    caplog.clear()
    with warnings.catch_warnings(record=True) as remarks:
        warnings.simplefilter("always")
        opened(tmp_path, jpeg)
        assert_same(opened(tmp_path, odd_tag), DEEP[..., :3])
    assert not remarks and not caplog.records


@pytest.mark.parametrize("kind", SMALL)
def test_a_file_cut_anywhere_is_refused_or_whole(tmp_path, kind, silence):
    content = SMALL[kind]
    whole = opened(tmp_path, content)
    lengths = {
        *range(0, len(content), 1 + len(content) // 60),
        *range(len(content) - 9, len(content)),
    }
    for length in lengths:
        result = open_damaged(tmp_path, content[:length])
        if result is not None:  # padding at the end may miss without harm
            assert_same(result, whole.pixels, whole.alpha)


@pytest.mark.parametrize("kind", SMALL)
def test_damage_is_refused_or_has_its_shape(tmp_path, kind, silence):
    content, dice = SMALL[kind], random.Random(kind)
    whole = opened(tmp_path, content)
    for _ in range(60):
        damaged = damage(content, dice)
        result = open_damaged(tmp_path, damaged)
        if result is not None and damaged != content:
            assert not kind.endswith("png"), "a check sum was passed over"
            assert result.pixels.dtype in (np.uint8, np.uint16)
            assert result.pixels.ndim == 2 or result.pixels.shape[2] == 3
            assert result.alpha is None or result.alpha.shape == result.pixels.shape[:2]
    data = pixel_data(kind, content)
    for _ in range(30):
        flipped = bytearray(content)
        flipped[dice.choice(data)] ^= 1 << dice.randrange(8)
        result = open_damaged(tmp_path, bytes(flipped))
        assert result is None or result.pixels.shape == whole.pixels.shape


def damage(content: bytes, dice: random.Random) -> bytes:
    at, size = dice.randrange(len(content)), dice.choice((1, 4, 50))
    flipped = bytes([content[at] ^ 1 << dice.randrange(8)])
    return dice.choice(
        [
            content[:at] + flipped + content[at + 1 :],
            content[:at] + bytes(min(size, len(content) - at)) + content[at + size :],
            content[:at] + b"\xff" * size + content[at + size :],
            content[:at] + dice.randbytes(len(content) - at),
            content[:at] + content[at + size :],
            content[:at] + dice.randbytes(size) + content[at:],
            dice.choice([*SMALL.values()])[:30] + content[30:],
        ]
    )


def pixel_data(kind: str, content: bytes) -> range:
    """Bytes that hold pixels and nothing else."""
    if kind.endswith("tif"):
        with tifffile.TiffFile(io.BytesIO(content)) as file:
            start, size = file.pages[0].dataoffsets[0], file.pages[0].databytecounts[0]
        return range(start, start + size)
    mark = {"png": b"IDAT", "jpg": b"\xff\xda", "bmp": b"BM", "webp": b"VP8L"}[kind.split(".")[-1]]
    start = content.index(mark)
    if kind.endswith("jpg"):
        start += 2 + int.from_bytes(content[start + 2 : start + 4], "big")
    return range(
        start + {"bmp": 54, "png": 4, "webp": 13}.get(kind.split(".")[-1], 0), len(content) - 2
    )


def test_zeros_in_place_of_the_end_of_a_jpeg_are_refused(tmp_path):
    whole = encoded(Image.fromarray(noise(np.uint8, 64, 64, 3)), "JPEG")
    half = whole[: len(whole) // 2].ljust(len(whole), b"\0")
    with pytest.raises(ImageError, match="no end marker"):
        opened(tmp_path, half)


def test_strips_that_are_missing_are_refused(tmp_path):
    for tags in ({279: [0]}, {273: [0]}, {278: [3]}):
        with pytest.raises(ImageError, match="strips are damaged"):
            opened(tmp_path, tiff(DEEP[..., :3], 2, tags=tags.items()))


def test_opening_leaves_logging_as_it_was(tmp_path):
    levels = {name: logging.getLogger(name).level for name in ("PIL", "tifffile", "imagecodecs")}
    open_damaged(tmp_path, b"II*\0")
    assert levels == {name: logging.getLogger(name).level for name in levels}


# ---- saving, or not


def test_an_existing_file_is_kept_unless_told(tmp_path):
    path = tmp_path / "new" / "folder" / "a.png"
    save_picture(path, Picture(GREY))
    with pytest.raises(ImageError, match=r"a\.png: exists already; .*overwrite"):
        save_picture(path, Picture(COLOUR))
    assert_same(open_picture(path), GREY)
    save_picture(path, Picture(COLOUR), overwrite=True)
    assert_same(open_picture(path), COLOUR)
    assert [p.name for p in path.parent.iterdir()] == ["a.png"]


def test_a_file_that_appears_meanwhile_is_kept(tmp_path, monkeypatch):
    path, encode = tmp_path / "a.png", codec.encode

    def slowly(*arguments):
        path.write_bytes(b"another's")
        return encode(*arguments)

    monkeypatch.setattr(codec, "encode", slowly)
    with pytest.raises(ImageError, match="exists already"):
        save_picture(path, Picture(GREY))
    assert path.read_bytes() == b"another's"
    assert os.listdir(tmp_path) == ["a.png"]


def test_a_write_that_stops_midway_leaves_nothing(tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(ImageError) as caught:
            save_picture(tmp_path / "a.png", Picture(COLOUR))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert_one_line(caught.value, "a.png")
    assert "cannot be written (File too large)" in str(caught.value)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    "code, mend", [(errno.ENOSPC, "make room"), (errno.EACCES, "check the folder")]
)
def test_a_failed_write_says_why_and_leaves_nothing(tmp_path, monkeypatch, code, mend, overwrite):
    if overwrite:
        save_picture(tmp_path / "a.tif", Picture(GREY))
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}

    def fails(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "replace", fails)
    with pytest.raises(ImageError, match=rf"a\.tif: .*\({os.strerror(code)}\); {mend}"):
        save_picture(tmp_path / "a.tif", Picture(COLOUR), overwrite)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_named(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(ImageError, match=r"a\.png: .*Permission denied"):
        save_picture(tmp_path / "a.png", Picture(GREY))


def test_a_place_that_cannot_be_is_named(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(ImageError, match=r"a\.png: cannot be written .*check the folder"):
        save_picture(tmp_path / "file" / "a.png", Picture(GREY))
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(ImageError, match=r"folder\.png: cannot be written .*directory"):
        save_picture(tmp_path / "folder.png", Picture(GREY), overwrite=True)
    assert sorted(os.listdir(tmp_path)) == ["file", "folder.png"]


def test_an_encoder_that_fails_is_named(tmp_path):
    with pytest.raises(ImageError, match=r"a\.png: cannot be encoded as PNG .*; name another"):
        save_picture(tmp_path / "a.png", Picture(GREY, dpi=(10.0**9, 10.0**9)))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "name, arguments, reason",
    [
        ("a.gif", (np.uint8, False), r"unknown extension; .*\.png"),
        ("a", (np.uint8, False), r"unknown extension; .*\.png"),
        ("a.jpg", (np.uint16, False), r"JPEG cannot hold uint16; end the name in \.png or \.tif"),
        ("a.JPG", (np.uint8, True), r"JPEG cannot hold transparency; .*\.png"),
        ("a.png", (np.float32, True), r"PNG cannot hold float32; end the name in \.tif or \.tiff$"),
        ("a.webp", (np.uint8, True, (20_000, 9)), r"WEBP holds up to 16383 pixels .*\.png"),
    ],
)
def test_an_output_that_cannot_be_is_refused_at_once(tmp_path, name, arguments, reason):
    with pytest.raises(ImageError, match=rf"{name}: {reason}"):
        check_output(tmp_path / name, *arguments)


def test_an_existing_output_is_refused_at_once(tmp_path):
    (tmp_path / "a.png").symlink_to("nowhere")
    assert "exists already" in refusal(tmp_path / "a.png", np.uint8, False)
    assert not refusal(tmp_path / "a.png", np.uint8, False, (1, 1), True)


@pytest.mark.parametrize(
    "bad",
    [
        Picture(GREY[..., None]),
        Picture(GREY[:0]),
        Picture(COLOUR, COLOUR),
        Picture(COLOUR, ALPHA.astype(np.uint16)),
    ],
)
def test_arrays_that_are_no_picture_are_an_error(tmp_path, bad):
    with pytest.raises(ValueError, match=r"a\.png: "):
        save_picture(tmp_path / "a.png", bad)


def test_the_same_file_is_known_by_other_names(tmp_path):
    (tmp_path / "a").write_text("")
    (tmp_path / "b").write_text("")
    (tmp_path / "link").symlink_to("a")
    os.link(tmp_path / "a", tmp_path / "hard")
    assert same_file(tmp_path / "a", tmp_path / "link")
    assert same_file(tmp_path / "." / "a", tmp_path / "hard")
    assert not same_file(tmp_path / "a", tmp_path / "b")
    assert not same_file(tmp_path / "a", tmp_path / "none")
