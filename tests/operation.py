"""The non-local operation as tests and benchmarks call it: by its neighborhood."""

import jax.numpy as jnp

from nlrn_jax.network import non_local
from nlrn_jax.network.non_local import form_of


def respond(theta, phi, g, neighborhood=None, size=None):
    """Respond where nothing is carried: [N, H, W, m]."""
    return non_local.respond(theta, phi, g, None, size, form_of(neighborhood))[0]


def initial_correlation(shape, neighborhood=None):
    """Return the correlation before the first state."""
    return form_of(neighborhood).zero(jnp.zeros(shape))
