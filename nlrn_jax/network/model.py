"""The Non-Local Recurrent Network (Liu, Wen, Fan, Loy, Huang, NeurIPS 2018).

One cell, applied `steps` times, carries a feature map and the correlation. Its convolutions are
the same in every state (unless `share` is off), its batch norms each state's own:

    s_0 = conv(BN(255 x)),  corr_0 = 0
    u = relu(BN_1(s_{t-1}))
    u = u + non_local(theta(u), phi(u), g(u), corr_{t-1})
    s_t = conv_b(relu(BN_3(conv_a(BN_2(u))))) + s_0
    y = x + conv(relu(BN(s_T))) / 255

Images are [N, H, W, C], float32, range [0, 1] outside; inside the network works in 8-bit grey
levels, since a fresh network's output of order 1 is then a small residual and training starts
from the input's quality.
"""

import functools

import jax
import jax.numpy as jnp
from flax import linen as nn

from nlrn_jax.network.block import NonLocal, width_of
from nlrn_jax.network.correlation import Carrier, Correlation, carrier_of
from nlrn_jax.network.layers import GREY_LEVELS, Conv3x3, batch_norm, check_images, window_of
from nlrn_jax.network.mesh import mesh_of
from nlrn_jax.network.non_local import KEPT

UNROLLED = 8  # states: as straight code training is 5% faster; more compile slowly and gain nothing

Norms = tuple[jax.Array, jax.Array]  # scales and offsets of batch norms


class Cell(nn.Module):
    """One state of the recurrence: (features, correlation) -> (features, correlation).

    Attributes:
      block: the non-local block, whose weights are this cell's own.
      carrier: how the correlation is carried.
      dtype: of the convolutions and products; softmax, correlation and statistics are float32.
      train: use and update batch statistics instead of the running ones.
    """

    block: NonLocal
    carrier: Carrier
    dtype: str
    train: bool

    @nn.compact
    def __call__(
        self,
        carry: tuple[jax.Array, Correlation],
        own: tuple[jax.Array, Norms],
        first: jax.Array,
        size: jax.Array | None,
    ) -> tuple[tuple[jax.Array, Correlation], None]:
        """Apply one state.

        Args:
          carry: features [N, H, W, F], and the correlation as its carrier has it.
          own: the index of this state, and its batch norm scales and offsets, two arrays [3, F].
          first: the first state s_0, [N, H, W, F].
          size: rows and columns that hold the image, or None for all.

        Returns:
          The new carry, and None: the recurrence collects no outputs.
        """
        features, correlation = carry
        index, norms = own
        filters = features.shape[-1]
        nn.share_scope(self, self.block)

        u = nn.relu(self.normalize("norm_1", features, norms, 0))
        theta, phi, g = self.block.embed(u)
        response, correlation = self.carrier.respond(theta, phi, g, correlation, index, size)
        u = self.normalize("norm_2", u + response, norms, 1)
        u = Conv3x3(filters, self.dtype, name="conv_a")(u, size)
        u = nn.relu(self.normalize("norm_3", u, norms, 2))
        state = Conv3x3(filters, self.dtype, name="conv_b")(u, size) + first
        self.sow("intermediates", "state", state)  # for looking/insight.py, where it asks for it
        return (state, correlation), None

    @functools.partial(nn.remat, static_argnums=(1, 4), prevent_cse=False)
    def normalize(self, name: str, x: jax.Array, norms: Norms, index: int) -> jax.Array:
        """Apply a batch norm whose statistics are scanned and whose affine part is an input.

        The backward pass normalizes again: that is faster than keeping what lies in between.

        One Flax collection cannot be both shared (the convolutions) and separate for each state
        (the norms), so the parent owns all states' scales and offsets and scans over them.
        """
        scale, offset = (affine[index].reshape(1, 1, 1, -1) for affine in norms)
        normalized = batch_norm(
            use_running_average=not self.train, use_scale=False, use_bias=False, name=name
        )(x.astype(jnp.float32))
        return (normalized * scale + offset).astype(self.dtype)


