"""Which networks are scored together, and where."""

import pytest

from configs import base
from nlrn_jax.errors import UserError
from nlrn_jax.scoring.networks import Network, common_levels, remarks


def denoiser(*sigma):
    """Return the network of a run that was trained for a noise level or a range."""
    config = base.get_config()
    config.degrade.sigma = sigma
    return Network("NLRN", f"runs/{sigma}", 0, config)


@pytest.mark.parametrize(
    "trained, expected",
    [
        ([(25.0,)], (25.0,)),
        ([(0.0, 55.0)], (15.0, 25.0, 50.0)),
        ([(0.0, 55.0), (25.0,)], (25.0,)),
        ([(17.0,), (0.0, 55.0)], (17.0,)),
        ([(0.0, 55.0), (17.0,)], (17.0,)),
        ([(0.0, 10.0)], (5.0,)),
        ([(5.0, 30.0), (20.0, 60.0)], (25.0,)),
    ],
)
def test_networks_are_scored_where_all_of_them_were_trained(trained, expected):
    networks = [denoiser(*sigma) for sigma in trained]
    assert common_levels(networks, networks[0].config) == expected
    assert not remarks(networks[:1], expected, networks[0].config, [])


def test_networks_that_have_no_level_in_common_want_one_named():
    networks = [denoiser(15.0), denoiser(20.0, 55.0)]
    with pytest.raises(UserError, match=r"--config\.evaluate\.levels="):
        common_levels(networks, networks[0].config)


def test_levels_that_are_named_are_scored_and_those_outside_the_training_remarked_on():
    network = denoiser(0.0, 20.0)
    network.config.evaluate.levels = (10.0, 50.0)
    assert common_levels([network], network.config) == (10.0, 50.0)
    (line,) = remarks([network], (10.0, 50.0), network.config, [])
    assert line.endswith("was trained for (0.0, 20.0), and meets (50.0,) first here")
