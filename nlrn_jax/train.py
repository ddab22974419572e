"""The training loop: batches in, figures and checkpoints out; resumes where it was."""

import functools
import time
from pathlib import Path

import grain
import jax
import numpy as np
from ml_collections import ConfigDict

from nlrn_jax import image as im
from nlrn_jax.checkpoints import Checkpoints, claim_workdir
from nlrn_jax.config import build_model
from nlrn_jax.data import batches, measure_speed, network_channels
from nlrn_jax.evaluate import validate
from nlrn_jax.figure import draw_curve, stack
from nlrn_jax.log import Log, read_figures
from nlrn_jax.model import NLRN, count_parameters
from nlrn_jax.optim import learning_rate
from nlrn_jax.sources import Image
from nlrn_jax.state import TrainState, create_state, evaluated_variables, no_sums, train_step
from nlrn_jax.validation import is_due

COMPARED = 8  # held-out images in comparison.png: more than that nobody looks at


class NotFiniteError(ArithmeticError):
    """The loss or a gradient became infinite or NaN; the last good checkpoint is kept."""


def train(
    config: ConfigDict, workdir: str | Path, training: list[Image], held_out: list[Image]
) -> TrainState:
    """Train to `config.train.steps`, from the newest checkpoint of the workdir if there is one.

    Args:
      config: checked configuration.
      workdir: gets `config.json`, `metrics.jsonl`, `tensorboard/`, `checkpoints/`, `curve.png`
        and `comparison.png`.
      training: images to learn from, uint8 as decoded.
      held_out: images to validate on; may be none.

    Returns:
      The final state.

    Raises:
      CheckpointError: the workdir belongs to another configuration.
      NotFiniteError: training diverged.
    """
    claim_workdir(workdir, config)
    state, iterator = create_state(config), batches(_as_seen(training, config), config)
    with Checkpoints(workdir, config.checkpoint.keep) as checkpoints:
        first = checkpoints.newest or 0
        if first:
            state = checkpoints.restore_state(first, state)
            iterator = checkpoints.restore_data(first, iterator)
        with Log(workdir, first, max(first, config.train.steps)) as log:
            log.say(_greeting(workdir, config, state, len(training), len(held_out)))
            if first < config.train.steps:
                log.say(f"the loader gives {measure_speed(iterator):,.0f} patches/s")
                state = _loop(config, state, iterator, held_out, checkpoints, log)
    return state


def _loop(
    config: ConfigDict,
    state: TrainState,
    iterator: grain.DatasetIterator,
    held_out: list[Image],
    checkpoints: Checkpoints,
    log: Log,
) -> TrainState:
    model, first, last = build_model(config), int(state.step) + 1, config.train.steps
    advance = _compile(model, config, state, log)
    meter = _Meter(config.train.batch)
    previous = None
    for step in range(first, last + 1):
        batch = meter.draw(iterator)
        state, loss = advance(state, batch)
        if previous is not None:  # fetched while this step runs
            log.progress(step - 1, float(previous))
        previous = loss
        figures = {}
        saves = step % config.checkpoint.every == 0 or step == last
        if step % config.log.every == 0 or step == last:
            _require_finite(state, step, checkpoints)
            figures = _figures(state, config) | meter.figures()
            state = state.replace(sums=no_sums())
        if saves:
            _require_finite(state, step, checkpoints)
            validated = _validate(model, state, config, held_out, step, log)
            figures |= validated
        if figures:
            log.write(step, figures)  # before the checkpoint: a resumed run keeps these lines
        if saves:
            checkpoints.save(state, iterator, config, validated.get("validation_psnr"))
            draw_curve(log.folder / "curve.png", read_figures(log.folder))
            meter.restart()
    log.progress(last, float(loss))
    return state


def _compile(model: NLRN, config: ConfigDict, state: TrainState, log: Log) -> jax.stages.Compiled:
    side = config.data.patch
    shape = (config.train.batch, side, side, config.model.channels)
    patch = jax.ShapeDtypeStruct(shape, np.float32)
    step = jax.jit(functools.partial(train_step, model, config.train), donate_argnums=0)
    log.say("compiling the step ...")
    begin = time.perf_counter()
    compiled = step.lower(state, {"input": patch, "target": patch}).compile()
    log.say(f"compiled in {time.perf_counter() - begin:.1f} s")
    return compiled


class _Meter:
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


def _figures(state: TrainState, config: ConfigDict) -> dict[str, float]:
    """Return the means since the last line: loss in grey levels squared, its PSNR in dB, ..."""
    sums = jax.device_get(state.sums)
    loss = float(sums["loss"] / sums["steps"])
    return {
        "loss": loss,
        "psnr": float(10 * np.log10(255**2 / max(loss, 1e-12))),
        "grad_norm": float(sums["grad_norm"] / sums["steps"]),
        # of the last step done: the schedule counts from 0
        "learning_rate": float(learning_rate(config.train)(int(state.step) - 1)),
    }


def _require_finite(state: TrainState, step: int, checkpoints: Checkpoints) -> None:
    sums = jax.device_get(state.sums)
    if all(np.isfinite(value) for value in sums.values()):
        return
    kept = checkpoints.newest
    raise NotFiniteError(
        f"the loss or its gradient is not finite at step {step}; "
        + (
            f"the checkpoint of step {kept} is the last good one. "
            if kept
            else "nothing is saved. "
        )
        + "Lower train.learning_rate, or name another --workdir and another seed"
    )


def _validate(model, state, config, held_out, step, log) -> dict[str, float]:
    if not is_due(config, held_out, step):
        return {}
    means, pictures = validate(model, evaluated_variables(state), config, held_out)
    for image, picture in zip(held_out, pictures, strict=True):
        log.image(step, f"validation/{Path(image.name).name}", picture)
    im.write(log.folder / "comparison.png", stack(pictures[:COMPARED]))
    psnr, baseline = means["network_psnr"], means["baseline_psnr"]
    log.say(f"step {step}: validation {psnr:.2f} dB, {psnr - baseline:+.2f} over its input")
    return {"validation_psnr": psnr, "validation_baseline": baseline}


def _as_seen(images: list[Image], config: ConfigDict) -> list[Image]:
    channels = config.model.channels
    return [Image(name, network_channels(pixels, config.task, channels)) for name, pixels in images]


def _greeting(workdir, config, state, training: int, held_out: int) -> str:
    parameters = count_parameters(state.variables["params"])
    step, last = int(state.step), config.train.steps
    status = "starts" if not step else f"resumes at step {step}"
    if step >= last:
        status = f"is finished at step {step}; --config.train.steps={2 * step} would go on"
    return (
        f"{workdir} {status}: {parameters:,} parameters, {training} images to train on, "
        f"{held_out} held out, {last} steps of {config.train.batch} patches "
        f"{config.data.patch} x {config.data.patch}, {jax.device_count()} {jax.default_backend()} "
        "device(s)"
    )
