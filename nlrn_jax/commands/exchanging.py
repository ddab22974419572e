"""The modes that list, write and import networks as files: from their flags to what they print."""

from ml_collections import ConfigDict

from nlrn_jax.commands import options, recipe
from nlrn_jax.exchanging import shipped, stablehlo
from nlrn_jax.exchanging.authors import as_weights, read_authors, told
from nlrn_jax.exchanging.export import exported
from nlrn_jax.exchanging.file import read_weights, require_free, write_weights
from nlrn_jax.exchanging.telling import at_length, in_one_line

SUPPOSED = "configs/denoise_25.py"  # of a checkpoint of the authors, which does not say


def run_listing() -> None:
    """List the weights that came with the program."""
    if not shipped.names():
        print("no weights came with the program; --mode=export makes some of a run", flush=True)
    for name in shipped.names():
        file = shipped.path_of(name)
        size = file.stat().st_size / 1000
        for line in at_length(name, read_weights(file), size, shipped.RECIPES[name]):
            print(line, flush=True)


def run_export(place: str) -> None:
    """Write the network of a run as a file, or into a folder as hubs have it; or as a program."""
    output, overwrite = options.OUTPUT.value, options.OVERWRITE.value
    require, write = require_free, write_weights
    if options.FORMAT.value == "stablehlo":
        require, write = stablehlo.require_free, stablehlo.write_program
    require(output, overwrite)
    weights = exported(place, options.CHECKPOINT.value[0])
    print(f"{write(output, weights, overwrite)}: {in_one_line(weights)}", flush=True)


def run_import(config: ConfigDict | None) -> None:
    """Write a checkpoint of the authors' programs as a file of weights."""
    output, overwrite = options.OUTPUT.value, options.OVERWRITE.value
    require_free(output, overwrite)
    found = read_authors(",".join(options.CHECKPOINT.value))
    print(f"found        {told(found)}", flush=True)
    weights = as_weights(found, config or recipe.load(SUPPOSED))
    print(f"{write_weights(output, weights, overwrite)}: {in_one_line(weights)}", flush=True)
    if config is None:
        print(
            f"supposed     that it was trained by {SUPPOSED}: name another by --config", flush=True
        )
