"""The Non-Local Recurrent Network for image restoration, in JAX and Flax."""

import importlib

_PLACES = {
    "NLRN": "network.model",
    "NonLocal": "network.block",
    "bicubic_resize": "data.degrade",
    "load": "exchanging.stored",
    "non_local": "network.non_local",
    "psnr": "scoring.metrics",
    "restore": "restoring.restore",
    "ssim": "scoring.metrics",
    "with_jvp": "network.forward_mode",
}
__all__ = list(_PLACES)


def __getattr__(name: str):
    """Import a public name when it is first asked for: `--help` needs no JAX."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
