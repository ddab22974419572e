"""Classical denoisers: they denoise grey and colour; a missing library is said beforehand."""

import sys
import types

import numpy as np
import pytest
from skimage import data

from nlrn_jax.config.levels import CLASSICAL
from nlrn_jax.errors import UserError
from nlrn_jax.scoring import methods
from nlrn_jax.scoring.methods import DENOISERS, require_installed
from nlrn_jax.scoring.metrics import psnr


def test_every_name_of_the_configuration_is_a_denoiser():
    assert tuple(DENOISERS) == CLASSICAL


@pytest.mark.parametrize("name", CLASSICAL)
@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize("sigma", [15.0, 50.0])
def test_it_takes_noise_away(name, colour, sigma):
    if name == "bm3d":
        pytest.importorskip("bm3d", reason="bm3d is an optional package")
    clean = data.astronaut()[100:164, 200:264].astype(np.float32) / 255
    clean = clean if colour else clean[..., 1]
    noise = np.random.default_rng(0).standard_normal(clean.shape, np.float32)
    noisy = clean + np.float32(sigma / 255) * noise
    output = DENOISERS[name][1](noisy, sigma)
    assert output.shape == clean.shape
    assert psnr(output, clean) > psnr(noisy, clean) + 3


def test_a_missing_library_is_refused_with_how_to_install_it(monkeypatch):
    monkeypatch.setattr(methods.importlib.util, "find_spec", lambda name: None)
    require_installed(["nl_means", "tv"])
    with pytest.raises(UserError, match="pip install bm3d"):
        require_installed(["tv", "bm3d"])


def test_bm3d_is_told_the_noise_in_its_units(monkeypatch):
    calls = []
    library = types.ModuleType("bm3d")
    library.bm3d = lambda image, level: calls.append(("grey", level)) or image
    library.bm3d_rgb = lambda image, level: calls.append(("colour", level)) or image
    monkeypatch.setitem(sys.modules, "bm3d", library)
    methods.bm3d(np.zeros((8, 8)), 51.0)
    methods.bm3d(np.zeros((8, 8, 3)), 51.0)
    assert calls == [("grey", 0.2), ("colour", 0.2)]
