"""The convolution and both forms of its kernel gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from drawn import FEW, close
from jax import lax

from nlrn_jax.network.convolution import (
    convolve,
    kernel_gradient_by_convolution,
    kernel_gradient_by_products,
)

SHAPES = [(2, 7, 5, 3, 4), (1, 1, 1, 2, 3), (1, 1, 6, 1, 2), (3, 4, 2, 5, 1)]


def arrays(shape):
    n, h, w, i, o = shape
    rng = np.random.default_rng(0)
    return [
        rng.standard_normal(s).astype(np.float32)
        for s in ((n, h, w, i), (3, 3, i, o), (n, h, w, o))
    ]


@pytest.mark.parametrize("shape", SHAPES)
def test_convolution_equals_the_loop(shape):
    x, kernel, _ = arrays(shape)
    expected = [reference.conv3x3(image, kernel, np.zeros(shape[-1])) for image in x]
    close(convolve(x, kernel), expected, FEW)


@pytest.mark.parametrize("shape", SHAPES)
def test_gradients_equal_those_of_xla(shape):
    x, kernel, weights = arrays(shape)

    def xla(x, kernel):
        y = lax.conv_general_dilated(
            x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        return jnp.sum(y * weights)

    ours = jax.grad(lambda x, k: jnp.sum(convolve(x, k) * weights), (0, 1))(x, kernel)
    for mine, theirs in zip(ours, jax.grad(xla, (0, 1))(x, kernel), strict=True):
        close(mine, theirs)


@pytest.mark.parametrize("shape", SHAPES)
def test_both_forms_of_the_kernel_gradient_agree(shape):
    x, _, gradient = arrays(shape)
    products = kernel_gradient_by_products(x, gradient)
    close(products, kernel_gradient_by_convolution(x, gradient))


def test_bfloat16_stays_bfloat16_in_value_and_gradient():
    x, kernel, _ = (jnp.asarray(a, jnp.bfloat16) for a in arrays(SHAPES[0]))
    y, back = jax.vjp(convolve, x, kernel)
    assert y.dtype == jnp.bfloat16
    assert [g.dtype for g in back(jnp.ones_like(y))] == [jnp.bfloat16, jnp.bfloat16]


def test_only_the_cpu_forms_the_kernel_gradient_by_products():
    x, kernel, _ = arrays(SHAPES[0])
    by_kernel = jax.jit(jax.grad(lambda k, x: convolve(x, k).sum()))
    lowered = {
        platform: by_kernel.trace(kernel, x).lower(lowering_platforms=(platform,)).as_text()
        for platform in ("cpu", "tpu", "cuda")
    }
    assert {platform: text.count("dot_general") for platform, text in lowered.items()} == {
        "cpu": 3,
        "tpu": 0,
        "cuda": 0,
    }
