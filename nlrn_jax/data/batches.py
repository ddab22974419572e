"""Training batches: images kept as uint8, cropped, turned and degraded on the fly by Grain.

Batch k of a run depends on the seed and k only, so that a resumed run sees what an uninterrupted
one would have seen, and any number of processes sees together what one would have seen: each makes
its own rows of every batch. The step is all the state that there is.
"""

import dataclasses
import multiprocessing.connection
import multiprocessing.resource_tracker
import os
import signal
import sys
import threading
import time

import grain
import numpy as np
from ml_collections import ConfigDict

from nlrn_jax.data.camera import BLOCK, Camera
from nlrn_jax.data.degrade import sr_patch
from nlrn_jax.data.pixels import crop_to_multiple, dihedral, to_float
from nlrn_jax.data.sources import Image

SIGNALS = (signal.SIGINT, signal.SIGTERM)
Pair = tuple[np.ndarray, np.ndarray]  # input and target


@dataclasses.dataclass(frozen=True)
class Patch(grain.transforms.RandomMap):
    """Cut, turn and degrade a random patch of an image.

    Attributes:
      task: 'denoise' or 'sr'.
      camera: degrades what is denoised.
      scales: factors of super-resolution, drawn with equal chances.
      size: side of the patch, in pixels of the original.
    """

    task: str
    camera: Camera
    scales: tuple[int, ...]
    size: int

    def random_map(self, element: Image, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Return input and target, float32 [size, size, C], white at 1; noise is not clipped."""
        cut = self._low_resolution if self.task == "sr" else self._taken
        view = rng.integers(8)
        pair = zip(("input", "target"), cut(element.pixels, rng), strict=True)
        return {name: _with_channels(dihedral(patch, view)) for name, patch in pair}

    def _taken(self, pixels: np.ndarray, rng: np.random.Generator) -> Pair:
        top, left = self._corner(pixels, rng)
        rows, columns = (self._span(start, rng) for start in (top, left))
        original = to_float(pixels[rows, columns])
        y, x = top - rows.start, left - columns.start
        patch = slice(y, y + self.size), slice(x, x + self.size)
        return self.camera.take(original, rng)[patch], original[patch]

    def _span(self, start: int, rng: np.random.Generator) -> slice:
        """Return where the blocks of JPEG lie that a patch is in, their phase drawn evenly.

        As in a whole picture they are whole, but where the image ends; it may be no larger than
        the patch.
        """
        if not self.camera.jpeg:
            return slice(start, start + self.size)
        first = max(0, start - rng.integers(BLOCK))
        blocks = -(-(start + self.size - first) // BLOCK)
        return slice(first, first + blocks * BLOCK)

    def _low_resolution(self, pixels: np.ndarray, rng: np.random.Generator) -> Pair:
        scale = int(rng.choice(self.scales))
        pixels = crop_to_multiple(pixels, scale)
        return sr_patch(pixels, *self._corner(pixels, rng), self.size, scale)

    def _corner(self, pixels: np.ndarray, rng: np.random.Generator) -> tuple[int, int]:
        height, width = pixels.shape[:2]
        return rng.integers(height - self.size + 1), rng.integers(width - self.size + 1)


def batches(
    images: list[Image], config: ConfigDict, first: int = 0, process: int = 0, processes: int = 1
) -> grain.DatasetIterator:
    """Make the endless iterator of training batches {'input', 'target'}: [N, H, W, C].

    Args:
      images: uint8, in the network's channels (`pixels.network_channels`).
      config: the whole configuration; `data`, `degrade`, `task`, `seed` and `train.batch` count.
      first: number of the first batch: of the steps done before.
      process, processes: each process gets N = train.batch / processes rows of every batch.
    """
    given = config.degrade
    camera = Camera(given.poisson, given.sigma, given.jpeg, given.chances)
    patch = Patch(config.task, camera, given.scales, config.data.patch)
    # Without end there is no remainder to drop, but Grain would overflow counting batches of one.
    dataset = (
        grain.MapDataset.source(images)
        .seed(config.seed)
        .shuffle()
        .repeat()
        .random_map(patch)
        .batch(config.train.batch // processes, drop_remainder=True)
    )
    # A patch depends on its number, so what others make is passed over without being made.
    dataset = dataset[first * processes + process :: processes]
    # A batch is small and its making cheap: a deep prefetch would only hold memory.
    dataset = dataset.to_iter_dataset(grain.ReadOptions(num_threads=2, prefetch_buffer_size=4))
    if not config.data.workers:
        return iter(dataset)
    options = grain.MultiprocessingOptions(config.data.workers)
    return _start_workers(dataset.mp_prefetch(options, worker_init_fn=_end_with_parent))


def measure_speed(iterator: grain.DatasetIterator, count: int = 20) -> float:
    """Return the patches a second that an iterator gives, leaving it where it was."""
    state = iterator.get_state()
    first = next(iterator)["input"]  # starts threads and fills the prefetch buffer
    start = time.perf_counter()
    for _ in range(count):
        next(iterator)
    elapsed = time.perf_counter() - start
    iterator.set_state(state)
    return count * len(first) / elapsed


def _start_workers(dataset: grain.IterDataset) -> grain.DatasetIterator:
    """Start processes that signals do not reach, though those of a terminal are for a whole group.

    Training still wants its last batch. They inherit what this thread blocks, from their first
    moment on; the signals reach this process by another thread of it.
    """
    # Of what is left when all ends in haste it warns, and then cleans it up itself.
    sys.warnoptions.append("ignore:resource_tracker:UserWarning")
    multiprocessing.resource_tracker.ensure_running()  # it unblocks signals, the first time
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        iterator = iter(dataset)
        state = iterator.get_state()
        next(iterator)  # the processes start with the first batch
        iterator.set_state(state)
        return iterator
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def _end_with_parent(*_) -> None:
    """End this process as soon as the one that wants its batches is gone, and not by signals."""
    for kind in SIGNALS:
        signal.signal(kind, signal.SIG_IGN)
    parent = multiprocessing.parent_process().sentinel

    def watch() -> None:
        multiprocessing.connection.wait([parent])
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()


def _with_channels(patch: np.ndarray) -> np.ndarray:
    return patch if patch.ndim == 3 else patch[..., None]
