"""What a line of figures says: how fast the steps were, and what they came to on average."""

import time

import grain
import jax
import numpy as np
from ml_collections import ConfigDict

from nlrn_jax.training.optim import learning_rate
from nlrn_jax.training.state import TrainState


class Meter:
    """Measures steps a second, and the share of the time that they waited for the loader.

    Validation and saving do not count.
    """

    def __init__(self, batch: int):
        self._batch = batch
        self._seconds = self._waited = 0.0
        self._steps = 0
        self.restart()

    def restart(self) -> None:
        """Let the time since the last step pass uncounted."""
        self._mark = time.perf_counter()

    def draw(self, iterator: grain.DatasetIterator) -> dict[str, np.ndarray]:
        """Return the next batch and count the time since the last one as a step."""
        begin = time.perf_counter()
        batch = next(iterator)
        end = time.perf_counter()
        self._waited += end - begin
        self._seconds += end - self._mark
        self._steps += 1
        self._mark = end
        return batch

    def figures(self) -> dict[str, float]:
        """Return the figures since the last call."""
        seconds = max(self._seconds, 1e-9)
        figures = {
            "steps_per_second": self._steps / seconds,
            "patches_per_second": self._steps * self._batch / seconds,
            "loader_wait": self._waited / seconds,
        }
        self._seconds = self._waited = 0.0
        self._steps = 0
        return figures


def means(state: TrainState, config: ConfigDict) -> dict[str, float]:
    """Return the means since the last line: loss in grey levels squared, its PSNR in dB, ...

    The baseline is the PSNR of the same patches before restoration.
    """
    sums = jax.device_get(state.sums)
    loss, before = (float(sums[name] / sums["steps"]) for name in ("loss", "baseline"))
    return {
        "loss": loss,
        "psnr": _psnr(loss),
        "baseline": _psnr(before),
        "grad_norm": float(sums["grad_norm"] / sums["steps"]),
        # of the last step done: the schedule counts from 0
        "learning_rate": float(learning_rate(config.train)(int(state.step) - 1)),
    }


def _psnr(loss: float) -> float:
    return float(10 * np.log10(255**2 / np.maximum(loss, 1e-12)))
