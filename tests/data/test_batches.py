"""Training batches: repeatable, resumable, and cut out of the images they come from."""

import itertools
import multiprocessing
import os
import signal
import subprocess
import sys
from collections import Counter

import numpy as np
import psutil
import pytest
from absl import flags
from drawn import FEW

from nlrn_jax.data.batches import Patch, batches, measure_speed
from nlrn_jax.data.camera import Camera, as_jpeg
from nlrn_jax.data.degrade import degrade_sr
from nlrn_jax.data.pixels import to_float
from nlrn_jax.data.sources import Image

PHOTO = {
    "poisson": (0.0, 40.0),
    "sigma": (0.0, 20.0),
    "jpeg": (40, 100),
    "chances": (0.9, 0.5, 0.7),
}
ALWAYS = (1.0, 1.0, 1.0)


@pytest.fixture
def config(tiny_config):
    """Batches of 4 patches of 7 x 7; `data`, `degrade`, `task` and `seed` are what counts here."""
    tiny_config.data.patch = 7
    tiny_config.train.batch = 4
    return tiny_config


def pictures(*shapes):
    """Return random uint8 images, in which no patch occurs twice."""
    rng = np.random.default_rng(0)
    return [
        Image(f"{i}.png", rng.integers(0, 256, shape, dtype=np.uint8))
        for i, shape in enumerate(shapes)
    ]


def take(iterator, count):
    """Return the next batches as one: {'input', 'target'}, [count N, P, P, C]."""
    drawn = list(itertools.islice(iterator, count))
    return {name: np.concatenate([batch[name] for batch in drawn]) for name in drawn[0]}


def assert_equal(a, b):
    assert a.keys() == b.keys() == {"input", "target"}
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])


def views(patch):
    """Return the eight dihedral views of [P, P, ...]."""
    mirrored = np.swapaxes(patch, 0, 1)
    return [np.rot90(p, k) for p in (patch, mirrored) for k in range(4)]


def index(images, size):
    """List all there is to cut: the bytes of each patch -> (image, top, left, view)."""
    return {
        view.tobytes(): (i, top, left, v)
        for i, (_, pixels) in enumerate(images)
        for top in range(pixels.shape[0] - size + 1)
        for left in range(pixels.shape[1] - size + 1)
        for v, view in enumerate(views(pixels[top : top + size, left : left + size]))
    }


def find(patches, images):
    """Return (image, top, left, view) of each float patch in [N, P, P, C]."""
    levels = np.rint(patches * 255)
    np.testing.assert_allclose(patches * 255, levels, atol=1e-4)
    known = index(images, patches.shape[1])
    return [known[patch.tobytes()] for patch in levels.astype(np.uint8)]


def test_batches_depend_on_the_seed_and_their_number_only(config):
    images = pictures((12, 9), (8, 15), (7, 7))
    first = take(batches(images, config), 5)
    assert_equal(take(batches(images, config), 5), first)
    config.seed = 1
    other = take(batches(images, config), 5)
    assert not np.array_equal(other["target"], first["target"])
    assert not np.array_equal(other["input"], first["input"])


def test_no_batch_is_the_one_before(config):
    drawn = take(batches(pictures((20, 20)), config), 25)
    patches = {patch.tobytes() for patch in drawn["input"]}
    assert len(patches) == 100


def test_a_batch_may_be_one_patch(config):
    images = pictures((12, 9), (8, 15))
    four = take(batches(images, config), 2)
    config.train.batch = 1
    assert_equal(take(batches(images, config), 8), four)


@pytest.mark.parametrize("camera", [{}, PHOTO], ids=["noise", "photo"])
@pytest.mark.parametrize("first", [1, 3, 50])
def test_the_stream_goes_on_at_any_batch(config, first, camera):
    config.degrade.update(camera)
    images = pictures((12, 9), (8, 15), (7, 7))
    whole = take(batches(images, config), first + 2)
    rest = take(batches(images, config, first), 2)
    assert_equal(rest, {name: patches[first * 4 :] for name, patches in whole.items()})


@pytest.mark.parametrize("camera", [{}, PHOTO], ids=["noise", "photo"])
@pytest.mark.parametrize("processes", [1, 2, 4])
def test_processes_share_the_batches_of_one(config, processes, camera):
    """Put together in the order of the processes, batch by batch, from the start and later."""
    config.degrade.update(camera)
    images = pictures((12, 9), (8, 15), (7, 7))
    for first in (0, 2):
        streams = [batches(images, config, first, p, processes) for p in range(processes)]
        shares = [take(stream, 1) for _ in range(3) for stream in streams]
        together = {name: np.concatenate([s[name] for s in shares]) for name in shares[0]}
        assert_equal(together, take(batches(images, config, first), 3))


