"""The optimiser: per-tensor clip, Adam, a learning rate that is a function of the step."""

import jax
import optax
from ml_collections import ConfigDict


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


def clip_each_tensor(norm: float) -> optax.GradientTransformation:
    """Clip each gradient tensor to an L2 norm by itself (TensorFlow's clip_by_norm); 0 is off.

    Not the global norm, and not the root mean square of a block, which depends on its size.
    """
    if not norm:
        return optax.identity()

    def clip(gradient: jax.Array, _) -> jax.Array:
        return optax.projections.projection_l2_ball(gradient, norm)

    return optax.stateless_with_tree_map(clip)
