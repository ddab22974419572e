"""The non-local block, for any network: 1x1 embeddings, the operation, and a skip around both.

    theta, phi, g = 1x1 convolutions of u
    v = u + non_local(theta, phi, g)                  g starts at zero, so that v starts as u

Positions are compared by one of six distances (Liu et al. 2018, section 3; Wang et al. 2018,
section 3.2 for those without a softmax), u_i being the features at position i, [m]:

    embedded_gaussian              softmax over j of theta(u_i) . phi(u_j)      that of NLRN
    symmetric_embedded_gaussian    softmax of theta(u_i) . theta(u_j)
    gaussian                       softmax of u_i . u_j
    euclidean                      softmax of -|u_i - u_j|^2 / m
    embedded_dot_product           theta(u_i) . phi(u_j) / number of j seen
    dot_product                    u_i . u_j / number of j seen

The paper divides the squared distance by an h^2 that it leaves open: here it is m, the number of
features, since the distance of two positions grows with it.
"""

import operator
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import struct
from jax import lax

from nlrn_jax.network.layers import Kernel1x1, convolve_together
from nlrn_jax.network.non_local import check_shapes, check_size, form_of, non_local, respond
from nlrn_jax.network.whole import within

DTYPES = "float32", "bfloat16", "float16"


class Distance(NamedTuple):
    """What is compared, and how the comparison weighs.

    Attributes:
      embeddings: names of the 1x1 convolutions of queries and keys; none: features themselves.
      weights: as those of `non_local`.
    """

    embeddings: tuple[str, ...]
    weights: str


DISTANCES = {
    "embedded_gaussian": Distance(("theta", "phi"), "softmax"),
    "symmetric_embedded_gaussian": Distance(("theta",), "softmax"),
    "gaussian": Distance((), "softmax"),
    "euclidean": Distance((), "softmax"),
    "embedded_dot_product": Distance(("theta", "phi"), "mean"),
    "dot_product": Distance((), "mean"),
}


class Correlation(struct.PyTreeNode):
    """What a block hands on, with what it belongs to.

    Attributes:
      logits: as `non_local` returns them.
      origin: height and width of the features, neighborhood, and distance.
    """

    logits: jax.Array
    origin: tuple = struct.field(pytree_node=False)