@pytest.fixture
def parsed_flags():
    """Parse no flags: Grain hands its own to its processes, and asks for them to be parsed."""
    parsed = flags.FLAGS.is_parsed()
    flags.FLAGS.mark_as_parsed()
    yield
    if not parsed:
        flags.FLAGS.unparse_flags()


@pytest.mark.usefixtures("parsed_flags")
@pytest.mark.parametrize("camera", [{}, PHOTO], ids=["noise", "photo"])
def test_worker_processes_give_the_same_batches_and_resume_too(config, camera):
    config.degrade.update(camera)
    images = pictures((12, 9), (8, 15), (7, 7))
    expected = take(batches(images, config), 5)
    config.data.workers = 1
    iterator = batches(images, config)
    (worker,) = multiprocessing.active_children()
    for kind in (signal.SIGINT, signal.SIGTERM):  # as a terminal sends them, to the whole group
        os.kill(worker.pid, kind)
    assert_equal(take(iterator, 5), expected)
    assert worker.is_alive()
    rest = take(batches(images, config, first=2), 3)
    assert_equal(rest, {name: patches[2 * 4 :] for name, patches in expected.items()})
    shares = [take(batches(images, config, 0, p, 2), 1) for p in range(2)]
    assert_equal(
        {name: np.concatenate([share[name] for share in shares]) for name in expected},
        {name: patches[:4] for name, patches in expected.items()},
    )


