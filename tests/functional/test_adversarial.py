"""The discriminator's formulas, calculated by hand."""

import math

import pytest
import torch
from torch import nn, tensor

from manybody.functional import adversarial


def test_the_loss_is_log_two_when_every_logit_is_zero(run):
    # At logit 0 both terms are -log(1/2): 1/2 (log 2 + log 2). An agent's logit of -log 3 gives D = 1/4: -log(3/4).
    zero = torch.zeros(3, 1)
    assert run(adversarial.discriminator_loss, zero, zero).item() == pytest.approx(math.log(2))
    agent = torch.full((3, 1), -math.log(3))
    expected = 0.5 * (-math.log(0.75) + math.log(2))
    assert run(adversarial.discriminator_loss, agent, zero).item() == pytest.approx(expected)


def test_style_reward(run):
    # The reward is log 2 for D = 1/2, log 4 for D = 3/4, and at most -log 1e-4. Scale 2 doubles it.
    reward = run(adversarial.style_reward, tensor([0.0, math.log(3), 50.0]), 2.0)
    torch.testing.assert_close(reward, 2 * tensor([math.log(2), math.log(4), -math.log(1e-4)]))


def test_the_penalty_of_a_linear_layer_is_its_squared_slope(run):
    # d (3x - 4y) / d (x, y) = (3, -4) everywhere: 25. The gradient with respect to the weights is 2 w.
    line = nn.Linear(2, 1)
    with torch.no_grad():
        line.weight.copy_(tensor([[3.0, -4.0]]))
    points = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    logits, penalty = run(adversarial.logits_and_penalty, line, points)
    torch.testing.assert_close(logits, line(points))
    assert penalty.item() == pytest.approx(25.0)
    penalty.backward()
    torch.testing.assert_close(line.weight.grad, tensor([[6.0, -8.0]]))


def test_the_penalty_of_a_network_equals_autograd():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 1))
    points = torch.randn(6, 3, requires_grad=True)
    (gradient,) = torch.autograd.grad(network(points).sum(), points, create_graph=True)
    expected = gradient.square().sum(dim=1).mean()
    _, penalty = adversarial.logits_and_penalty(network, points.detach())
    torch.testing.assert_close(penalty, expected)
    result, reference = (torch.autograd.grad(x, network[0].weight)[0] for x in (penalty, expected))
    torch.testing.assert_close(result, reference)


def test_small_formulas(run):
    assert run(adversarial.sum_of_squares, [tensor([1.0, 2.0]), tensor([[3.0]])]).item() == 14.0
    right = run(adversarial.accuracy, tensor([-1.0, 2.0]), tensor([1.0, 1.0, 1.0, -1.0]))
    assert [float(x) for x in right] == [0.5, 0.75]
