"""A tiny network with every array drawn at random, and how close is close."""

import jax
import numpy as np

# Of float32, relative to the largest value, where sums are added in another order: each of some ten
# layers rounds, by a few units of the last place for its sums of up to a thousand terms.
ROUNDING = 256 * float(np.finfo(np.float32).eps)  # 3e-5
FEW = ROUNDING / 8  # of a single sum or two
TINY = {"filters": 8, "embedding": 4}


def images(shape, seed=0):
    """Draw a batch in [0, 1], float32."""
    return np.random.default_rng(seed).uniform(size=shape).astype(np.float32)


def draw(rng, path, shape):
    """Draw one array of the network by its name, so that every layer matters.

    Kernels keep the variance of their input, hence logits of a few units and a softmax that is
    neither flat nor one-hot. The output kernel is larger: the residual is then as large as the
    image, not a few grey levels that a tolerance on the image would overlook.
    """
    *layer, name = path
    normal = rng.standard_normal(shape)
    if name == "kernel":
        receptive = np.prod(shape[:-2])
        normal = normal * np.sqrt(2 / (receptive * (shape[-2] + shape[-1])))
        return 30 * normal if layer[-1] == "output_conv" else normal
    if name == "scale":
        return rng.uniform(0.5, 1.5, shape)
    if layer[-1] == "input_norm" and name in ("mean", "var"):
        return {"mean": 127 + 10 * normal, "var": rng.uniform(50, 90, shape) ** 2}[name]
    return rng.uniform(0.5, 2, shape) if name == "var" else 0.3 * normal


def randomized(model, x, seed=0):
    """Build variables as `init` would, every array drawn at random, g's too."""
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(model.init, jax.random.key(0), x)
    return jax.tree_util.tree_map_with_path(
        lambda path, s: draw(rng, [key.key for key in path], s.shape).astype(np.float32), shapes
    )


def exact(tree):
    """Convert a tree to float64."""
    return jax.tree.map(lambda array: np.asarray(array, np.float64), tree)


def close(actual, expected, tolerance=ROUNDING):
    """Assert equality to a fraction of the largest expected value, or of their range."""
    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    reach = max(np.ptp(expected), abs(expected).max())
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * reach)