class NLRN(nn.Module):
    """Restore images: [N, H, W, C], range [0, 1] -> the same shape, not clipped.

    Attributes:
      channels: C, 1 for grey or luma, 3 for colour.
      filters: F, width of the feature map.
      embedding: l, size of theta and phi.
      steps: T, number of states.
      neighborhood: odd side q of the window that a position sees; None is the whole input.
      distance: by which positions are compared, a name of `block.DISTANCES`.
      propagate: carry the correlation from state to state.
      share: use the same weights in every state; False gives each its own, stacked [T, ...].
      carry: how: as 'logits', or as the 'embeddings' of all states, whose memory is linear in
        pixels and whose products take (T + 1) / 2 times the arithmetic. The same function.
      remat: what the backward pass forms again instead of keeping it, to save memory: 'nothing';
        the 'correlation' of every state, from that of the next; all of the 'states', too, with a
        third more arithmetic. The same function. Embeddings are never kept state by state.
      dtype: 'float32' or 'bfloat16', of the convolutions and products.
      patch: side of the patches that it was trained on, pixels; None where that is not known. It
        changes nothing in `apply`, see `window`.

    `apply(variables, x, train=True, mutable=['batch_stats'])` uses batch statistics and returns
    the updated running ones as well.
    """

    channels: int = 1
    filters: int = 128
    embedding: int = 64
    steps: int = 12
    neighborhood: int | None = None
    distance: str = "embedded_gaussian"
    propagate: bool = True
    share: bool = True
    carry: str = "logits"
    remat: str = "nothing"
    dtype: str = "float32"
    patch: int | None = None

    @nn.compact
    def __call__(
        self, x: jax.Array, train: bool = False, size: jax.Array | None = None
    ) -> jax.Array:
        """Restore a batch.

        Args:
          x: [N, H, W, C], range [0, 1], of a floating type, which the answer has as well.
          train: use batch statistics, and update the running ones.
          size: int32 [2], rows and columns that hold the images; what lies beyond is padding and
            changes nothing, so that one compilation serves many sizes. In evaluation only: it
            would enter the batch statistics.

        Raises:
          ValueError: the input is not [N, H, W, channels] of a floating type, or empty; carry,
            remat or distance is unknown; there is a size in training.
        """
        x = jnp.asarray(x)  # float64 of NumPy becomes float32
        check_images(x, self.channels, train, size)
        if self.steps < 1:
            raise ValueError(f"steps={self.steps} should be 1 or more")
        norm = functools.partial(batch_norm, use_running_average=not train)
        s0 = norm(name="input_norm")(GREY_LEVELS * x).astype(self.dtype)
        s0 = Conv3x3(self.filters, self.dtype, name="input_conv")(s0, size)
        features = self.recur(s0, train, size)
        residual = nn.relu(norm(name="output_norm")(features.astype(jnp.float32)))
        residual = Conv3x3(self.channels, self.dtype, name="output_conv")(residual, size)
        return (x + residual.astype(jnp.float32) / GREY_LEVELS).astype(x.dtype)

    @property
    def _unrolled(self) -> bool:
        """Tell whether training writes its states out.

        XLA would undo the remat there, and round bfloat16 more often (jaxlib 0.12: gradients of phi
        with a quarter more error).
        """
        plain = self.remat == "nothing" and self.dtype == "float32"
        return plain and self.steps <= UNROLLED

    def recur(self, s0: jax.Array, train: bool, size: jax.Array | None) -> jax.Array:
        """Scan the cell over the states: s_0 -> s_T, [N, H, W, F]."""
        # prevent_cse=False: inside a scan nothing can be merged, and the barriers would cost time
        keep = jax.checkpoint_policies.save_only_these_names(*KEPT)
        block = NonLocal(
            self.embedding, self.neighborhood, self.distance, dtype=self.dtype, parent=None
        )
        carrier = carrier_of(
            self.neighborhood, self.propagate, self.carry, self.remat, block.weights
        )
        cell = nn.scan(
            nn.remat(Cell, prevent_cse=False, policy=keep) if self.remat == "states" else Cell,
            variable_broadcast="params" if self.share else False,
            variable_axes={"batch_stats": 0, "intermediates": 0}
            | ({} if self.share else {"params": 0}),
            split_rngs={"params": not self.share},
            in_axes=(0, nn.broadcast, nn.broadcast),
            length=self.steps,
            unroll=self.steps if train and self._unrolled else 1,
        )(block, carrier, self.dtype, train, name="cell")
        norms = StateNorms(self.steps, self.filters, name="norms")()
        compared = block.compared(s0)
        start = carrier.start(s0, self.steps * compared.shape[-1], compared.dtype)
        own = jnp.arange(self.steps, dtype=jnp.int32), norms
        with mesh_of(s0):
            (features, correlation), _ = cell((s0, start), own, s0, size)
        return carrier.finish(features, correlation)

    # What restoring, planning and looking ask of a network.

    @property
    def window(self) -> int:
        """Return the odd side of the window to restore whole pictures with."""
        return window_of(self.neighborhood, self.patch)

    @property
    def looks(self) -> int:
        """Return how often a position looks at its neighborhood."""
        return self.steps

    @property
    def compared(self) -> int:
        """Return the numbers by which two positions are compared."""
        return width_of(self.distance, self.embedding, self.filters)

    @property
    def hands_on(self) -> bool:
        """Tell whether a look adds to the correlation of the one before."""
        return self.propagate

    @property
    def reach(self) -> int:
        """Return how far a pixel's influence reaches, where there is a neighborhood."""
        return self.steps * (self.neighborhood // 2 + 2) + 2

    @property
    def halo(self) -> int:
        """Return how far it reaches visibly: a window less the pixel (tests/bench/tiles.py)."""
        return self.neighborhood - 1

    @property
    def maps(self) -> int:
        """Return how many feature maps its gradient keeps at the least."""
        return self.steps * (1 if self.remat == "states" else 3)

    @property
    def forms(self) -> tuple["NLRN", ...]:
        """Return the networks that compute the same in evaluation, the least memory first."""
        return tuple(self.clone(carry=carry) for carry in ("embeddings", "logits"))

    @property
    def look_names(self) -> list[str]:
        """Return what each look is called."""
        return [f"state {number}" for number in range(1, self.steps + 1)]

    def multiply_adds(self, seen: int) -> int:
        """Count the multiplications a pixel, where a position sees so many."""
        convolutions = (1 + 2 * 9) * self.filters**2 + 2 * self.filters * self.embedding
        return self.steps * (convolutions + seen * (self.embedding + self.filters))


class StateNorms(nn.Module):
    """Scales and offsets of the three batch norms of every state, two arrays [T, 3, F]."""

    states: int
    filters: int

    @nn.compact
    def __call__(self) -> Norms:
        """Return scale and offset."""
        shape = (self.states, 3, self.filters)
        return (
            self.param("scale", nn.initializers.ones, shape, jnp.float32),
            self.param("offset", nn.initializers.zeros, shape, jnp.float32),
        )
