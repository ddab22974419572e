"""The state of a training run, and the pure step that advances it."""

import functools

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax.sharding import Mesh, Sharding
from ml_collections import ConfigDict
from optax import microbatching

from nlrn_jax.network.build import Model, build_model
from nlrn_jax.network.layers import GREY_LEVELS
from nlrn_jax.network.mesh import by_batch, replicated
from nlrn_jax.training.optim import optimizer, rest_idle_biases

SUMS = ("loss", "baseline", "grad_norm", "steps")


@struct.dataclass
class TrainState:
    """All that a step changes.

    Attributes:
      step: number of steps done, int32.
      variables: {'params', 'batch_stats'} of the network.
      optimizer: state of the optax chain.
      average: exponential moving average of the variables, or None where it is off.
      sums: loss, baseline (the loss of the input), gradient norm and steps since the last line of
        figures, float32; NaN where the run that was resumed kept no such sum. They are part
        of the state so that a run resumed between two lines writes the line it would have written.
    """

    step: jax.Array
    variables: dict
    optimizer: optax.OptState
    average: dict | None
    sums: dict[str, jax.Array]


def create_state(
    config: ConfigDict, place: Sharding | None = None, variables: dict | None = None
) -> TrainState:
    """Make the state of step 0.

    Args:
      config: the whole configuration.
      place: on which devices it is to be; by default on the first.
      variables: to start from; None are fresh ones, which depend on `config.seed` only.
    """
    train = config.train

    def init(variables: dict) -> TrainState:
        return TrainState(
            step=jnp.zeros((), jnp.int32),
            variables=variables,
            optimizer=optimizer(train).init(variables["params"]),
            average=variables if train.ema else None,
            sums=no_sums(),
        )

    def fresh(key: jax.Array) -> TrainState:
        return init(fresh_variables(build_model(config), key))

    if variables is None:
        return jax.jit(fresh, out_shardings=place)(jax.random.key(config.seed))
    return jax.jit(init, out_shardings=place)(variables)


def fresh_variables(model: Model, key: jax.Array) -> dict:
    """Draw the variables of a network."""
    return model.init(key, jnp.zeros((1, 3, 3, model.channels), jnp.float32))


def state_shapes(config: ConfigDict, place: Sharding) -> TrainState:
    """Return the shapes of a state, and where it is to be, without making one."""
    shapes = jax.eval_shape(lambda: create_state(config))
    return jax.tree.map(lambda s: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=place), shapes)


def freezes_at(train: ConfigDict) -> int:
    """Return the number of steps after which the batch norms keep their statistics."""
    return round(train.freeze_at * train.steps)


def trace_step(
    config: ConfigDict, mesh: Mesh, state: TrainState, frozen: bool = False
) -> jax.stages.Traced:
    """Trace `train_step` for a mesh: the state on every device and donated, the batch split.

    Args:
      config: the whole configuration.
      mesh: of `data_mesh`.
      state: the state, or its shapes.
      frozen: of the steps from `freezes_at` on.
    """
    side = config.data.patch
    patch = jax.ShapeDtypeStruct(
        (config.train.batch, side, side, config.model.channels), jnp.float32
    )
    step = jax.jit(
        functools.partial(train_step, build_model(config), config.train, frozen=frozen),
        in_shardings=(replicated(mesh), by_batch(mesh)),
        out_shardings=replicated(mesh),
        donate_argnums=0,
    )
    with jax.set_mesh(mesh):  # for what XLA cannot split: see `on_each_device`
        return step.trace(state, {"input": patch, "target": patch})


def train_step(
    model: Model, train: ConfigDict, state: TrainState, batch: dict, frozen: bool = False
) -> tuple[TrainState, jax.Array]:
    """Take one step of gradient descent.

    Args:
      model: the network.
      train: the section of the configuration.
      state: the state before.
      batch: {'input', 'target'}, float32 [N, H, W, C], range [0, 1].
      frozen: normalize by the running statistics, as evaluation does, and leave them as they are.
        The statistics of a few patches tell how strong their noise is, and a network that learns by
        them alone misses that in evaluation.

    Returns:
      The state after, and the loss before it, in grey levels squared.
    """

    def loss_of(params: dict, batch: dict) -> tuple[jax.Array, dict]:
        variables = state.variables | {"params": params}
        output, updated = model.apply(
            variables, batch["input"], train=not frozen, mutable="batch_stats"
        )
        return mean_squared_error(output, batch["target"], train.loss_crop), updated

    gradients_of = jax.value_and_grad(loss_of, has_aux=True)
    if train.accumulate > 1:
        size, mean = train.batch // train.accumulate, microbatching.AccumulationType.MEAN
        gradients_of = microbatching.microbatch(gradients_of, 1, size, mean)
    (loss, updated), gradients = gradients_of(state.variables["params"], batch)
    gradients = rest_idle_biases(gradients)
    chain = optimizer(train)
    # What optax is written for, and rounds alike, whatever the program around is set to.
    with jax.enable_x64(False), jax.numpy_dtype_promotion("standard"):
        updates, chain_state = chain.update(gradients, state.optimizer, state.variables["params"])
        params = optax.apply_updates(state.variables["params"], updates)
    variables = {"params": params, **updated}
    figures = {
        "loss": loss,
        "baseline": mean_squared_error(batch["input"], batch["target"], train.loss_crop),
        "grad_norm": optax.tree.norm(gradients),
        "steps": 1.0,
    }
    state = TrainState(
        step=state.step + 1,
        variables=variables,
        optimizer=chain_state,
        average=_average(state.average, variables, train.ema),
        sums=jax.tree.map(jnp.add, state.sums, figures),
    )
    return state, loss


def mean_squared_error(output: jax.Array, target: jax.Array, crop: int) -> jax.Array:
    """Average the squared error, in grey levels squared, over the central `crop`^2 or all pixels.

    Grey levels, not [0, 1]: only then is the published gradient clip of 2.5 active.
    """
    error = GREY_LEVELS * (output - target)
    if crop:
        top, left = ((side - crop) // 2 for side in error.shape[1:3])
        error = error[:, top : top + crop, left : left + crop]
    return jnp.mean(jnp.square(error))


def evaluated_variables(state: TrainState) -> dict:
    """Return the variables that are evaluated: the averaged ones where the run keeps them."""
    return state.variables if state.average is None else state.average


def no_sums() -> dict[str, jax.Array]:
    """Return empty sums, one new buffer each: the step donates them."""
    return {name: jnp.zeros((), jnp.float32) for name in SUMS}


def _average(average: dict | None, variables: dict, decay: float) -> dict | None:
    return None if average is None else optax.incremental_update(variables, average, 1 - decay)
