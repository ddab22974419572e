"""The optimiser: per-tensor clip, Adam, a learning rate that is a function of the step."""

import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

# The layers whose bias has no gradient: a norm takes out what the bias adds (the softmax, phi's).
IDLE = ("input_conv", "phi", "g", "conv_a", "conv_b")


def learning_rate(train: ConfigDict) -> optax.Schedule:
    """Return step -> learning rate.

    'halve' halves it at the fractions `halve_at` of the run, as the authors did; 'cosine' lets it
    fall to zero, which suits short runs.
    """
    if train.schedule == "cosine":
        return optax.cosine_decay_schedule(train.learning_rate, train.steps)
    halvings = {round(fraction * train.steps): 0.5 for fraction in train.halve_at}
    return optax.piecewise_constant_schedule(train.learning_rate, halvings)


def optimizer(train: ConfigDict) -> optax.GradientTransformation:
    """Return the optax chain of a `train` section: clip each tensor's gradient, then Adam."""
    return optax.chain(clip_each_tensor(train.clip), optax.adam(learning_rate(train)))


def rest_idle_biases(gradients: dict) -> dict:
    """Set the gradients to zero that are zero but for rounding: of the biases of IDLE layers.

    Adam would make the rounding as large as any gradient. The biases would wander, by another way
    on every number of devices, and the running means behind them, so that evaluation would too.
    """

    def rest(path: tuple, gradient: jax.Array) -> jax.Array:
        layer, name = (key.key for key in path[-2:])
        return jnp.zeros_like(gradient) if layer in IDLE and name == "bias" else gradient

    return jax.tree_util.tree_map_with_path(rest, gradients)


def clip_each_tensor(norm: float) -> optax.GradientTransformation:
    """Clip each gradient tensor to an L2 norm by itself (TensorFlow's clip_by_norm); 0 is off.

    Not the global norm, and not the root mean square of a block, which depends on its size.
    """
    if not norm:
        return optax.identity()

    def clip(gradient: jax.Array, _) -> jax.Array:
        return optax.projections.projection_l2_ball(gradient, norm)

    return optax.stateless_with_tree_map(clip)
