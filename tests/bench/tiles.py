"""Measure what tiles cost in accuracy: tiled against whole, for several halos.

    PYTHONPATH=. python tests/bench/tiles.py --workdir=runs/denoise_25_cpu PICTURE [PICTURE ...]

Prints, in grey levels of 255, the largest and the mean difference of the central 384 x 384, and the
mean along the borders of the tiles, which are 128 x 128.
"""

import argparse

import numpy as np

from nlrn_jax import load
from nlrn_jax.config.levels import levels
from nlrn_jax.data.degrade import add_noise
from nlrn_jax.data.pixels import grey, to_float
from nlrn_jax.pictures.files import read_pixels
from nlrn_jax.restoring.restore import restore_tiling
from nlrn_jax.restoring.tiles import Tiling, cut
from nlrn_jax.training.run import read_config

SIDE = 384


def main() -> None:
    """Print a line for each picture and halo."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", required=True, help="a denoiser's run")
    parser.add_argument("pictures", nargs="+")
    arguments = parser.parse_args()
    model, variables = load(arguments.workdir)
    config = read_config(arguments.workdir)
    model = model.clone(neighborhood=model.window, carry="embeddings")
    for path in arguments.pictures:
        clean = to_float(grey(read_pixels(path)))[:SIDE, :SIDE]
        noisy = add_noise(clean, levels(config, "denoise")[-1], np.random.default_rng(0))
        whole = restore_by_sides(model, variables, noisy, (SIDE, SIDE), 0)
        for halo in (8, 16, 24, 32, 48):
            tiled = restore_by_sides(model, variables, noisy, (128, 128), halo)
            report(path, halo, 255 * abs(tiled - whole), borders(noisy.shape, halo))


def restore_by_sides(model, variables, pixels, sides, halo):
    """Restore with tiles of given sides."""
    tiling = Tiling(model, sides, cut(pixels.shape, sides, halo))
    return restore_tiling(tiling, variables, pixels)


def borders(shape, halo):
    """Mark the pixels beside the border of two tiles: bool [H, W]."""
    marked = np.zeros(shape, bool)
    for tile in cut(shape, (128, 128), halo):
        marked[tile.kept[0].start, :] |= tile.kept[0].start > 0
        marked[:, tile.kept[1].start] |= tile.kept[1].start > 0
    return marked


def report(path, halo, difference, marked):
    """Print one line."""
    print(
        f"{path}: halo {halo}: largest {difference.max():.3f}, mean {difference.mean():.4f}, "
        f"along borders {difference[marked].mean():.4f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