class NonLocal(nn.Module):
    """Let every position of [N, H, W, m] look at its neighborhood: the same shape.

    What it sees is added to the features, and is zero in a fresh block, which returns its input.
    Blocks in a row may hand the correlation on, as the states of NLRN do:

        features, correlation = NonLocal(embedding=32, neighborhood=25)(features)
        features, correlation = NonLocal(embedding=32, neighborhood=25)(features, correlation)

    The distances are written out at the head of `network/block.py`. Derivatives are those of
    reverse mode, of any order; `nlrn_jax.with_jvp` of a function gives those of `jax.jvp`.

    Attributes:
      embedding: size l of theta and phi, where the distance has them.
      neighborhood: odd side q of the window that a position sees, with memory linear in positions;
        None is the whole input, and memory of 4 (H W)^2 bytes an image.
      distance: by which positions are compared: 'embedded_gaussian', 'symmetric_embedded_gaussian',
        'gaussian', 'euclidean', 'embedded_dot_product' or 'dot_product'.
      propagate: return the correlation. False returns None, for a block that hands nothing on; one
        that gets none either forms its own again for the gradient: less memory in training.
      dtype: 'float32', 'bfloat16' or 'float16', of the convolutions and products; None: that of the
        features. Correlation and weights are float32.
    """

    embedding: int = 64
    neighborhood: int | None = None
    distance: str = "embedded_gaussian"
    propagate: bool = True
    dtype: str | jnp.dtype | None = None

    def __call__(
        self,
        features: jax.Array,
        correlation: Correlation | None = None,
        size: jax.Array | None = None,
    ) -> tuple[jax.Array, Correlation | None]:
        """Return the features, and the correlation for a later block.

        Args:
          features: [N, H, W, m], of a floating type.
          correlation: what an earlier block returned, of features of the same height and width,
            with the same neighborhood and distance; or None.
          size: int32 [2], rows and columns that hold the image; the rest of H x W is padding that
            changes nothing. None: all of it.

        Raises:
          ValueError: features of another rank or type, or empty; a correlation of another origin;
            an even neighborhood; an unknown distance or dtype.
        """
        self._check_fields()
        features = _features(features)
        if correlation is not None:
            self._check_origin(features, correlation)
        check_size(size)
        seen = features
        if size is not None:
            seen = jnp.where(within(size, features.shape[1:3])[None, ..., None], features, 0)
        theta, phi, g = self.embed(seen)
        if not self.propagate and correlation is None:
            form = form_of(self.neighborhood, self.weights)
            check_shapes(theta, phi, g, size)
            response, _ = respond(theta, phi, g, None, size, form)
            return features + response.astype(features.dtype), None
        carried = None if correlation is None else correlation.logits
        response, logits = non_local(theta, phi, g, carried, self.neighborhood, size, self.weights)
        handed = Correlation(logits, self._origin(features)) if self.propagate else None
        return features + response.astype(features.dtype), handed

    def _origin(self, features: jax.Array) -> tuple:
        return *features.shape[1:3], self.neighborhood, self.distance

    def _check_fields(self) -> None:
        if self.dtype is not None and _name(self.dtype) not in DTYPES:
            raise ValueError(f"dtype={self.dtype!r} should be one of {', '.join(DTYPES)}, or None")
        if not isinstance(self.propagate, bool):
            raise ValueError(f"propagate={self.propagate!r} should be True or False")
        if self._kind.embeddings and not _is_count(self.embedding):
            raise ValueError(f"embedding={self.embedding!r} should be a whole number, 1 or more")

    def _check_origin(self, features: jax.Array, correlation: Correlation) -> None:
        if not isinstance(correlation, Correlation):
            raise ValueError("correlation should be the second of what an earlier block returned")
        if correlation.origin != self._origin(features):
            names = "height {}, width {}, neighborhood={}, distance={!r}"
            raise ValueError(
                f"the correlation is of {names.format(*correlation.origin)}; this block has "
                f"{names.format(*self._origin(features))}"
            )
        images, own = correlation.logits.shape[0], features.shape[0]  # of an export: no numbers
        if images != own:
            raise ValueError(f"the correlation is of {images} images, the features of {own}")

    @nn.compact
    def embed(self, features: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Return what the operation wants: theta, phi [N, H, W, l], and g [N, H, W, m]."""
        width = features.shape[-1]
        kernels = [Kernel1x1(self.embedding, name=name)(width) for name in self._kind.embeddings]
        kernels.append(Kernel1x1(width, nn.initializers.zeros, name="g")(width))
        dtype = self.dtype or features.dtype
        *embedded, g = convolve_together(features, kernels, dtype)
        queries, keys = embedded[:1] + embedded[-1:] or self._compare(features.astype(dtype))
        for name, seen in (("query", queries), ("key", keys)):
            self.sow("intermediates", name, seen)  # for looking/insight.py, where it asks for them
        return queries, keys, g

    def compared(self, features: jax.Array) -> jax.ShapeDtypeStruct:
        """Tell shape and dtype of the queries, and of the keys, of features [N, H, W, m]."""
        *positions, width = features.shape
        width = width_of(self.distance, self.embedding, width)
        dtype = jnp.float32 if self.distance == "euclidean" else self.dtype or features.dtype
        return jax.ShapeDtypeStruct((*positions, width), dtype)

    def _compare(self, features: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return queries and keys where nothing is embedded."""
        return scaled_differences(features) if self.distance == "euclidean" else (features,) * 2

    @property
    def weights(self) -> str:
        """Return how the correlation weighs, as `non_local` names it."""
        return self._kind.weights

    @property
    def _kind(self) -> Distance:
        if self.distance not in DISTANCES:
            raise ValueError(f"distance={self.distance!r} should be one of {', '.join(DISTANCES)}")
        return DISTANCES[self.distance]


def _features(features: jax.Array) -> jax.Array:
    """Return features as an array; refuse what a block cannot look at.

    Raises:
      ValueError: says what it is, and what was meant.
    """
    if isinstance(features, tuple):
        raise ValueError("features are a tuple: of what a block returns give the first as these")
    features = jnp.asarray(features)
    if features.ndim == 4 and features.size and jnp.issubdtype(features.dtype, jnp.floating):
        return features
    mend = "; give one image as features[None]" if features.ndim == 3 else ""
    raise ValueError(
        "NonLocal wants features [N, H, W, m] of a floating type, none of them 0, not "
        f"{features.dtype} {features.shape}{mend}"
    )


def _is_count(number: object) -> bool:
    try:
        return operator.index(number) > 0 and not isinstance(number, bool)
    except TypeError:
        return False


def _name(dtype: object) -> str:
    """Return the name of a dtype however it is given; '' of what is none."""
    try:
        return jnp.dtype(dtype).name
    except TypeError:
        return ""


def width_of(distance: str, embedding: int, width: int) -> int:
    """Return the numbers by which two positions of `width` features are compared."""
    if DISTANCES[distance].embeddings:
        return embedding
    return width + 2 if distance == "euclidean" else width


def scaled_differences(features: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return queries and keys [N, H, W, m + 2] with -|u_i - u_j|^2 / m as their product: float32.

    As 2 u_i . u_j - |u_j|^2 - |u_i|^2, which bfloat16 would round to nothing.
    """
    features = features.astype(jnp.float32)
    # a shift changes no difference, and what is large would drown them
    features = features - lax.stop_gradient(features.mean((1, 2), keepdims=True))
    width = features.shape[-1]
    square = -jnp.mean(features**2, -1, keepdims=True)
    one = jnp.ones_like(square)
    queries = jnp.concatenate([features * (2 / width), one, square], -1)
    return queries, jnp.concatenate([features, square, one], -1)
