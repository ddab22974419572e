"""The convolutions, with kernel gradients that stay fast inside a loop on CPU, and exact.

XLA:CPU forms the kernel gradient as a convolution with a kernel as large as the image; inside
`lax.scan` that leaves the fast path, and a full-size training step takes 26 s instead of 2.3 s.
Three matrix products, one for each row of taps, are the same sum; nine, one for each tap, take
twice as long. Other backends keep XLA's own form.
Products of bfloat16 that run over all positions are summed in float32: XLA:CPU would sum some in
bfloat16 (jaxlib 0.12: 23,680 for 29,584 ones).
"""

import jax
import jax.numpy as jnp
from jax import lax

from nlrn_jax.network.mesh import laid_as, summed_over_devices, varied_as


def convolve(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolve [N, H, W, Cin] with [3, 3, Cin, Cout], zero-padded: [N, H, W, Cout]."""
    return _convolved(x, varied_as(x, kernel))


def convolve_1x1(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Multiply [N, H, W, Cin] by [Cin, Cout]; the kernel's gradient is summed in float32."""
    return _multiplied(x, varied_as(x, kernel))


@jax.custom_vjp
def _convolved(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return _convolve(x, kernel)


def _convolve(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return lax.conv_general_dilated(
        x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def _forward(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _convolve(x, kernel), (x, kernel)


def _backward(
    residuals: tuple[jax.Array, jax.Array], gradient: jax.Array
) -> tuple[jax.Array, jax.Array]:
    x, kernel = residuals
    gradient = laid_as(gradient, x)
    flipped = kernel[::-1, ::-1].swapaxes(2, 3)
    return _convolve(gradient, flipped), summed_over_devices(_kernel_gradient, x, gradient)


def _kernel_gradient(x: jax.Array, gradient: jax.Array) -> jax.Array:
    return lax.platform_dependent(
        x, gradient, cpu=kernel_gradient_by_products, default=kernel_gradient_by_convolution
    )


_convolved.defvjp(_forward, _backward)


@jax.custom_vjp
def _multiplied(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return _multiply(x, kernel)


def _multiply(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return lax.dot_general(x, kernel, (((3,), (0,)), ((), ())))


def _forward_1x1(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _multiply(x, kernel), (x, kernel)


def _backward_1x1(
    residuals: tuple[jax.Array, jax.Array], gradient: jax.Array
) -> tuple[jax.Array, jax.Array]:
    x, kernel = residuals
    gradient = laid_as(gradient, x)
    by_x = lax.dot_general(gradient, kernel, (((3,), (1,)), ((), ())))
    return by_x, summed_over_devices(_kernel_gradient_1x1, x, gradient).astype(kernel.dtype)


def _kernel_gradient_1x1(x: jax.Array, gradient: jax.Array) -> jax.Array:
    positions = ((0, 1, 2), (0, 1, 2))
    return lax.dot_general(x, gradient, (positions, ((), ())), preferred_element_type=jnp.float32)


_multiplied.defvjp(_forward_1x1, _backward_1x1)


def kernel_gradient_by_products(x: jax.Array, gradient: jax.Array) -> jax.Array:
    """Sum x[p] outer gradient[p - tap] over all positions p: [3, 3, Cin, Cout]."""
    _, h, w, outputs = gradient.shape
    columns = lax.optimization_barrier(x.reshape(-1, x.shape[-1]).T)  # turned once for all rows
    padded = jnp.pad(gradient, ((0, 0), (1, 1), (1, 1), (0, 0)))
    beside = jnp.concatenate([padded[:, :, 2 - dx : 2 - dx + w] for dx in range(3)], -1)
    rows = [
        jnp.dot(
            columns,
            beside[:, 2 - dy : 2 - dy + h].reshape(-1, 3 * outputs),
            preferred_element_type=jnp.float32,
        )
        for dy in range(3)
    ]
    by_rows = jnp.stack(rows).reshape(3, x.shape[-1], 3, outputs)
    return by_rows.swapaxes(1, 2).astype(x.dtype)


def kernel_gradient_by_convolution(x: jax.Array, gradient: jax.Array) -> jax.Array:
    """Form the same sum as XLA's transpose of the convolution: [3, 3, Cin, Cout]."""
    kernel = jnp.zeros_like(x, shape=(3, 3, x.shape[-1], gradient.shape[-1]))
    (by_kernel,) = jax.linear_transpose(lambda k: _convolve(x, k), kernel)(gradient)
    return by_kernel
