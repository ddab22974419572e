"""Which networks are scored together, by which protocol, and where."""

import pytest

from configs import base
from nlrn_jax.config.record import to_json
from nlrn_jax.errors import UserError
from nlrn_jax.scoring import networks as module
from nlrn_jax.scoring.networks import Network, common_levels, find_networks, remarks


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


def cleaner(protocol="", **degrade):
    """Return a network that is trained for these and measured by a protocol."""
    network = denoiser(0.0)
    network.config.degrade.update(degrade)
    network.config.evaluate.protocol = protocol
    return network


PHOTO = {"sigma": (0.0, 20.0), "poisson": (0.0, 40.0), "jpeg": (40, 100)}
BLIND = {"sigma": (0.0, 55.0)}


@pytest.mark.parametrize(
    "protocol, trained, expected, strangers",
    [
        ("", [PHOTO], (10.0, 20.0, 30.0), 0),
        ("photo", [BLIND], (10.0, 20.0, 30.0), 1),
        ("photo", [BLIND, {"poisson": (0.0, 12.0)}], (10.0,), 1),
        ("jpeg", [BLIND, {"jpeg": (75,)}], (75,), 1),
        ("jpeg", [BLIND, PHOTO], (40,), 1),
        ("denoise", [BLIND, PHOTO], (15.0,), 0),
        ("denoise", [{"jpeg": (75,)}], (15.0, 25.0, 50.0), 1),
    ],
)
def test_whoever_knows_what_is_measured_says_where_and_the_others_are_remarked_on(
    protocol, trained, expected, strangers
):
    networks = [cleaner(protocol, **degrade) for degrade in trained]
    assert common_levels(networks, networks[0].config) == expected
    lines = [line for n in networks for line in remarks([n], expected, n.config, [])]
    assert len(lines) == strangers
    for line in lines:
        assert f"was trained for nothing of what {protocol} measures" in line
        assert line.endswith(f", and meets {expected} first here")


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """The workdirs of a denoiser of any sigma and of a network for photographs."""
    monkeypatch.setattr(module, "find_step", lambda run, checkpoint: 4)
    for name, degrade in (("blind", BLIND), ("photo", PHOTO)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(to_json(cleaner(**degrade).config))
    return [str(tmp_path / name) for name in ("blind", "photo")]


def test_networks_of_two_protocols_want_one_named(runs):
    config = base.get_config()
    with pytest.raises(UserError, match=r"denoise and photo: .*--config\.evaluate\.protocol="):
        find_networks(runs, ["newest"], config)
    config.evaluate.protocol = "photo"
    networks = find_networks(runs, ["newest"], config)
    assert common_levels(networks, config) == (10.0, 20.0, 30.0)


def test_what_is_asked_is_checked_by_the_protocol_of_the_run(runs):
    config = base.get_config()
    config.evaluate.classical = "tv"
    find_networks(runs[:1], ["newest"], config)
    with pytest.raises(UserError, match="'tv' should be empty by the protocol photo"):
        find_networks(runs[1:], ["newest"], config)
