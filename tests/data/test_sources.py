"""Data sources: what a string names is what is read, and what cannot be read is named."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow
from reference_files import tiff

from nlrn_jax.data import sources
from nlrn_jax.data.sources import Image, read_images, require_size, split_sources
from nlrn_jax.errors import UserError
from nlrn_jax.pictures.files import open_picture

ROOT = Path(__file__).parents[2]
rng = np.random.default_rng(0)


def save(path, shape=(6, 5)):
    """Write a random picture and return its pixels."""
    pixels = rng.integers(0, 256, shape, dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Pillow.fromarray(pixels).save(path)
    return pixels


def refusal(source):
    """Return the message with which a source is refused: one line."""
    with pytest.raises(UserError) as error:
        read_images(source)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_samples_are_ten_photographs_and_need_no_download(monkeypatch):
    def no_network(*_):
        raise AssertionError("the samples must not be downloaded")

    monkeypatch.setattr(socket.socket, "connect", no_network)
    images = read_images("samples")
    names = [Path(image.name).stem for image in images]
    assert names == [
        "astronaut", "camera", "chelsea", "china", "coffee", "coins", "flower", "moon",
        "motorcycle_left", "rocket",
    ]  # fmt: skip
    for name, pixels in images:
        assert {"skimage", "sklearn"} & set(Path(name).parts)
        assert pixels.dtype == np.uint8 and min(pixels.shape[:2]) >= 300
    assert [n for n, (_, p) in zip(names, images, strict=True) if p.ndim == 2] == [
        "camera", "coins", "moon",
    ]  # fmt: skip


def test_a_folder_is_read_to_any_depth_sorted_grey_and_colour_together(tmp_path):
    grey = save(tmp_path / "b.png")
    colour = save(tmp_path / "a" / "deep" / "c.PNG", (4, 7, 3))
    last = save(tmp_path / "c" / "a.bmp", (1, 1))
    (tmp_path / "notes.txt").write_text("no picture")
    images = read_images(f"folder:{tmp_path}")
    assert [image.name for image in images] == [
        str(tmp_path / name) for name in ("a/deep/c.PNG", "b.png", "c/a.bmp")
    ]
    for image, pixels in zip(images, (colour, grey, last), strict=True):
        np.testing.assert_array_equal(image.pixels, pixels)


def test_a_folder_may_be_in_the_home_directory(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    save(tmp_path / "pictures" / "a.png")
    assert len(read_images("folder:~/pictures")) == 1


def test_commas_join_sources_in_their_order(tmp_path):
    for name in ("z/1.png", "a/2.png"):
        save(tmp_path / name)
    images = read_images(f" folder:{tmp_path}/z , folder:{tmp_path}/a,")
    assert [Path(image.name).name for image in images] == ["1.png", "2.png"]
    assert split_sources("samples, folder:x") == ["samples", "folder:x"]


@pytest.mark.parametrize("source", ["", " ", ",", " , "])
def test_a_source_that_names_nothing_is_refused(source):
    assert repr(source) in refusal(source)
    with pytest.raises(UserError, match="names nothing"):
        split_sources(source)


@pytest.mark.parametrize(
    "source", ["sample", "Samples", "folder:", "tfds:", "tfds", "dir:x", "/home", "samples:x"]
)
def test_an_unknown_kind_of_source_is_named_with_those_that_exist(source):
    message = refusal(source)
    assert repr(source) in message
    assert all(kind in message for kind in ("samples", "folder:", "tfds:"))


def test_a_missing_folder_is_named(tmp_path):
    assert f"{tmp_path}/nowhere" in refusal(f"folder:{tmp_path}/nowhere")


def test_a_folder_without_a_picture_is_named(tmp_path):
    assert str(tmp_path) in refusal(f"folder:{tmp_path}")
    (tmp_path / "notes.txt").write_text("no picture")
    assert str(tmp_path) in refusal(f"folder:{tmp_path}")


@pytest.mark.parametrize("extension", ["png", "jpg", "bmp", "tif"])
def test_a_truncated_file_among_good_ones_is_named(tmp_path, extension):
    save(tmp_path / f"good.{extension}", (40, 40, 3))
    bad = tmp_path / f"bad.{extension}"
    save(bad, (40, 40, 3))
    bad.write_bytes(bad.read_bytes()[:300])
    assert str(bad) in refusal(f"folder:{tmp_path}")


def test_all_damaged_files_are_named_at_once(tmp_path):
    for i in range(8):
        (tmp_path / f"{i}.png").write_bytes(b"damaged")
    save(tmp_path / "good.png")
    message = refusal(f"folder:{tmp_path}")
    assert message.startswith("8 of 9 pictures cannot be read: ") and "and 3 more" in message
    assert all(f"{i}.png: " in message for i in range(5))


def test_linked_folders_are_read_and_runs_are_not(tmp_path):
    save(tmp_path / "far" / "b.png")
    save(tmp_path / "set" / "a.png")
    (tmp_path / "set" / "sub").symlink_to(tmp_path / "far")
    (tmp_path / "set" / "loop").symlink_to(tmp_path)
    run = tmp_path / "set" / "runs" / "x"
    save(run / "evaluation" / "1.png")
    (run / "checkpoints").mkdir()
    (run / "config.json").write_text("{}")
    said = []
    images = read_images(f"folder:{tmp_path}/set", say=said.append)
    assert [Path(image.name).name for image in images] == ["a.png", "b.png"]
    assert said == [f"{tmp_path}/set: passed over: 1 (of runs)"]


def test_what_is_converted_is_said_once_a_kind(tmp_path):
    pixels = np.full((16, 16, 3), (200, 40, 90), np.uint8)
    for i in range(3):
        Pillow.fromarray(pixels).convert("CMYK").save(tmp_path / f"{i}.jpg")
    one_bit = Pillow.fromarray(pixels[..., 0] > 9)
    one_bit.save(tmp_path / "z.tif", save_all=True, append_images=[one_bit])
    (tmp_path / "a.heic").touch()
    said = []
    assert len(read_images(f"folder:{tmp_path}", say=said.append)) == 4
    assert said == [
        f"{tmp_path}: CMYK without a profile converted to RGB, by rule of thumb "
        "(3 pictures, the first 0.jpg)",
        f"{tmp_path}: the first of 2 pages taken (z.tif)",
        f"{tmp_path}: 1-bit converted to 8-bit grey (z.tif)",
        f"{tmp_path}: passed over: 1 .heic",
    ]


def test_the_limit_of_pixels_is_the_callers(tmp_path):
    save(tmp_path / "a.png", (10, 10))
    with pytest.raises(UserError, match=r"a\.png: .*--config\.data\.max_megapixels"):
        read_images(f"folder:{tmp_path}", 99)
    assert len(read_images(f"folder:{tmp_path}", 100)) == 1


def packed(samples) -> bytes:
    """Pack samples of 12 bits, an even number of them, as TIFF does: no bit between."""
    bits = np.unpackbits(samples.astype(">u2").view(np.uint8).reshape(-1, 2), axis=1)[:, 4:]
    return np.packbits(bits).tobytes()


DEEP = np.random.default_rng(0).integers(0, 65536, (8, 8, 3), np.uint16)
BITS = DEEP[..., :1] >> 4
ODD_TIFFS = {  # and what training sees; None where both refuse
    "planar rgb of 16 bits": (tiff(DEEP, 2, planar=True), np.rint(DEEP / 257)),
    "the same, big-endian": (tiff(DEEP, 2, ">", planar=True), np.rint(DEEP / 257)),
    "white is zero, 16 bits": (tiff(DEEP[..., :1], 0), 255 - np.rint(DEEP[..., 0] / 257)),
    "white is zero, 8 bits": (
        tiff((DEEP[..., :1] >> 8).astype(np.uint8), 0),
        255 - (DEEP[..., 0] >> 8),
    ),
    "12 bits, packed": (
        tiff(
            np.frombuffer(packed(BITS), np.uint8).reshape(8, 12, 1), 1, tags={256: [8], 258: [12]}
        ),
        None,
    ),
    "10 bits of 16": (tiff(DEEP[..., :1], 1, tags={258: [10]}), None),
    "signed bytes": (tiff((DEEP[..., :1] >> 8).astype(np.int8), 1, tags={339: [2]}), None),
    "signed shorts": (tiff(DEEP[..., :1].astype(np.int16), 1, tags={339: [2]}), None),
    "long integers": (tiff(DEEP[..., :1].astype(np.uint32), 1), None),
    "floats to 255": (tiff((DEEP[..., :1] / 257).astype(np.float32), 1), None),
    "doubles": (tiff(DEEP[..., :1] / 65535, 1), None),
}


@pytest.mark.parametrize("kind", ODD_TIFFS)
def test_training_reads_a_tiff_as_restoring_does_or_refuses_as_it_does(tmp_path, kind):
    content, expected = ODD_TIFFS[kind]
    (tmp_path / "a.tif").write_bytes(content)
    try:
        opened = open_picture(tmp_path / "a.tif").pixels
    except UserError as error:
        assert expected is None
        assert refusal(f"folder:{tmp_path}") == str(error)
        assert "; " in str(error)
        return
    (image,) = read_images(f"folder:{tmp_path}")
    white = np.iinfo(opened.dtype).max
    np.testing.assert_array_equal(image.pixels, np.rint(opened * (255 / white)))
    np.testing.assert_array_equal(image.pixels, expected)


def test_too_small_an_image_is_named_with_what_it_is_too_small_for():
    shapes = [(8, 8), (8, 7, 3), (6, 90), (8, 80)]
    images = [Image(f"{shape}.png", np.zeros(shape, np.uint8)) for shape in shapes]
    require_size([images[0], images[3]], 8, "data.patch")
    with pytest.raises(UserError) as error:
        require_size(images, 8, "data.patch")
    for part in ("(8, 7, 3).png", "7 x 8 pixels", "8 x 8", "data.patch", "2 of 4"):
        assert part in str(error.value)


# TFDS: each data set with its features and their channels; `pair` is built like div2k.
TINY = {"pair": {"lr": 3, "hr": 3}, "grey": {"image": 1}, "neither": {"lr": 3, "label": 1}}

READ = """
import json, sys
from nlrn_jax.data.sources import read_images
from nlrn_jax.errors import UserError

