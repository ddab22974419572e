"""Deblur a photograph with a denoiser as what is known of pictures: plug and play, in one jit.

    .venv/bin/python -m launch.deblur      # writes deblurred.png: blurred, deblurred, original

Half-quadratic splitting (Zhang, Zuo, Gu, Zhang 2017), noise put in before each denoising (SNORE;
Renaud, Prost, Leclaire, Papadakis 2024): in turns the image that explains the blurred one, near the
estimate, by Fourier transform; and that image, with less noise each time, denoised. From the noise
a denoiser that is told no sigma knows how far to go. Where SCICO is installed, its DnCNN does the
same. For another problem write another first half.
"""

import importlib.util
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image
from skimage import data

import nlrn_jax

RESULT = Path("deblurred.png")
SIDE, SIGMA = 9, 2 / 255  # of the box that blurs, pixels; of the noise that was added then
SIGMAS = np.geomspace(50, 8, 16, dtype=np.float32) / 255  # of the noise that is put in, by round
TRUST = 0.5  # in the estimate, against what is seen


def blurring(shape):
    """Return the transfer function of a box centred on each pixel of [H, W]; images wrap around."""
    box = jnp.zeros(shape).at[:SIDE, :SIDE].set(1 / SIDE**2)
    return jnp.fft.rfft2(jnp.roll(box, (-(SIDE // 2), -(SIDE // 2)), (0, 1)))


def deblur(denoise, blurred, transfer):
    """Restore [H, W], range [0, 1], by a function that denoises such an image."""
    explained = jnp.conj(transfer) * jnp.fft.rfft2(blurred)

    def one_round(estimate, given):
        sigma, key = given
        penalty = TRUST * (SIGMA / sigma) ** 2
        spectrum = explained + penalty * jnp.fft.rfft2(estimate)
        sharp = jnp.fft.irfft2(spectrum / (jnp.abs(transfer) ** 2 + penalty), blurred.shape)
        return denoise(sharp + sigma * jax.random.normal(key, blurred.shape)), None

    keys = jax.random.split(jax.random.key(1), len(SIGMAS))
    return jax.lax.scan(one_round, blurred, (jnp.asarray(SIGMAS), keys))[0]


def denoisers():
    """Return functions of [H, W], by name."""
    model, variables = nlrn_jax.load("denoise")
    found = {"nlrn_jax": lambda x: model.apply(variables, x[None, :, :, None])[0, :, :, 0]}
    if importlib.util.find_spec("scico"):
        from scico.denoiser import DnCNN

        found["SCICO's DnCNN"] = DnCNN("17M")
    return found


def main():
    """Blur scikit-image's cat, deblur it by each denoiser, and show and measure that."""
    if RESULT.exists():
        sys.exit(f"error: {RESULT}: exists already; rename or remove it")
    cat = jnp.asarray(Image.fromarray(data.chelsea()[20:212, 100:292]).convert("L")) / 255
    transfer = blurring(cat.shape)
    noise = SIGMA * jax.random.normal(jax.random.key(0), cat.shape)
    blurred = jnp.fft.irfft2(transfer * jnp.fft.rfft2(cat), cat.shape) + noise
    shown = {"blurred": blurred}
    for name, denoise in denoisers().items():
        shown[name] = jax.jit(deblur, static_argnums=0)(denoise, blurred, transfer)
    for name, image in shown.items():
        print(f"{name}: {-10 * jnp.log10(jnp.mean((jnp.clip(image, 0, 1) - cat) ** 2)):.2f} dB")
    row = np.concatenate([*shown.values(), cat], axis=1)
    Image.fromarray(np.uint8(255 * row.clip(0, 1) + 0.5)).save(RESULT)
    print(f"{RESULT}: {', '.join(shown)}, original")


if __name__ == "__main__":
    main()
