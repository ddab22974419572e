"""DnCNN (Zhang, Zuo, Chen, Meng, Zhang 2017): what NLRN is compared with, in the same trainer.

    h = relu(conv(x)), then depth - 2 times h = relu(BN(conv(h)))
    y = x + conv(h) / 255

Non-local blocks may follow any of its layers but the last, and hand the correlation on from one to
the next: the paper's module in another network. As in NLRN the residual is in 8-bit grey levels,
since a fresh network's is then small.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn

from nlrn_jax.network.block import NonLocal, width_of
from nlrn_jax.network.layers import GREY_LEVELS, Conv3x3, batch_norm, check_images, window_of


class DnCNN(nn.Module):
    """Restore images: [N, H, W, C], range [0, 1] -> the same shape, not clipped.

    Attributes:
      channels: C, 1 for grey or luma, 3 for colour.
      filters: F, width of the feature maps.
      depth: number of 3x3 convolutions, 2 or more.
      norms: batch norms behind all of these but the first and the last, as it is trained; they can
        be merged into the convolutions, as in the published networks: 555,137 parameters.
      blocks: after which convolutions, counted from 1, a non-local block follows.
      embedding, neighborhood, distance: of these, as those of `NonLocal`.
      propagate: hand the correlation on from block to block.
      dtype: 'float32' or 'bfloat16', of the convolutions and products.
      patch: side of the patches that it was trained on, pixels; None where that is not known. It
        changes nothing in `apply`, see `window`.

    `apply(variables, x, train=True, mutable=['batch_stats'])` uses batch statistics and returns
    the updated running ones as well.
    """

    channels: int = 1
    filters: int = 64
    depth: int = 17
    norms: bool = True
    blocks: tuple[int, ...] = ()
    embedding: int = 32
    neighborhood: int | None = None
    distance: str = "embedded_gaussian"
    propagate: bool = True
    dtype: str = "float32"
    patch: int | None = None

    @nn.compact
    def __call__(
        self, x: jax.Array, train: bool = False, size: jax.Array | None = None
    ) -> jax.Array:
        """Restore a batch; arguments and errors as those of `NLRN`."""
        x = jnp.asarray(x)  # float64 of NumPy becomes float32
        check_images(x, self.channels, train, size)
        self._check_layers()
        u, correlation = x, None
        for layer in range(1, self.depth):
            u = self.layer(layer, u, train, size)
            if layer in self.blocks:
                u, correlation = self.block(layer)(u, correlation, size)
        residual = Conv3x3(self.channels, self.dtype, name="output_conv")(u, size)
        return (x + residual.astype(jnp.float32) / GREY_LEVELS).astype(x.dtype)

    def _check_layers(self) -> None:
        if self.depth < 2:
            raise ValueError(f"depth={self.depth} should be 2 or more")
        if not isinstance(self.blocks, tuple) or not set(self.blocks) <= set(range(1, self.depth)):
            raise ValueError(
                f"blocks={self.blocks} should be a tuple of 1 to depth - 1 = {self.depth - 1}"
            )

    def layer(self, number: int, u: jax.Array, train: bool, size: jax.Array | None) -> jax.Array:
        """Apply a convolution, its norm where there is one, and the rectifier."""
        normed = self.norms and number > 1
        name = "input_conv" if number == 1 else f"conv_{number}"
        u = Conv3x3(self.filters, self.dtype, use_bias=not normed, name=name)(u, size)
        if normed:
            norm = batch_norm(use_running_average=not train, name=f"norm_{number}")
            u = norm(u.astype(jnp.float32)).astype(self.dtype)
        return nn.relu(u)

    def block(self, number: int) -> NonLocal:
        """Return the block behind a layer."""
        return NonLocal(
            self.embedding, self.neighborhood, self.distance, self.hands_on, self.dtype,
            name=f"block_{number}",
        )  # fmt: skip

    # What restoring, planning and looking ask of a network.

    @property
    def window(self) -> int:
        """Return the odd side of the window to restore whole pictures with."""
        return window_of(self.neighborhood, self.patch)

    @property
    def looks(self) -> int:
        """Return how often a position looks at its neighborhood."""
        return len(self.blocks)

    @property
    def compared(self) -> int:
        """Return the numbers by which two positions are compared."""
        return width_of(self.distance, self.embedding, self.filters)

    @property
    def hands_on(self) -> bool:
        """Tell whether a look adds to the correlation of the one before."""
        return self.propagate and self.looks > 1

    @property
    def carry(self) -> str:
        """Return how the correlation is handed on."""
        return "logits"

    @property
    def reach(self) -> int:
        """Return how far a pixel's influence reaches, where there is a neighborhood."""
        return self.depth + self.looks * (self.neighborhood // 2)

    @property
    def halo(self) -> int:
        """Return how far it reaches visibly: through one window, and all convolutions."""
        return self.depth + min(1, self.looks) * (self.neighborhood // 2)

    @property
    def maps(self) -> int:
        """Return how many feature maps its gradient keeps at the least."""
        return self.depth - 1

    @property
    def forms(self) -> tuple["DnCNN", ...]:
        """Return the networks that compute the same in evaluation: there is but this."""
        return (self,)

    @property
    def look_names(self) -> list[str]:
        """Return what each look is called."""
        return [f"block {layer}" for layer in self.blocks]

    def multiply_adds(self, seen: int) -> int:
        """Count the multiplications a pixel, where a position sees so many."""
        convolutions = 9 * self.filters * ((self.depth - 2) * self.filters + 2 * self.channels)
        block = self.filters**2 + 2 * self.filters * self.embedding
        return convolutions + self.looks * (block + seen * (self.embedding + self.filters))