def read(source):
    try:
        return [(image.name, str(image.pixels.dtype), image.pixels.tolist())
                for image in read_images(source)]
    except UserError as error:
        return str(error)

print(json.dumps([read(source) for source in sys.argv[1:]] + ["tensorflow" in sys.modules]))
"""


def tiny_pixels(k, feature, channels):
    """Return picture k of a TFDS feature: uint8 [5 + k, 4], or [5 + k, 4, 3]."""
    ramp = np.arange((5 + k) * 4 * channels, dtype=np.uint8).reshape(5 + k, 4, channels)
    return (ramp + ord(feature[0])).squeeze(axis=-1) if channels == 1 else ramp + ord(feature[0])


@pytest.fixture(scope="module")
def read_tfds(tmp_path_factory):
    """Prepare the tiny data sets; return a function that reads sources in a fresh process."""
    import tensorflow_datasets as tfds

    class Tiny(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")
        BUILDER_CONFIGS = tuple(tfds.core.BuilderConfig(name=name) for name in TINY)

        def _info(self):
            features = {
                name: tfds.features.Image(shape=(None, None, channels))
                for name, channels in TINY[self.builder_config.name].items()
            }
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict(features), disable_shuffling=True
            )

        def _split_generators(self, _):
            return {"train": self._generate_examples(3), "validation": self._generate_examples(1)}

        def _generate_examples(self, count):
            for k in range(count):  # an array, TFDS would let TensorFlow encode
                features = TINY[self.builder_config.name].items()
                yield k, {f: Pillow.fromarray(tiny_pixels(k, f, c)) for f, c in features}

    folder = tmp_path_factory.mktemp("tfds")
    for name in TINY:
        Tiny(config=name, data_dir=folder, file_format="array_record").download_and_prepare()

    def read(*names):
        environment = os.environ | {"TFDS_DATA_DIR": str(folder), "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", READ, *names]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=folder)
        assert done.returncode == 0, done.stderr
        *images, tensorflow = json.loads(done.stdout)
        assert not tensorflow, "reading must not import TensorFlow"
        return images

    return read


def test_tfds_is_read_without_tensorflow(read_tfds):
    pair, grey, both = read_tfds(
        "tfds:tiny/pair", "tfds:tiny/grey", "tfds:tiny/pair:validation,tfds:tiny/grey"
    )
    high = [tiny_pixels(k, "hr", 3).tolist() for k in range(3)]
    assert pair == [[f"tfds:tiny/pair[{k}]", "uint8", high[k]] for k in range(3)]
    plain = [tiny_pixels(k, "image", 1).tolist() for k in range(3)]
    assert grey == [[f"tfds:tiny/grey[{k}]", "uint8", plain[k]] for k in range(3)]
    assert both == [pair[0], *grey]


def test_a_tfds_that_cannot_be_read_is_named(read_tfds):
    neither, unprepared, unknown, split = read_tfds(
        "tfds:tiny/neither", "tfds:div2k/bicubic_x4", "tfds:no_such_set", "tfds:tiny/pair:test"
    )
    for part in ("tfds:tiny/neither", "'hr'", "'image'", "['label', 'lr']"):
        assert part in neither
    for message, name in ((unprepared, "div2k/bicubic_x4"), (unknown, "no_such_set")):
        assert f"tfds:{name}" in message and f"tfds build {name}" in message
        assert "pip install tensorflow" in message and "TFDS_DATA_DIR" in message
    assert "tfds:tiny/pair" in split and "'test'" in split
    assert not any("\n" in message for message in (neither, unprepared, unknown, split))


@pytest.mark.parametrize(
    ("shape", "dtype"), [((4, 4, 3), np.uint16), ((4, 4, 4), np.uint8), ((), object)]
)
def test_a_tfds_feature_that_is_no_8_bit_picture_is_named(shape, dtype):
    with pytest.raises(UserError, match=r"^tfds:x: feature 'image' is \w+ \["):
        sources._tfds_pixels("x", {"image": np.zeros(shape, dtype)})
