"""The layers that networks here are made of: convolutions with bias, batch norm.

Kernels and statistics are float32 whatever the dtype of the products is.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from nlrn_jax.network.convolution import convolve, convolve_1x1
from nlrn_jax.network.non_local import check_size
from nlrn_jax.network.whole import within

GREY_LEVELS = 255.0
WINDOW = 45  # q of the paper
EPSILON = 1e-3  # of batch norms: TensorFlow's default, which the authors used

glorot = nn.initializers.glorot_uniform()  # TensorFlow's default, which the authors used
batch_norm = functools.partial(
    nn.BatchNorm, momentum=0.99, epsilon=EPSILON, use_fast_variance=False, dtype=jnp.float32
)


def add_bias(x: jax.Array, bias: jax.Array) -> jax.Array:
    """Add a float32 bias [F] to [N, H, W, F], in float32; the sum is rounded to the dtype of x.

    Its gradient is a sum over N, H and W, which XLA:CPU forms in the dtype that it finds: one of
    bfloat16 sticks as soon as it is 256 times its terms.
    """
    return (x.astype(jnp.float32) + bias.reshape(1, 1, 1, -1)).astype(x.dtype)


class Kernel1x1(nn.Module):
    """Kernel and bias of a 1x1 convolution, [inputs, features] and [features], as of `nn.Dense`."""

    features: int
    kernel_init: nn.initializers.Initializer = glorot

    @nn.compact
    def __call__(self, inputs: int) -> tuple[jax.Array, jax.Array]:
        """Return kernel and bias for a number of input channels."""
        kernel = self.param("kernel", self.kernel_init, (inputs, self.features), jnp.float32)
        return kernel, self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32)


def convolve_together(
    x: jax.Array, kernels: list[tuple[jax.Array, jax.Array]], dtype: str
) -> list[jax.Array]:
    """Apply several 1x1 convolutions to [N, H, W, C] as one, since x is then read once."""
    kernel, bias = (jnp.concatenate(parts, -1) for parts in zip(*kernels, strict=True))
    y = add_bias(convolve_1x1(x.astype(dtype), kernel.astype(dtype)), bias)
    ends = np.cumsum([len(bias) for _, bias in kernels])[:-1]
    return jnp.split(y, ends, -1)


class Conv3x3(nn.Module):
    """Zero-padded 3x3 convolution with bias, whose gradient is fast on CPU inside a scan too."""

    features: int
    dtype: str
    use_bias: bool = True

    @nn.compact
    def __call__(self, x: jax.Array, size: jax.Array | None = None) -> jax.Array:
        """Convolve: [N, H, W, Cin] -> [N, H, W, features].

        Beyond `size` (rows, columns) the input counts as zero, as it does beyond its border.
        """
        if size is not None:
            x = jnp.where(within(size, x.shape[1:3])[None, ..., None], x, 0)
        shape = (3, 3, x.shape[-1], self.features)
        kernel = self.param("kernel", glorot, shape, jnp.float32)
        y = convolve(x.astype(self.dtype), kernel.astype(self.dtype))
        if not self.use_bias:
            return y
        return add_bias(y, self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32))


def check_images(x: jax.Array, channels: int, train: bool, size: jax.Array | None) -> None:
    """Refuse what a network cannot restore.

    Raises:
      ValueError: x is not [N, H, W, channels], of a floating type and with pixels; the size is
        none, or there is one in training.
    """
    if train and size is not None:
        raise ValueError("size is for evaluation: padding would enter the batch statistics")
    check_size(size)
    if x.ndim != 4 or x.shape[-1] != channels or not x.size:
        wanted = f"[N, H, W, {channels}], none of them 0"
        raise ValueError(f"channels={channels} wants {wanted}, not {x.shape}")
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise ValueError(f"images are floats from 0 to 1, not {x.dtype}: divide by its white")


def window_of(neighborhood: int | None, patch: int | None) -> int:
    """Return the odd side of the window to restore whole pictures with.

    The neighborhood of a network; where that is the whole input, what it saw of one in training:
    the side of a patch. That of the paper where neither is known.
    """
    return neighborhood or (patch | 1 if patch else WINDOW)
