"""Random pictures of every kind, opened from files of given bytes, and compared."""

import numpy as np
from PIL import ImageCms

from nlrn_jax.pictures.files import open_picture
from nlrn_jax.pictures.picture import Picture

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
EVERY_KIND = [
    (dtype, shape, has_alpha)
    for dtype in (np.uint8, np.uint16, np.float32)
    for shape in ((9, 14), (9, 14, 3), (1, 1), (1, 1, 3), (1, 5, 3), (6, 1))
    for has_alpha in (False, True)
]
_rng = np.random.default_rng(0)


def noise(dtype, *shape) -> np.ndarray:
    if dtype == np.float32:
        return _rng.uniform(-0.5, 1.5, shape).astype(dtype)  # beyond [0, 1] too
    return _rng.integers(0, np.iinfo(dtype).max + 1, shape, dtype=dtype)


GREY, COLOUR, ALPHA = (noise(np.uint8, 9, 14, *c) for c in ((), (3,), ()))
DEEP = noise(np.uint16, 9, 14, 4)


def random_picture(dtype, shape, has_alpha) -> Picture:
    alpha = noise(dtype, *shape[:2]) if has_alpha else None
    return Picture(noise(dtype, *shape), alpha, SRGB, (300.0, 150.0))


def opened(folder, content: bytes, name="picture") -> Picture:
    (folder / name).write_bytes(content)
    return open_picture(folder / name)


def assert_same(opened: Picture, pixels, alpha=None):
    assert opened.pixels.dtype == pixels.dtype
    np.testing.assert_array_equal(opened.pixels, pixels)
    assert (opened.alpha is None) == (alpha is None)
    if alpha is not None:
        assert opened.alpha.dtype == pixels.dtype
        np.testing.assert_array_equal(opened.alpha, alpha)


def assert_one_line(error, name):
    message = str(error)
    assert f"{name}: " in message and "; " in message
    assert len(message.splitlines()) == 1 and len(message) < 400
