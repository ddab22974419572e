"""The non-local operation: every position looks at the positions of its neighborhood.

    correlation_ij = correlation'_ij + theta_i . phi_j      correlation' of the state before
    response_i     = sum_j softmax_j(correlation_ij) g_j    j in the q x q window around i

(Liu et al. 2018, section 3; without 1 / sqrt(l), as in the authors' programs.)

Pure functions. Correlation and softmax are float32 whatever the inputs are.
"""

import jax
import jax.numpy as jnp


def non_local(
    theta: jax.Array,
    phi: jax.Array,
    g: jax.Array,
    correlation: jax.Array | None = None,
    neighborhood: int | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Weigh `g` by the softmax of the correlation, carried from state to state.

    Args:
      theta, phi: embeddings of the queries and of the keys, [N, H, W, l].
      g: what is averaged, [N, H, W, m].
      correlation: the running sum of the earlier states, float32 [N, HW, HW]; None in the first.
      neighborhood: odd side q of the window centred on each position and cut at the image's
        border; None is the whole input.

    Returns:
      response [N, H, W, m] in the dtype of `g`, and the new correlation, float32 [N, HW, HW]
      (logits before the softmax, unmasked).

    Raises:
      ValueError: shapes that do not belong together, or a neighborhood that is not odd.
    """
    _check(theta, phi, g, correlation, neighborhood)
    n, h, w, _ = theta.shape
    # 'highest': on GPU and TPU a float32 product would otherwise be rounded to tf32 or bfloat16,
    # and these logits are large: they are not divided by sqrt(l) and grow with every state.
    logits = jnp.einsum(
        "nil,njl->nij",
        theta.reshape(n, h * w, -1),
        phi.reshape(n, h * w, -1),
        precision="highest",
        preferred_element_type=jnp.float32,
    )
    correlation = logits if correlation is None else correlation + logits
    visible = correlation
    if neighborhood is not None:
        visible = jnp.where(window(h, w, neighborhood), correlation, -jnp.inf)
    weights = jax.nn.softmax(visible, axis=-1).astype(g.dtype)
    response = jnp.einsum("nij,njm->nim", weights, g.reshape(n, h * w, -1))
    return response.reshape(g.shape), correlation


def window(height: int, width: int, neighborhood: int) -> jax.Array:
    """Mark which of the positions [HW] each position [HW] sees: bool [HW, HW]."""
    y, x = jnp.divmod(jnp.arange(height * width), width)
    distance = jnp.maximum(abs(y[:, None] - y), abs(x[:, None] - x))
    return distance <= neighborhood // 2


def _check(theta, phi, g, correlation, neighborhood) -> None:
    if theta.ndim != 4 or theta.shape != phi.shape or theta.shape[:3] != g.shape[:3]:
        raise ValueError(
            "non_local wants theta and phi [N, H, W, l] and g [N, H, W, m], "
            f"got {theta.shape}, {phi.shape} and {g.shape}"
        )
    n, h, w, _ = theta.shape
    if correlation is not None and correlation.shape != (n, h * w, h * w):
        raise ValueError(
            f"correlation {correlation.shape} does not belong to {n} inputs of {h} x {w} "
            f"positions: it should be {(n, h * w, h * w)}"
        )
    if neighborhood is not None and (neighborhood < 1 or neighborhood % 2 == 0):
        raise ValueError(f"{neighborhood=} must be odd and positive, or None for the whole input")