def test_no_worker_outlives_a_parent_that_is_killed():
    """With Python alone in the worker: of a run's it would take seconds until they are there."""
    script = (
        "import multiprocessing, sys, time\n"
        "from nlrn_jax.data import batches\n"
        "def work():\n"
        "    batches._end_with_parent()\n"
        "    time.sleep(60)\n"
        "worker = multiprocessing.get_context('fork').Process(target=work)\n"
        "worker.start()\n"
        "print(worker.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    worker = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.wait()
    _, alive = psutil.wait_procs([worker], timeout=10)
    assert not alive


def test_measuring_the_speed_leaves_the_iterator_where_it_was(config):
    images = pictures((12, 9), (8, 15))
    expected = take(batches(images, config), 4)
    iterator = batches(images, config)
    assert measure_speed(iterator, count=3) > 0
    assert_equal(take(iterator, 2), {name: p[:8] for name, p in expected.items()})
    assert measure_speed(iterator, count=3) > 0
    assert_equal(take(iterator, 2), {name: p[8:] for name, p in expected.items()})


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("task", ["denoise", "sr"])
@pytest.mark.parametrize("size", [1, 6, 7])
def test_patches_are_square_float32_with_a_channel_axis(config, task, channels, size):
    config.task, config.data.patch = task, size
    shape = (11, 14) if channels == 1 else (11, 14, 3)
    drawn = take(batches(pictures(shape, shape), config), 2)
    for patches in drawn.values():
        assert patches.shape == (8, size, size, channels)
        assert patches.dtype == np.float32
    assert 0 <= drawn["target"].min() <= drawn["target"].max() <= 1


@pytest.mark.parametrize("channels", [1, 3])
def test_every_view_of_every_place_of_every_image_is_cut(config, channels):
    """With next to no noise the input is the target, and the target is in an image, turned."""
    config.degrade.sigma = (1e-4,)
    shapes = [(7, 8), (9, 7), (7, 7)]
    images = pictures(*(shape if channels == 1 else (*shape, 3) for shape in shapes))
    drawn = take(batches(images, config), 150)
    np.testing.assert_allclose(drawn["input"], drawn["target"], atol=3e-6)
    found = find(drawn["target"], images)
    assert set(found) == set(index(images, 7).values())
    seen = Counter(image for image, *_ in found)
    assert seen == {0: 200, 1: 200, 2: 200}, "every image equally often"
    turned = Counter(view for *_, view in found)
    # 600 draws, chance 1/8 each: 75, standard deviation 8.1
    assert all(abs(turned[view] - 75) < 4 * 8.1 for view in range(8))


@pytest.mark.parametrize("sigma", [15.0, 50.0])
def test_noise_has_the_standard_deviation_asked_for_and_is_not_clipped(config, sigma):
    config.degrade.sigma = (sigma,)
    config.data.patch = 24
    black_and_white = [Image(str(v), np.full((30, 30), v, np.uint8)) for v in (0, 255)]
    drawn = take(batches(black_and_white, config), 40)
    noise = 255 * (drawn["input"].astype(np.float64) - drawn["target"])
    deviation_of_std = sigma / np.sqrt(2 * noise.size)
    assert abs(noise.std() - sigma) < 4 * deviation_of_std
    assert abs(noise.mean()) < 4 * sigma / np.sqrt(noise.size)
    # a clip would cut half of the noise off, on black as on white
    for value in (0, 1):
        below = (noise[drawn["target"] == value] < 0).mean()
        assert abs(below - 0.5) < 4 * 0.5 / np.sqrt(noise.size / 2)
    # of a normal variable, 31.73 % lies beyond one standard deviation
    assert abs((np.abs(noise) > sigma).mean() - 0.3173) < 4 * 0.4654 / np.sqrt(noise.size)


def test_noise_is_not_rounded_to_grey_levels(config):
    drawn = take(batches(pictures((7, 7)), config), 3)
    levels = 255 * drawn["input"]
    assert (np.abs(levels - np.rint(levels)) > 1e-3).mean() > 0.95


def test_noise_levels_span_their_range_evenly(config):
    config.degrade.sigma = (5.0, 55.0)
    config.data.patch = 24
    drawn = take(batches([Image("", np.full((24, 24), 128, np.uint8))], config), 100)
    levels = 255 * (drawn["input"] - drawn["target"]).std(axis=(1, 2, 3))
    error = 4 * 55 / np.sqrt(2 * 24**2)
    assert 5 - error < levels.min() < 10 and 50 < levels.max() < 55 + error
    counts, _ = np.histogram(levels, bins=5, range=(5, 55))
    # 400 draws, chance 1/5 each: 80, standard deviation 8
    assert all(abs(count - 80) < 4 * 8 for count in counts)


@pytest.mark.parametrize("sigma", [(25.0,), (0.0, 55.0)])
@pytest.mark.parametrize("channels", [(), (3,)], ids=["grey", "colour"])
def test_gaussian_noise_alone_is_drawn_as_it_was_before_there_were_cameras(sigma, channels):
    """View, corner, level and noise, one by one: runs go on with the patches they began with."""
    (image,) = pictures((20, 31, *channels))
    patch = Patch("denoise", Camera((), sigma, (), ALWAYS), (3,), 7)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        view, top, left = (rng.integers(choices) for choices in (8, 20 - 7 + 1, 31 - 7 + 1))
        target = image.pixels[top : top + 7, left : left + 7].astype(np.float32) / np.float32(255)
        level = np.float32(rng.uniform(sigma[0], sigma[-1]) / 255)
        noisy = target + level * rng.standard_normal(target.shape, dtype=np.float32)
        turned = [np.rot90(p, view % 4)[:: -1 if view >= 4 else 1] for p in (noisy, target)]
        found = patch.random_map(image, np.random.default_rng(seed))
        for name, expected in zip(("input", "target"), turned, strict=True):
            np.testing.assert_array_equal(found[name], expected.reshape(7, 7, -1))


def test_gaussian_noise_happens_by_its_chance(config):
    config.degrade.chances = (1.0, 0.3, 1.0)
    drawn = take(batches(pictures((12, 12)), config), 100)
    clean = (drawn["input"] == drawn["target"]).all(axis=(1, 2, 3))
    # 400 draws of a chance of 0.7: 280, standard deviation 9.2
    assert abs(clean.sum() - 280) < 4 * 9.2


def phases_of(drawn, images):
    """Return place and phases of each grey patch: where the blocks begin that lie so in it."""
    found = find(drawn["target"], images)
    seen = []
    for compressed, (i, top, left, view) in zip(drawn["input"], found, strict=True):
        pixels = to_float(images[i].pixels)
        fitting = [
            (y, x) for y in range(min(8, top + 1)) for x in range(min(8, left + 1))
            if is_cut_from_jpeg(pixels[top - y :, left - x :], compressed, y, x, view)
        ]  # fmt: skip
        assert len(fitting) == 1
        seen.append((top, left, *fitting[0]))
    return np.array(seen)


def is_cut_from_jpeg(pixels, compressed, y, x, view):
    """Say whether a patch lies y, x in a picture that is cut to whole blocks where it can be."""
    size = len(compressed)
    crop = as_jpeg(pixels[: -(-(y + size) // 8) * 8, : -(-(x + size) // 8) * 8], 30)
    crop = crop[y : y + size, x : x + size, None]
    return np.allclose(views(crop)[view], compressed, atol=FEW)


def test_the_blocks_of_jpeg_lie_at_every_phase_and_are_those_of_a_whole_picture(config):
    config.degrade.update(sigma=(0.0,), jpeg=(30,))
    images = pictures((48, 48))
    seen = phases_of(take(batches(images, config), 80), images)
    inner = seen[(seen[:, :2] >= 16).all(axis=1)]
    assert len(inner) > 80
    for axis in (2, 3):
        counts = np.bincount(inner[:, axis], minlength=8)
        deviation = np.sqrt(len(inner) * 7 / 64)
        assert (abs(counts - len(inner) / 8) < 4 * deviation).all()
    assert abs(np.corrcoef(inner[:, 2], inner[:, 3])[0, 1]) < 4 / np.sqrt(len(inner))


def test_patches_of_jpeg_are_cut_from_every_place(config):
    config.degrade.update(sigma=(0.0,), jpeg=(30,))
    images = pictures((9, 10), (7, 7))
    seen = find(take(batches(images, config), 60)["target"], images)
    assert {place[:3] for place in seen} == {place[:3] for place in index(images, 7).values()}


@pytest.mark.parametrize("shape", [(7, 7), (7, 7, 3)])
def test_a_picture_no_larger_than_the_patch_is_compressed_whole(config, shape):
    config.degrade.update(sigma=(0.0,), jpeg=(50,))
    (image,) = pictures(shape)
    expected = views(as_jpeg(to_float(image.pixels), 50).reshape(7, 7, -1))
    for patch in take(batches([image], config), 5)["input"]:
        assert any(np.array_equal(view, patch) for view in expected)


@pytest.mark.parametrize(
    "size, shape",
    [
        (1, (1, 1)),
        (1, (1, 9, 3)),
        (16, (16, 16)),
        (13, (16, 16, 3)),
        (24, (31, 77)),
        (24, (25, 90, 3)),
    ],
)
def test_photographs_of_any_size_give_patches(config, size, shape):
    config.degrade.update(PHOTO)
    config.data.patch = size
    drawn = take(batches(pictures(shape), config), 12)
    for patches in drawn.values():
        assert patches.shape == (48, size, size, 3 if len(shape) == 3 else 1)
        assert patches.dtype == np.float32 and np.isfinite(patches).all()
    assert_equal(take(batches(pictures(shape), config), 12), drawn)


def test_a_photograph_is_in_bytes(config):
    config.degrade.update(PHOTO)
    drawn = take(batches(pictures((64, 64, 3)), config), 20)["input"]
    np.testing.assert_allclose(255 * drawn, np.rint(255 * drawn), atol=1e-3)


def scales_of(drawn, images, scales):
    """Return for each pair the scales at which it is cut out of the whole image, degraded."""
    found = find(drawn["target"], images)
    return [
        [scale for scale in scales if is_cut_from(images[i].pixels, blurred, *place, scale)]
        for blurred, (i, *place) in zip(drawn["input"], found, strict=True)
    ]


def is_cut_from(pixels, blurred, top, left, view, scale):
    height, width = (side // scale * scale for side in pixels.shape[:2])
    whole = degrade_sr(pixels[:height, :width], scale)[1].reshape(height, width, -1)
    crop = whole[top : top + len(blurred), left : left + len(blurred)]
    return crop.shape == blurred.shape and np.allclose(views(crop)[view], blurred, atol=FEW)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("scales", [(2,), (3,), (4,), (2, 3, 4)])
def test_low_resolution_is_that_of_the_whole_image_at_that_place(config, scales, channels):
    config.task, config.degrade.scales = "sr", scales
    shapes = [(29, 35), (13, 17)]
    images = pictures(*(shape if channels == 1 else (*shape, 3) for shape in shapes))
    found = scales_of(take(batches(images, config), 8), images, (2, 3, 4))
    assert all(len(scale) == 1 for scale in found)
    assert {scale for (scale,) in found} == set(scales)


def test_mixed_scales_have_equal_chances(config):
    config.task, config.degrade.scales = "sr", (2, 3, 4)
    images = pictures((12, 12))
    found = scales_of(take(batches(images, config), 60), images, (2, 3, 4))
    counts = Counter(scale for (scale,) in found)
    # 240 draws, chance 1/3 each: 80, standard deviation 7.3
    assert all(abs(counts[scale] - 80) < 4 * 7.3 for scale in (2, 3, 4))
