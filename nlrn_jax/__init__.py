"""The Non-Local Recurrent Network for image restoration, in JAX and Flax."""

from nlrn_jax.checkpoints import load
from nlrn_jax.degrade import bicubic_resize
from nlrn_jax.metrics import psnr, ssim
from nlrn_jax.model import NLRN
from nlrn_jax.non_local import non_local
from nlrn_jax.restore import restore

__all__ = ["NLRN", "bicubic_resize", "load", "non_local", "psnr", "restore", "ssim"]
