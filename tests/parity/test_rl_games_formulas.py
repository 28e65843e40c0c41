"""Each function returns the numbers of RL Games 1.6.5."""

import itertools

import pytest
import torch

from manybody.engine.metrics import AverageMeter, mean_of
from manybody.engine.optim import AdaptiveScheduler, LinearScheduler
from manybody.functional import policy
from manybody.functional.returns import gae
from manybody.functional.reward import RewardsShaper
from manybody.functional.stats import normalize_advantage
from manybody.functional.value import critic_loss
from manybody.nn.normalizer import RunningMeanStd


@pytest.fixture
def draw():
    return torch.Generator().manual_seed(0)


def test_gae(make_reference, draw):
    reference = make_reference()
    rewards, values = torch.randn(2, 8, 8, 1, generator=draw)
    dones = (torch.rand(8, 8, generator=draw) < 0.3).float()
    last_values, last_dones = torch.randn(8, 1, generator=draw), (torch.rand(8, generator=draw) < 0.5).float()
    expected = reference.discount_values(last_dones, last_values, dones, values, rewards)
    result = gae(rewards, values, dones, last_values, last_dones, reference.gamma, reference.tau)
    torch.testing.assert_close(result, expected, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("ppo", [True, False])
@pytest.mark.parametrize("name", ["actor_loss", "smoothed_actor_loss"])
def test_actor_losses(draw, name, ppo):
    from rl_games.common import common_losses

    old, new, advantage = torch.randn(3, 500, generator=draw)
    expected = getattr(common_losses, name)(old, new, advantage, ppo, 0.2)
    result = getattr(policy, name)(old, new, advantage, ppo, 0.2)
    torch.testing.assert_close(result, expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("clip_value", [True, False])
def test_critic_loss(draw, clip_value):
    from rl_games.common import common_losses

    old, values, returns = torch.randn(3, 500, 2, generator=draw)
    expected = common_losses.critic_loss(None, old, values, 0.2, returns, clip_value)
    torch.testing.assert_close(critic_loss(old, values, 0.2, returns, clip_value), expected, atol=1e-6, rtol=1e-6)


def test_bound_and_regularisation(make_reference, draw):
    reference = make_reference()
    mu = 2.0 * torch.randn(500, 3, generator=draw)
    torch.testing.assert_close(policy.bound_loss(mu), reference.bound_loss(mu), atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(policy.reg_loss(mu), reference.reg_loss(mu), atol=1e-6, rtol=1e-6)


def test_policy_kl(draw):
    from rl_games.algos_torch.torch_ext import policy_kl

    mu, old_mu = torch.randn(2, 500, 3, generator=draw)
    sigma, old_sigma = (0.3 * torch.randn(2, 500, 3, generator=draw)).exp()
    expected = policy_kl(mu, sigma, old_mu, old_sigma, reduce=False)
    # RL Games adds 1e-5 to the standard deviations; for small ones, see test_rl_games_defects.py.
    torch.testing.assert_close(policy.policy_kl(mu, sigma, old_mu, old_sigma), expected, atol=1e-3, rtol=1e-3)


def test_normalized_advantages(draw):
    from rl_games.common.common_losses import normalize_advantage as reference

    advantage = torch.randn(500, generator=draw)
    torch.testing.assert_close(normalize_advantage(advantage), reference(advantage), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(
    ("insize", "options"),
    [((4,), {}), ((4,), {"norm_only": True}), ((4,), {"per_channel": True}), ((2, 3), {})],
)
def test_running_mean_std(draw, insize, options):
    from rl_games.algos_torch.running_mean_std import RunningMeanStd as Reference

    ours, reference = RunningMeanStd(insize, **options), Reference(insize, **options)
    for size, scale in ((16, 1.0), (5, 30.0), (64, 0.1)):
        x = 2.0 + scale * torch.randn(size, *insize, generator=draw)
        torch.testing.assert_close(ours(x), reference(x), atol=1e-6, rtol=1e-5)
    ours.eval(), reference.eval()
    torch.testing.assert_close(ours(x), reference(x), atol=1e-6, rtol=1e-5)
    for name in ("running_mean", "running_var"):
        torch.testing.assert_close(getattr(ours, name), getattr(reference, name), rtol=1e-6, atol=1e-6)
    assert list(ours.state_dict()) == list(reference.state_dict())


def test_each_pixel_of_an_image_is_a_sample():
    """RL Games counts each image as one sample; this library counts each pixel.

    So the first batch outweighs the initial statistics, mean 0 and variance 1, as it does for vectors.
    """
    from rl_games.algos_torch.running_mean_std import RunningMeanStd as Reference

    ours, reference = RunningMeanStd((1, 10, 10), per_channel=True), Reference((1, 10, 10), per_channel=True)
    x = torch.full((1, 1, 10, 10), 8.0)
    ours(x), reference(x)
    assert (ours.count.item(), reference.count.item()) == (101.0, 2.0)
    assert ours.running_mean.item() == pytest.approx(8.0 * 100 / 101)
    assert reference.running_mean.item() == pytest.approx(4.0)


def test_denormalised_values(draw):
    from rl_games.algos_torch.running_mean_std import RunningMeanStd as Reference

    ours, reference = RunningMeanStd((1,)), Reference((1,))
    x = 3.0 * torch.randn(50, 1, generator=draw)
    ours(x), reference(x)
    ours.eval(), reference.eval()
    y = 4.0 * torch.randn(50, 1, generator=draw)
    torch.testing.assert_close(ours(y, denorm=True), reference(y, denorm=True), atol=1e-6, rtol=1e-6)


def test_adaptive_scheduler():
    from rl_games.common.schedulers import AdaptiveScheduler as Reference

    ours, reference = AdaptiveScheduler(0.008, 1e-6, 1e-2, 1.5), Reference(0.008)
    lr, expected = torch.tensor(3e-4), 3e-4
    for kl in [0.001] * 12 + [0.01] * 3 + [0.5] * 40 + [0.0161, 0.0159, 0.0041, 0.0039]:
        lr, _ = ours.update(lr, torch.tensor(0.0), 0, 0, torch.tensor(kl))
        expected, _ = reference.update(expected, 0.0, 0, 0, kl)
        assert lr.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("use_epochs", "to_entropy"), list(itertools.product([True, False], repeat=2)))
def test_linear_scheduler(use_epochs, to_entropy):
    from rl_games.common.schedulers import LinearScheduler as Reference

    ours = LinearScheduler(3e-4, 1e-6, 50, use_epochs, to_entropy, 0.02)
    reference = Reference(
        3e-4, max_steps=50, use_epochs=use_epochs, apply_to_entropy=to_entropy, start_entropy_coef=0.02
    )
    for now in (0, 1, 25, 49, 50, 80):
        epoch, frame = (now, 999) if use_epochs else (999, now)
        expected = reference.update(3e-4, 0.02, epoch, frame, 0.0)
        result = ours.update(torch.tensor(3e-4), torch.tensor(0.02), epoch, frame, torch.tensor(0.0))
        assert [x.item() for x in result] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"scale_value": 0.01, "shift_value": -8.0},
        {"scale_value": 2.0, "min_val": -1.0, "max_val": 3.0},
        {"shift_value": 10.0, "log_val": True},
    ],
)
def test_rewards_shaper(draw, settings):
    from rl_games.common.tr_helpers import DefaultRewardsShaper

    reward = torch.randn(100, 1, generator=draw)
    assert torch.equal(RewardsShaper(**settings)(reward), DefaultRewardsShaper(**settings)(reward))


