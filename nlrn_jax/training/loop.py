"""The training loop: batches in, figures and checkpoints out; resumes where it was.

The same on one device and on many, in one process and in several: all run this loop in step, each
with its rows of every batch; the first one alone shows and writes figures.
"""

import contextlib
import functools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import grain
import jax
import numpy as np
from jax.sharding import Sharding
from ml_collections import ConfigDict

from nlrn_jax.data.batches import batches, measure_speed
from nlrn_jax.data.pixels import network_channels
from nlrn_jax.data.sources import Image
from nlrn_jax.errors import NotFiniteError
from nlrn_jax.network.build import count_parameters
from nlrn_jax.network.mesh import (
    data_mesh,
    on_first_device,
    replicated,
    require_divisible,
    share_out,
)
from nlrn_jax.pictures.files import write_pixels
from nlrn_jax.pictures.panels import stack
from nlrn_jax.terminal import working
from nlrn_jax.training.checkpoints import Checkpoints
from nlrn_jax.training.curves import draw_curve
from nlrn_jax.training.interruption import Interrupted, Interruption, tell
from nlrn_jax.training.log import Log, Silent
from nlrn_jax.training.memory import require_memory
from nlrn_jax.training.meter import Meter, means
from nlrn_jax.training.record import read_record
from nlrn_jax.training.run import claim_workdir, held
from nlrn_jax.training.split import record_split
from nlrn_jax.training.state import (
    TrainState,
    create_state,
    evaluated_variables,
    freezes_at,
    no_sums,
    state_shapes,
    trace_step,
)

COMPARED = 8  # held-out images in comparison.png: more than that nobody looks at


class Validator(Protocol):
    """Who scores the network while it trains, such as `scoring.validation.Validator`."""

    images: list[Image]

    def due(self, step: int) -> bool:
        """Say whether the checkpoint of a step is validated."""

    def score(
        self, variables: dict, advance: Callable[[float], None]
    ) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        """Score {'params', 'batch_stats'}: figures by name, uint8 pictures by image.

        Of the figures 'validation_psnr' and 'validation_baseline' are shown, dB. `advance` is
        called with the fraction done since the last call.
        """


def train(
    config: ConfigDict,
    workdir: str | Path,
    images: list[Image],
    validator: Validator,
    start: dict | None = None,
) -> TrainState:
    """Train to `config.train.steps`, from the newest checkpoint of the workdir if there is one.

    Args:
      config: checked configuration.
      workdir: gets `config.json`, `data.json`, `metrics.jsonl`, `tensorboard/`, `checkpoints/`,
        `curve.png` and `comparison.png`.
      images: to learn from, uint8 as decoded.
      validator: scores the network at the checkpoints where that is due.
      start: the variables of step 0; None are fresh ones.

    Returns:
      The final state.

    Raises:
      UserError: the workdir belongs to another configuration or to other images, cannot be written
        to, or is trained in by another program; the batch does not divide among the devices, or a
        step surely does not fit their memory.
      NotFiniteError: training diverged.
      Interrupted: SIGTERM or SIGINT came, and all was saved.
    """
    require_divisible(config.train.batch, config.train.accumulate, jax.device_count())
    require_memory(config)
    with contextlib.nullcontext() if jax.process_index() else held(workdir):
        claim_workdir(workdir, config)
        record_split(workdir, images, validator.images)
        return _train(config, workdir, images, validator, start)


def _train(
    config: ConfigDict,
    workdir: str | Path,
    images: list[Image],
    validator: Validator,
    start: dict | None,
) -> TrainState:
    place = replicated(data_mesh())
    with Checkpoints(workdir, config.checkpoint.keep) as checkpoints:
        with _preparing(workdir):
            state, damage = _newest(checkpoints, config, place, start)
        first = int(state.step)
        with _open_log(workdir, first, max(first, config.train.steps)) as log:
            for line in damage:
                log.say(line)
            log.say(_greeting(workdir, config, state, len(images), len(validator.images)))
            if first < config.train.steps:
                state = _loop(config, state, images, validator, checkpoints, log)
    return state


def _preparing(workdir: str | Path) -> contextlib.AbstractContextManager:
    name = f"preparing {workdir}"
    return contextlib.nullcontext() if jax.process_index() else working(name)


def _newest(
    checkpoints: Checkpoints, config: ConfigDict, place: Sharding, start: dict | None
) -> tuple[TrainState, list[str]]:
    """Return the newest state, of step 0 where nothing is saved; set aside what is damaged.

    Returns:
      The state, and a line for each checkpoint that is damaged.
    """
    if not checkpoints.steps:
        return create_state(config, place, start), []
    steps = checkpoints.steps[::-1]
    read = functools.partial(checkpoints.read_state, like=state_shapes(config, place))
    step, state, damaged = checkpoints.read_whole(steps, read)
    tell(f"interrupted; the same command goes on from step {step}")
    folder = checkpoints.set_aside(list(damaged)) if damaged else None
    return state, [
        f"warning: checkpoint {number} is damaged ({reason}): set aside in {folder}; "
        f"goes on from step {step}"
        for number, reason in damaged.items()
    ]


def _open_log(workdir: str | Path, first: int, last: int) -> Log | Silent:
    return Silent() if jax.process_index() else Log(workdir, first, last)


