"""Losses, schedules, helpers and divergences beside RL Games 1.6.5's."""

import itertools

import numpy as np
import pytest
import torch
from rl_games.common import common_losses as their_losses
from rl_games.common import divergence as their_divergence
from rl_games.common import schedulers as their_schedulers
from rl_games.common import tr_helpers as their_helpers

from manybody.compat.rl_games.common import common_losses, divergence, schedulers, tr_helpers


@pytest.fixture
def draw():
    return torch.Generator().manual_seed(0)


def close(result, expected):
    torch.testing.assert_close(result, expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("ppo", [True, False])
@pytest.mark.parametrize("name", ["actor_loss", "smoothed_actor_loss"])
def test_actor_losses(draw, name, ppo):
    rows = torch.randn(3, 100, generator=draw)
    close(getattr(common_losses, name)(*rows, ppo, 0.2), getattr(their_losses, name)(*rows, ppo, 0.2))


@pytest.mark.parametrize("clip_value", [True, False, 0.2])
def test_critic_loss(draw, clip_value):
    old, values, returns = torch.randn(3, 100, 2, generator=draw)
    expected = their_losses.critic_loss(None, old, values, 0.2, returns, clip_value)
    close(common_losses.critic_loss(None, old, values, 0.2, returns, clip_value), expected)
    close(common_losses.default_critic_loss(old, values, 0.2, returns, clip_value), expected)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("IdentityScheduler", {}),
        ("AdaptiveScheduler", {"kl_threshold": 0.016}),
        ("LinearScheduler", {"start_lr": 3e-4, "max_steps": 50}),
        (
            "LinearScheduler",
            {"start_lr": 3e-4, "max_steps": 50, "use_epochs": False, "apply_to_entropy": True},
        ),
        (
            "LinearScheduler",
            {
                "start_lr": 1e-3,
                "min_lr": 1e-5,
                "max_steps": 7,
                "apply_to_entropy": True,
                "start_entropy_coef": 0.1,
            },
        ),
    ],
)
def test_schedules(name, arguments):
    ours, theirs = (getattr(x, name)(**arguments) for x in (schedulers, their_schedulers))
    assert ours.__dict__.items() >= theirs.__dict__.items()
    for (lr, entropy), epoch, kl in itertools.product(
        [(3e-4, 0.01), (1e-6, 0.0), (9e-3, 0.1)], (0, 3, 60), (0.0, 0.01, 0.2)
    ):
        expected = theirs.update(lr, entropy, epoch, 10 * epoch, kl)
        result = ours.update(lr, entropy, epoch, 10 * epoch, kl)
        assert result == pytest.approx(expected, rel=1e-12)
        assert all(type(x) is float for x in result)


def test_a_threshold_may_change():
    """Population-based training writes to the attribute."""
    scheduler = schedulers.AdaptiveScheduler(0.008)
    assert scheduler.update(1e-4, 0.0, 1, 0, 0.02)[0] == pytest.approx(1e-4 / 1.5)  # 0.02 > 2 * 0.008
    scheduler.kl_threshold = 0.016
    assert scheduler.update(1e-4, 0.0, 1, 0, 0.02, anything=1)[0] == 1e-4


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"scale_value": 0.1, "shift_value": -1},
        {"min_val": -1, "max_val": 1},
        {"min_val": 0.5, "log_val": True},
    ],
)
def test_shaped_rewards(draw, arguments):
    reward = torch.randn(20, 1, generator=draw)
    ours, theirs = (x.DefaultRewardsShaper(**arguments) for x in (tr_helpers, their_helpers))
    close(ours(reward), theirs(reward))
    ours, theirs = (x.DefaultRewardsShaper(**arguments, is_torch=False) for x in (tr_helpers, their_helpers))
    np.testing.assert_allclose(ours(reward.numpy()), theirs(reward.numpy()), rtol=1e-6)


def test_values_that_fall():
    ours, theirs = (x.LinearValueProcessor(1.0, 0.1, 100) for x in (tr_helpers, their_helpers))
    assert [ours(frame) for frame in (0, 30, 100, 500)] == pytest.approx([theirs(frame) for frame in (0, 30, 100, 500)])


@pytest.mark.parametrize("add_batch_dim", [True, False])
def test_dictionaries_of_arrays(add_batch_dim):
    dicts = [{"a": np.arange(3.0) + i, "b": i} for i in range(2)]
    ours, theirs = (x.dicts_to_dict_with_arrays(dicts, add_batch_dim) for x in (tr_helpers, their_helpers))
    assert list(ours) == list(theirs)
    for key in ours:
        np.testing.assert_array_equal(ours[key], theirs[key])
    assert tr_helpers.dicts_to_dict_with_arrays(dicts[:1], add_batch_dim) == dicts[:1]


def test_batches_of_one():
    for obs in (torch.zeros(3), torch.zeros(2, 3), torch.zeros(1), torch.zeros(1, 3)):
        assert tr_helpers.unsqueeze_obs(obs).shape == their_helpers.unsqueeze_obs(obs).shape
    nested = tr_helpers.unsqueeze_obs({"obs": {"a": torch.zeros(4)}, "states": torch.zeros(1)})
    assert (nested["obs"]["a"].shape, nested["states"].shape) == ((1, 4), (1,))
    for shape in ((4, 3), (4, 3, 2, 5)):
        expected = their_helpers.flatten_first_two_dims(torch.zeros(shape)).shape
        assert tr_helpers.flatten_first_two_dims(torch.zeros(shape)).shape == expected


def test_divergences(draw):
    p, q = torch.randn(2, 30, 4, generator=draw).log_softmax(dim=-1)
    close(divergence.d_kl_discrete(p, q), their_divergence.d_kl_discrete(p, q))
    close(divergence.d_kl_discrete_list([p, q], [q, p]), their_divergence.d_kl_discrete_list([p, q], [q, p]))
    means, sigmas = torch.randn(2, 30, 4, generator=draw), torch.randn(2, 30, 4, generator=draw).exp()
    normal = [(means[i], sigmas[i]) for i in (0, 1)]
    close(divergence.d_kl_normal(*normal), their_divergence.d_kl_normal(*normal))
