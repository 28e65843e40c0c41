import math

import pytest
import torch

from manybody.functional import policy


def test_actor_loss_clips_the_ratio(run):
    # ratio = exp(old - new) = 0.5, 1, 2 with e_clip 0.2.
    # advantage 1:  max(-r, -clamp(r)) = max(-0.5, -0.8), -1, max(-2, -1.2)  = -0.5, -1, -1.2
    # advantage -1: max(r, clamp(r))   = max(0.5, 0.8), 1, max(2, 1.2)       = 0.8, 1, 2
    neglogp = torch.zeros(6)
    old = torch.tensor([0.5, 1.0, 2.0, 0.5, 1.0, 2.0]).log()
    advantage = torch.tensor([1.0, 1.0, 1.0, -1.0, -1.0, -1.0])
    loss = run(policy.actor_loss, old, neglogp, advantage, True, 0.2)
    torch.testing.assert_close(loss, torch.tensor([-0.5, -1.0, -1.2, 0.8, 1.0, 2.0]))


@pytest.mark.parametrize("loss", [policy.actor_loss, policy.smoothed_actor_loss])
def test_without_ppo_the_loss_is_the_policy_gradient(run, loss):
    # 3 * 2 and 0.5 * -4, independent of the old probability.
    result = run(loss, torch.tensor([9.0, 9.0]), torch.tensor([3.0, 0.5]), torch.tensor([2.0, -4.0]), False, 0.2)
    assert result.tolist() == [6.0, -2.0]


def test_the_gradient_of_a_clipped_sample_is_zero():
    neglogp = torch.zeros(2, requires_grad=True)
    # ratio 2 with advantage 1 is clipped; ratio 2 with advantage -1 is not: d/dneglogp of ratio is -ratio = -2.
    loss = policy.actor_loss(torch.tensor([2.0, 2.0]).log(), neglogp, torch.tensor([1.0, -1.0]), True, 0.2)
    loss.sum().backward()
    assert neglogp.grad.tolist() == pytest.approx([0.0, -2.0])


def test_smooth_clamp(run):
    # Between 0.8 and 1.2: 1, the middle, is unchanged; large inputs give the bounds; the slope in the middle is
    # 4 * width * sigmoid'(0) / width = 4 * 1/4 = 1. At x = 1.1: u = 4 * 0.1 / 0.4 = 1, 0.8 + 0.4 * sigmoid(1).
    x = torch.tensor([-10.0, 1.0, 1.1, 10.0])
    expected = [0.8, 1.0, 0.8 + 0.4 / (1 + math.exp(-1)), 1.2]
    assert run(policy.smooth_clamp, x, 0.8, 1.2).tolist() == pytest.approx(expected)
    middle = torch.tensor(1.0, requires_grad=True)
    policy.smooth_clamp(middle, 0.8, 1.2).backward()
    assert middle.grad.item() == pytest.approx(1.0)


def test_smoothed_actor_loss_uses_the_smooth_clamp(run):
    # ratio 2, advantage 1: max(-2, -smooth(2)), and smooth(2) = 0.8 + 0.4 * sigmoid(4 * 1 / 0.4) = 1.19998...
    smooth = 0.8 + 0.4 / (1 + math.exp(-10))
    loss = run(policy.smoothed_actor_loss, torch.tensor([2.0]).log(), torch.zeros(1), torch.ones(1), True, 0.2)
    assert loss.item() == pytest.approx(-smooth)


def test_bounds(run):
    # Beyond 1.1: (1.5 - 1.1)^2 = 0.16 and (-2.1 + 1.1)^2 = 1; inside: 0. Summed over the two actions.
    mu = torch.tensor([[1.5, 0.0], [-2.1, 1.5], [1.1, -1.0]])
    assert run(policy.bound_loss, mu).tolist() == pytest.approx([0.16, 1.16, 0.0])
    # AMP's bound is 1: (1.5 - 1)^2, (2.1 - 1)^2 + 0.25, 0.1^2.
    assert run(policy.bound_loss, mu, 1.0).tolist() == pytest.approx([0.25, 1.46, 0.01])
    # 1.5^2; 2.1^2 + 1.5^2 = 4.41 + 2.25; 1.21 + 1.
    assert run(policy.reg_loss, mu).tolist() == pytest.approx([2.25, 6.66, 2.21])


def test_gaussian_formulas_by_hand(run):
    x, mu, sigma = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 0.0]]), torch.tensor([[2.0, 1.0]])
    # z = 1, 0: (1 + 0) / 2 + log 2 + 2 * log(2 pi) / 2.
    expected = 0.5 + math.log(2) + math.log(2 * math.pi)
    assert run(policy.gaussian_neglogp, x, mu, sigma, sigma.log()).item() == pytest.approx(expected)
    # Two actions: 2 * (1 + log 2 pi) / 2 + log 2.
    expected = 1 + math.log(2 * math.pi) + math.log(2)
    assert run(policy.gaussian_entropy, sigma.log()).item() == pytest.approx(expected)


def test_kl_by_hand(run):
    # New N(1, 1) from old N(0, 2): log 2 + (1 + 1) / (2 * 4) - 1/2. Two equal actions.
    one, two = torch.ones(1, 2), torch.full((1, 2), 2.0)
    expected = 2 * (math.log(2) + 0.25 - 0.5)
    assert run(policy.policy_kl, one, one, 0 * one, two).item() == pytest.approx(expected)
    assert run(policy.policy_kl, one, two, one, two).item() == 0.0


def test_clip_fraction(run):
    # Ratios 1, 1.1, 1.3, 0.5 with e_clip 0.2: the last two are clipped.
    old = torch.tensor([1.0, 1.1, 1.3, 0.5]).log()
    assert run(policy.clip_fraction, old, torch.zeros(4), 0.2).item() == 0.5
