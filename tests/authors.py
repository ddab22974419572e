"""The networks of the authors' two TensorFlow programs, by their names, in plain NumPy.

    python tests/authors.py FOLDER      # with TensorFlow: writes the checkpoints that tests read

Loops and norms are those of `reference.py`; order, names and units are the authors'.
"""

import sys

import numpy as np
import reference

CHANNELS, FILTERS, EMBEDDING, STATES = 1, 6, 3, 2
PROGRAMS = {"NLRN_v0": 255.0, "NLRN": 1.0}  # and the white that each is fed


def variables(program, scope="model/", seed=0, channels=CHANNELS):
    """Draw the variables of a trained network, and what an optimiser leaves beside them."""
    rng = np.random.default_rng(seed)
    white = PROGRAMS[program]

    def draw(*shape, scale=0.3, around=0.0):
        return (around + scale * rng.standard_normal(shape)).astype(np.float32)

    arrays = {}
    for name, side, inputs, outputs in (
        ("conv1", 3, channels, FILTERS),
        ("rnn/non_local_theta", 1, FILTERS, EMBEDDING),
        ("rnn/non_local_phi", 1, FILTERS, EMBEDDING),
        ("rnn/non_local_g", 1, FILTERS, FILTERS),
        ("rnn/RB1_a", 3, FILTERS, FILTERS),
        ("rnn/RB1_b", 3, FILTERS, FILTERS),
        ("conv_end", 3, FILTERS, channels),
    ):
        arrays[f"{name}/kernel"] = draw(side, side, inputs, outputs)
        arrays[f"{name}/bias"] = draw(outputs)
    norms = [("batch_normalization", channels, white), ("batch_normalization_1", FILTERS, 1.0)]
    norms += [(f"rnn/{name_of(number)}", FILTERS, 1.0) for number in range(3 * STATES)]
    for name, width, spread in norms:
        arrays[f"{name}/gamma"] = draw(width, around=1.0)
        arrays[f"{name}/beta"] = draw(width)
        arrays[f"{name}/moving_mean"] = spread * draw(width, scale=0.05, around=0.45)
        arrays[f"{name}/moving_variance"] = spread**2 * (0.06 + abs(draw(width, scale=0.1)))
    arrays["conv1/kernel/Adam"] = 0 * arrays["conv1/kernel"]
    arrays["beta1_power"] = np.float32(0.5)
    return {scope + name: array for name, array in arrays.items()}


def name_of(number):
    """Return what TensorFlow calls the batch norm of a number in a scope."""
    return "batch_normalization" + (f"_{number}" if number else "")


def restore(program, arrays, x, scope="model/"):
    """Restore [N, H, W, C], 0 to 1, as their program does with its own units."""
    weights = {name.removeprefix(scope): np.float64(array) for name, array in arrays.items()}
    white = PROGRAMS[program]

    def conv(name, x):
        return reference.convolve(x, {p: weights[f"{name}/{p}"] for p in ("kernel", "bias")})

    def dense(name, x):
        return x @ weights[f"{name}/kernel"][0, 0] + weights[f"{name}/bias"]

    def norm(name, x):
        parts = ("moving_mean", "moving_variance", "gamma", "beta")
        mean, variance, gamma, beta = (weights[f"{name}/{part}"] for part in parts)
        return gamma * (x - mean) / np.sqrt(variance + 1e-3) + beta

    first = features = conv("conv1", norm("batch_normalization", white * x))
    correlation = None
    for state in range(STATES):
        a, b, c = (f"rnn/{name_of(3 * state + place)}" for place in range(3))
        u = reference.relu(norm(a, features))
        theta, phi, g = (dense(f"rnn/non_local_{name}", u) for name in ("theta", "phi", "g"))
        response, correlation = reference.non_local(theta, phi, g, correlation)
        if program == "NLRN":
            correlation = None
        u = conv("rnn/RB1_a", norm(b, u + response))
        features = conv("rnn/RB1_b", reference.relu(norm(c, u))) + first
    residual = conv("conv_end", reference.relu(norm("batch_normalization_1", features)))
    return x + residual / white


def main(folder):
    """Write a checkpoint of each program by TensorFlow itself."""
    import tensorflow.compat.v1 as tf

    tf.disable_eager_execution()
    for program in PROGRAMS:
        with tf.Graph().as_default(), tf.Session() as session:
            for name, array in variables(program).items():
                tf.get_variable(name, initializer=array)
            step = tf.train.get_or_create_global_step()
            session.run([tf.global_variables_initializer(), step.assign(7)])
            tf.train.Saver().save(session, f"{folder}/{program}", write_meta_graph=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