def _loop(
    config: ConfigDict,
    state: TrainState,
    images: list[Image],
    validator: Validator,
    checkpoints: Checkpoints,
    log: Log | Silent,
) -> TrainState:
    done, last, mesh = int(state.step), config.train.steps, data_mesh()
    empty = jax.jit(no_sums, out_shardings=replicated(mesh))
    freezing = freezes_at(config.train)
    advance = _compile(config, mesh, state, log, frozen=done >= freezing)
    # the processes of the loader are started by one that ends only after them
    with Interruption() as interruption, _loader(images, config, done, log) as iterator:
        meter, previous = Meter(config.train.batch), None
        for step in range(done + 1, last + 1):
            if step == freezing + 1 > done + 1:
                advance = _compile(config, mesh, state, log, frozen=True)
                meter.restart()
            batch = share_out(mesh, meter.draw(iterator))
            state, loss = advance(state, batch)
            if previous is not None:  # fetched while this step runs
                log.progress(step - 1, float(previous))
            previous = loss
            figures, validated = {}, {}
            stops = interruption.stops(step)
            saves = step % config.checkpoint.every == 0 or step == last
            reports = step % config.log.every == 0 or step == last
            if saves or reports or stops:
                _require_finite(state, step, checkpoints)
            if reports:
                figures = means(state, config) | meter.figures()
                state = state.replace(sums=empty())
            if saves:
                validated = _validate(state, validator, step, config.checkpoint.crop, log)
                figures |= validated
            if figures:
                log.write(step, figures)  # before the checkpoint: a resumed run keeps these lines
            if saves and log.folder:  # that of the first process
                draw_curve(log.folder / "curve.png", read_record(log.folder))
            if saves or stops:
                with log.work(f"saving step {step}"):
                    checkpoints.save(state, config, validated.get("validation_psnr"))
                meter.restart()
            if step == last or stops or (saves and interruption.told):
                with log.work(f"saving step {step}"):
                    checkpoints.wait()
                tell(f"interrupted; step {step} is saved, the same command goes on from there")
            if stops or (saves and interruption.told):
                raise Interrupted(step, interruption.status)
    if interruption.told:  # while the last save was waited for
        raise Interrupted(last, interruption.status)
    log.progress(last, float(loss))
    return state


@contextlib.contextmanager
def _loader(
    images: list[Image], config: ConfigDict, done: int, log: Log | Silent
) -> Iterator[grain.DatasetIterator]:
    """Give the batches after step `done`; what makes them ends with it."""
    seen, processes = _as_seen(images, config), jax.process_count()
    with contextlib.closing(
        batches(seen, config, done, jax.process_index(), processes)
    ) as iterator:
        with log.work("starting the loader"):
            speed = processes * measure_speed(iterator)
        log.say(f"the loader gives {speed:,.0f} patches/s")
        yield iterator


def _compile(
    config: ConfigDict,
    mesh: jax.sharding.Mesh,
    state: TrainState,
    log: Log | Silent,
    frozen: bool,
) -> jax.stages.Compiled:
    log.say("the norms keep their statistics from here on" if frozen else "compiling the step ...")
    begin = time.perf_counter()
    with log.work("compiling the step"):
        compiled = trace_step(config, mesh, state, frozen).lower().compile()
    log.say(f"compiled in {time.perf_counter() - begin:.1f} s")
    return compiled


def _require_finite(state: TrainState, step: int, checkpoints: Checkpoints) -> None:
    sums = jax.device_get(state.sums)
    if all(np.isfinite(sums[name]) for name in ("loss", "grad_norm")):
        return
    kept = checkpoints.newest
    raise NotFiniteError(
        f"the loss or its gradient is not finite at step {step}; "
        + (
            f"the checkpoint of step {kept} is the last good one. "
            if kept
            else "nothing is saved. "
        )
        + "Lower --config.train.learning_rate, or name another --workdir and another --config.seed"
    )


def _validate(
    state: TrainState, validator: Validator, step: int, crop: int, log: Log | Silent
) -> dict[str, float]:
    """Validate in every process: the others would only wait, and not for as long as it may take."""
    if not validator.due(step):
        return {}
    variables = on_first_device(evaluated_variables(state))
    with log.work(f"validating step {step}") as work:
        figures, pictures = validator.score(variables, work.advance)
    for name, picture in pictures.items():
        log.image(step, f"validation/{Path(name).name}", picture)
    if log.folder:
        shown = list(pictures.values())[:COMPARED]
        write_pixels(log.folder / "comparison.png", stack(shown))
    psnr, baseline = figures["validation_psnr"], figures["validation_baseline"]
    gain = f", {psnr - baseline:+.2f} over its input" if np.isfinite(baseline) else ""
    log.say(f"step {step}: validation {psnr:.2f} dB on centres of {crop} pixels{gain}")
    return figures


def _as_seen(images: list[Image], config: ConfigDict) -> list[Image]:
    channels = config.model.channels
    return [Image(name, network_channels(pixels, config.task, channels)) for name, pixels in images]


def _greeting(
    workdir: str | Path, config: ConfigDict, state: TrainState, training: int, held_out: int
) -> str:
    parameters = count_parameters(state.variables["params"])
    step, last = int(state.step), config.train.steps
    processes = f" in {jax.process_count()} processes" if jax.process_count() > 1 else ""
    status = "starts" if not step else f"resumes at step {step}"
    if step >= last:
        status = f"is finished at step {step}; --config.train.steps={2 * step} would go on"
    return (
        f"{workdir} {status}: {parameters:,} parameters, {training} images to train on, "
        f"{held_out} held out, {last} steps of {config.train.batch} patches "
        f"{config.data.patch} x {config.data.patch}, {jax.device_count()} {jax.default_backend()} "
        f"device(s){processes}"
    )
