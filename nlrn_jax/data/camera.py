"""What a camera does to a picture: the noise of light and of electronics, 8 bits, JPEG.

Images are [H, W] or [H, W, 3], float, black at 0 and white at 1.
"""

import dataclasses
import io

import numpy as np
from PIL import Image

from nlrn_jax.data.degrade import add_noise
from nlrn_jax.data.pixels import to_float, to_uint8
from nlrn_jax.errors import UserError

BLOCK = 16  # pixels: side of what JPEG codes together in colour; of grey it is half of that
LONGEST = 65_500  # pixels a side that libjpeg writes

# Grey levels of noise at white. With less nobody would see it, and NumPy could not count the light.
_LEAST = 1e-3


@dataclasses.dataclass(frozen=True)
class Camera:
    """Degrades patches at random: Poisson noise, Gaussian noise, JPEG, in this order.

    Attributes:
      poisson, sigma: noise in grey levels, one level or the lowest and the highest, drawn evenly;
        () or (0,) for none.
      jpeg: quality, likewise.
      chances: of each of the three.
    """

    poisson: tuple[float, ...]
    sigma: tuple[float, ...]
    jpeg: tuple[int, ...]
    chances: tuple[float, float, float]

    def take(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Degrade float in [0, 1] to float32 of its shape.

        Gaussian noise alone is neither clipped nor rounded, as papers have it; with light or JPEG
        among what may happen, the result is that of a file, whole grey levels.
        """
        light, electronics, file = self.chances
        if _happens(self.poisson, light, rng):
            image = add_poisson_noise(image, _level(self.poisson, rng), rng)
        if _happens(self.sigma, electronics, rng):
            image = add_noise(image, _level(self.sigma, rng), rng)
        if _happens(self.jpeg, file, rng):
            image = as_jpeg(image, rng.integers(self.jpeg[0], self.jpeg[-1], endpoint=True))
        is_file = any(self.poisson) or any(self.jpeg)
        return to_float(to_uint8(image)) if is_file else image


def add_poisson_noise(image: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Count the light of each pixel: noise whose standard deviation at white is `sigma`.

    In grey levels of 255. White is lam = (255 / sigma)^2 photons in the mean, and a pixel x becomes
    Poisson(x lam) / lam: of mean x and variance x / lam. float [H, W, ...] from 0 on -> float32 of
    that shape, neither clipped nor rounded. Integers, and values below 0, raise a ValueError.
    """
    if not np.issubdtype(image.dtype, np.floating):
        raise ValueError(f"float in [0, 1] is needed, not {image.dtype}; convert it with to_float")
    if sigma < _LEAST:
        return image.astype(np.float32)
    photons = (255 / sigma) ** 2
    return (rng.poisson(image.astype(np.float64) * photons) / photons).astype(np.float32)


def as_jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    """Return what JPEG leaves of a picture: clipped, rounded to 8 bits, coded and decoded.

    By Pillow's libjpeg with its standard tables; colour with 4:2:0, its chroma halved both ways.

    Args:
      image: float [H, W] or [H, W, 3], white at 1.
      quality: 1 to 100.

    Returns:
      float32 of that shape, whole grey levels / 255.

    Raises:
      UserError: a side is longer than JPEG can hold.
    """
    if max(image.shape[:2]) > LONGEST:
        raise UserError(f"JPEG holds {LONGEST} pixels a side, not {list(image.shape)}; cut it")
    file = io.BytesIO()
    Image.fromarray(to_uint8(image)).save(file, "JPEG", quality=int(quality), subsampling="4:2:0")
    with Image.open(file, formats=["JPEG"]) as opened:
        return to_float(np.asarray(opened))


def _happens(levels: tuple[float, ...], chance: float, rng: np.random.Generator) -> bool:
    # What is certain draws nothing, so that noise alone is what it was before there was a choice.
    return any(levels) and (chance == 1 or rng.random() < chance)


def _level(levels: tuple[float, ...], rng: np.random.Generator) -> float:
    return rng.uniform(levels[0], levels[-1])
