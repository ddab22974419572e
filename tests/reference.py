"""The network once more, as its equations read: NumPy, float64, loops, nothing shared.

The fast code must equal this. Nothing here imports from the package, so that no misreading can be
in both.
"""

import numpy as np

MOMENTUM = 0.99
EPSILON = 1e-3
GREY_LEVELS = 255.0


def relu(x):
    """Clip at zero."""
    return np.maximum(x, 0.0)


def conv3x3(x, kernel, bias):
    """Correlate with a 3x3 kernel: [H, W, Cin], [3, 3, Cin, Cout], [Cout] -> [H, W, Cout].

    Zeros surround the image.
    """
    height, width, _ = x.shape
    padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
    y = np.zeros((height, width, kernel.shape[-1])) + bias
    for dy in range(3):
        for dx in range(3):
            y += padded[dy : dy + height, dx : dx + width] @ kernel[dy, dx]
    return y


def convolve(x, weights):
    """Apply `conv3x3` to each image of a batch [N, H, W, C]."""
    return np.stack([conv3x3(image, weights["kernel"], weights["bias"]) for image in x])


def dense(x, weights):
    """Multiply the last axis, which is what a 1x1 convolution does."""
    return x @ weights["kernel"] + weights["bias"]


def batch_norm(x, scale, offset, statistics, train):
    """Normalise the channels of [N, H, W, C]; return also the new running statistics.

    Training takes mean and biased variance over N, H, W, evaluation the running ones.
    """
    if train:
        mean = x.mean(axis=(0, 1, 2))
        var = ((x - mean) ** 2).mean(axis=(0, 1, 2))
        new = {
            "mean": MOMENTUM * statistics["mean"] + (1 - MOMENTUM) * mean,
            "var": MOMENTUM * statistics["var"] + (1 - MOMENTUM) * var,
        }
    else:
        mean, var = statistics["mean"], statistics["var"]
        new = statistics
    return (x - mean) / np.sqrt(var + EPSILON) * scale + offset, new


def softmax(logits):
    """Normalise one row of logits."""
    weights = np.exp(logits - logits.max())
    return weights / weights.sum()


def window(row, column, height, width, neighborhood):
    """List the positions, row by row, in the q x q window around one, cut at the border."""
    reach = max(height, width) if neighborhood is None else neighborhood // 2
    rows = range(max(0, row - reach), min(height, row + reach + 1))
    columns = range(max(0, column - reach), min(width, column + reach + 1))
    return [r * width + c for r in rows for c in columns]


def logits(query, keys, distance):
    """Compare one position [l] with others [K, l]."""
    if distance == "euclidean":
        return -((keys - query) ** 2).mean(axis=-1)
    return keys @ query


def weigh(logits, distance):
    """Turn the logits of the positions seen into their weights."""
    if distance.endswith("dot_product"):
        return logits / len(logits)
    return softmax(logits)


def non_local(theta, phi, g, correlation=None, neighborhood=None, distance="embedded_gaussian"):
    """Average g under the weights of the correlation, one position after another.

    theta, phi [N, H, W, l]; g [N, H, W, m]; correlation [N, HW, HW] of the states before.
    Returns the response [N, H, W, m] and the new correlation, which ignores the window.
    """
    count, height, width, _ = theta.shape
    response = np.zeros(g.shape)
    new = np.zeros((count, height * width, height * width))
    for n in range(count):
        keys = phi[n].reshape(height * width, -1)
        values = g[n].reshape(height * width, -1)
        for row in range(height):
            for column in range(width):
                i = row * width + column
                new[n, i] = logits(theta[n, row, column], keys, distance)
                if correlation is not None:
                    new[n, i] += correlation[n, i]
                seen = window(row, column, height, width, neighborhood)
                response[n, row, column] = weigh(new[n, i, seen], distance) @ values[seen]
    return response, new


def block(u, params, correlation=None, neighborhood=None, distance="embedded_gaussian"):
    """Add to features [N, H, W, m] what their neighborhoods hold."""
    theta = phi = u
    if distance.startswith("embedded"):
        theta, phi = dense(u, params["theta"]), dense(u, params["phi"])
    elif distance.startswith("symmetric"):
        theta = phi = dense(u, params["theta"])
    g = dense(u, params["g"])
    response, correlation = non_local(theta, phi, g, correlation, neighborhood, distance)
    return u + response, correlation


def cell(
    features, correlation, first, params, norms, statistics, neighborhood, train,
    distance="embedded_gaussian",
):  # fmt: skip
    """Compute one state: features, correlation, and the state's new running statistics.

    norms is {'scale', 'offset'} [3, F] and statistics {'norm_1', ...}, both of this state alone.
    """
    new = {}

    def norm(x, k):
        name = f"norm_{k + 1}"
        y, new[name] = batch_norm(x, norms["scale"][k], norms["offset"][k], statistics[name], train)
        return y

    u = relu(norm(features, 0))
    u, correlation = block(u, params, correlation, neighborhood, distance)
    u = convolve(norm(u, 1), params["conv_a"])
    u = convolve(relu(norm(u, 2)), params["conv_b"])
    return u + first, correlation, new


def network(
    x, variables, steps, neighborhood=None, propagate=True, train=False, share=True,
    distance="embedded_gaussian",
):  # fmt: skip
    """Restore [N, H, W, C], range [0, 1]; return also the new 'batch_stats' tree."""
    params, statistics = variables["params"], variables["batch_stats"]
    new = {}
    scale, bias = params["input_norm"]["scale"], params["input_norm"]["bias"]
    u, new["input_norm"] = batch_norm(GREY_LEVELS * x, scale, bias, statistics["input_norm"], train)
    first = features = convolve(u, params["input_conv"])

    correlation, states = None, []
    for t in range(steps):
        norms = {name: array[t] for name, array in params["norms"].items()}
        own = {k: {name: a[t] for name, a in v.items()} for k, v in statistics["cell"].items()}
        weights = params["cell"]
        if not share:  # stacked, one set for each state
            weights = {k: {name: a[t] for name, a in v.items()} for k, v in weights.items()}
        features, correlation, state = cell(
            features, correlation, first, weights, norms, own, neighborhood, train, distance
        )
        states.append(state)
        if not propagate:
            correlation = None
    new["cell"] = {
        k: {name: np.stack([state[k][name] for state in states]) for name in v}
        for k, v in statistics["cell"].items()
    }

    scale, bias = params["output_norm"]["scale"], params["output_norm"]["bias"]
    u, new["output_norm"] = batch_norm(features, scale, bias, statistics["output_norm"], train)
    return x + convolve(relu(u), params["output_conv"]) / GREY_LEVELS, new


def dncnn(x, variables, depth, blocks=(), neighborhood=None, propagate=True, train=False):
    """Restore [N, H, W, C], range [0, 1], by DnCNN; return also the new statistics.

    A layer has a norm where the variables have one, and a block where `blocks` says so.
    """
    params, statistics, new = variables["params"], variables.get("batch_stats", {}), {}
    u, correlation = x, None
    for layer in range(1, depth):
        weights = params["input_conv" if layer == 1 else f"conv_{layer}"]
        u = convolve(u, {"bias": 0} | weights)
        if (name := f"norm_{layer}") in params:
            affine = params[name]
            u, new[name] = batch_norm(u, affine["scale"], affine["bias"], statistics[name], train)
        u = relu(u)
        if layer in blocks:
            u, correlation = block(u, params[f"block_{layer}"], correlation, neighborhood)
            correlation = correlation if propagate else None
    return x + convolve(u, params["output_conv"]) / GREY_LEVELS, new