def test_average_meter(draw):
    from rl_games.algos_torch.torch_ext import AverageMeter as Reference

    ours, reference = AverageMeter((1,), 10, torch.device("cpu")), Reference(1, 10)
    for share in [0.0, 0.1, 0.5, 1.0, 0.0, 0.2, 0.9]:
        values = torch.randn(16, 1, generator=draw)
        done = torch.rand(16, generator=draw) < share
        ours.update(values, done)
        reference.update(values[done])
        torch.testing.assert_close(ours.mean, reference.mean)
        assert ours.current_size.item() == reference.current_size
    ours.clear(), reference.clear()
    assert ours.mean.item() == reference.mean.item() == ours.current_size.item() == reference.current_size == 0


def test_mean_list(draw):
    from rl_games.algos_torch.torch_ext import mean_list

    values = list(torch.randn(5, generator=draw))
    torch.testing.assert_close(mean_of(values), mean_list(values))


def test_variance_scaling(draw):
    """The standard deviations are equal. RL Games truncates at +-2, this library at two standard deviations."""
    from rl_games.algos_torch.torch_ext import variance_scaling_initializer

    from manybody.nn.layers import variance_scaling

    ours, reference = torch.empty(400, 300), torch.empty(400, 300)
    variance_scaling(ours, "fan_in", 2.0)
    variance_scaling_initializer(reference, mode="fan_in", scale=2.0)
    assert ours.std().item() == pytest.approx(reference.std().item(), rel=0.02)


def test_action_mapping(draw):
    from rl_games.common.a2c_common import rescale_actions as reference

    from manybody.functional.policy import rescale_actions

    low, high = -torch.rand(3, generator=draw), torch.rand(3, generator=draw)
    action = 2.0 * torch.rand(50, 3, generator=draw) - 1.0
    torch.testing.assert_close(rescale_actions(low, high, action), reference(low, high, action), atol=1e-7, rtol=1e-6)


def test_flattening_and_minibatches(draw):
    from rl_games.common.a2c_common import swap_and_flatten01 as reference_order
    from rl_games.common.datasets import PPODataset as Reference

    from manybody.data.minibatch import PPODataset
    from manybody.data.rollout import swap_and_flatten01

    x = torch.randn(8, 4, 3, generator=draw)
    assert torch.equal(swap_and_flatten01(x), reference_order(x))
    values = {name: swap_and_flatten01(x).clone() for name in ("obs", "mu", "sigma")}
    ours, reference = PPODataset(32, 8), Reference(32, 8, False, False, "cpu", 4)
    (
        ours.update_values_dict(dict(values)),
        reference.update_values_dict({k: v.clone() for k, v in values.items()}),
    )
    for index in range(len(reference)):
        batch, expected = ours[index], reference[index]
        assert torch.equal(batch["obs"], expected["obs"])
        ours.update_mu_sigma(index, batch["mu"] + 1, batch["sigma"] * 2)
        reference.update_mu_sigma(expected["mu"] + 1, expected["sigma"] * 2)
    assert torch.equal(ours.values_dict["mu"], reference.values_dict["mu"])
    assert torch.equal(ours.values_dict["sigma"], reference.values_dict["sigma"])
    assert len(ours) == len(reference)
