"""Every field of a configuration, with its unit and meaning: the published recipe.

The other files here are lab notes that override a few of them. On the command line:
--config.train.steps=1000, --config.data.train=folder:PATH, --config.degrade.sigma='(0.,55.)'.
"""

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder

from nlrn_jax.errors import UserError


def get_config(name: str = "") -> ConfigDict:
    """Return the published recipe (Liu et al. 2018 and the authors' first program)."""
    config = ConfigDict()
    config.task = "denoise"  # 'denoise' (noise, JPEG) or 'sr' (super-resolution)
    config.seed = 0  # weights, crops, noise: everything random

    config.model = ConfigDict()
    config.model.network = "nlrn"  # or 'dncnn', to compare with
    config.model.channels = 1  # 1: grey (denoise) or luma (sr); 3: colour
    config.model.filters = 128  # F, width of the feature map
    config.model.embedding = 64  # l, size of theta and phi
    config.model.steps = 12  # T, recurrent states of nlrn
    config.model.neighborhood = placeholder(int)  # odd side in pixels; None: the whole patch
    config.model.distance = "embedded_gaussian"  # how positions compare: network/block.py lists six
    config.model.propagate = True  # carry the correlation from state to state, or block to block
    config.model.share = True  # of nlrn: the same weights in every state; False: each its own
    config.model.carry = "logits"  # or 'embeddings': less memory, same function; of training nlrn
    config.model.remat = "nothing"  # of nlrn: or formed again, not kept: 'correlation', or 'states'
    config.model.depth = 17  # of dncnn: 3x3 convolutions
    config.model.norms = True  # of dncnn: batch norms
    config.model.blocks = ()  # of dncnn: after which convolutions a non-local block is, as (8, 12)
    config.model.dtype = "float32"  # or 'bfloat16'; softmax and statistics stay float32

    config.degrade = ConfigDict()
    config.degrade.sigma = (25.0,)  # noise in grey levels of 255: one, or lowest and highest
    config.degrade.poisson = ()  # noise that grows with the signal: its sigma at white; (): none
    config.degrade.jpeg = ()  # quality, 1 to 100: one, or lowest and highest; (): no JPEG
    config.degrade.chances = (1.0, 1.0, 1.0)  # of poisson, sigma, jpeg, which come in this order
    config.degrade.scales = (3,)  # factors of super-resolution, one or several mixed

    config.data = ConfigDict()
    config.data.train = "samples"  # samples | folder:PATH | tfds:NAME/CONFIG, commas between
    config.data.holdout = 3  # training images kept aside: validation during training
    config.data.eval = ""  # set5,bsd68,folder:PATH,... one table each; '': the images kept aside
    config.data.root = "data"  # folder that holds the benchmarks which data.eval calls by name
    config.data.patch = 43  # side of a training patch, pixels
    config.data.max_megapixels = 135.0  # of a picture file; what says more is taken for damage
    config.data.workers = 0  # loader processes; 0: threads of this one

    config.train = ConfigDict()
    config.train.start = ""  # weights to begin with: a shipped name, a run, FILE.safetensors
    config.train.steps = 500_000  # of gradient descent, in all
    config.train.batch = 16  # patches a step, on all devices together
    config.train.accumulate = 1  # micro-batches a step: less memory; each has its own statistics
    config.train.learning_rate = 1e-3  # Adam's
    config.train.schedule = "halve"  # at the fractions below; or 'cosine', down to zero
    config.train.halve_at = (0.2, 0.4, 0.6, 0.8, 0.9)  # of train.steps
    config.train.clip = 2.5  # L2 norm of each gradient tensor by itself; 0: off
    config.train.loss_crop = 0  # side of the central square that the loss sees; 0: all pixels
    config.train.freeze_at = 1.0  # of train.steps: the norms keep their statistics from there on
    config.train.ema = 0.0  # decay of the averaged weights that are evaluated; 0: off

    config.log = ConfigDict()
    config.log.every = 100  # steps between lines of metrics.jsonl

    config.checkpoint = ConfigDict()
    config.checkpoint.every = 5_000  # steps between checkpoints
    config.checkpoint.validation_share = 0.1  # of the time, at most; 0: never, 1: each checkpoint
    config.checkpoint.keep = 3  # newest ones kept, and besides them the best
    config.checkpoint.crop = 128  # side of the held-out images' centre that is validated, pixels

    config.evaluate = ConfigDict()
    config.evaluate.whole = False  # True: each pixel once, windows of data.patch, made odd
    config.evaluate.patch = 43  # side of the overlapping patches, pixels
    config.evaluate.stride = 7  # between them, pixels; the published way
    config.evaluate.batch = 16  # patches at a time
    config.evaluate.ensemble = False  # True: average over the eight flips and turns
    config.evaluate.protocol = ""  # denoise[_clipped], jpeg, photo, sr_y[_float], sr_rgb; '': own
    config.evaluate.levels = ()  # sigmas, qualities or scales; (): what is usual of those trained
    config.evaluate.classical = ""  # nl_means,tv,bm3d: classical denoisers to score as well
    return config if not name else variant(config, name)


def quick(config: ConfigDict) -> ConfigDict:
    """Shrink a recipe to minutes on two CPU cores: a small network, short and cosine-shaped."""
    config.model.filters = 32
    config.model.embedding = 16
    config.model.steps = 4
    config.data.patch = 24
    config.train.steps = 500
    config.train.learning_rate = 2e-3
    config.train.schedule = "cosine"
    config.log.every = 50
    config.checkpoint.every = 250
    config.evaluate.patch = 24
    config.evaluate.stride = 12
    config.evaluate.batch = 64
    return config


def variant(config: ConfigDict, name: str) -> ConfigDict:
    """Return the recipe itself for '' and the small one for 'quick' (--config=FILE.py:quick)."""
    if name not in ("", "quick"):
        raise UserError(f"there is no variant {name!r}: leave it out, or use :quick")
    return quick(config) if name == "quick" else config
