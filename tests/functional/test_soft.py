"""SAC's formulas, calculated by hand."""

import math

import pytest
import torch
from torch import tensor

from manybody.functional import soft

ALL = torch.ones(2, dtype=torch.bool)


def test_squashed_neglogp():
    """At raw 0 the slope of tanh is 1 and its logarithm 0; at raw 20 the slope is 4 e^-40, its logarithm log 4 - 40."""
    neglogp = tensor([1.0, 1.0])
    raw = tensor([[0.0, 0.0], [20.0, 0.0]])
    result = soft.squashed_neglogp(neglogp, raw)
    torch.testing.assert_close(result, tensor([1.0, 1.0 + math.log(4.0) - 40.0]))


def test_bounded_logstd():
    """tanh(0) = 0 gives the middle of [-5, 2]; large inputs approach the bounds."""
    result = soft.bounded_logstd(tensor([0.0, 100.0, -100.0]), -5.0, 2.0)
    torch.testing.assert_close(result, tensor([-1.5, 2.0, -5.0]))


def test_target():
    """min(3, 2) + 0.5 * 4 = 4; 1 + 0.9 * 4 = 4.6, and 1 where the episode terminated."""
    value = soft.soft_value(tensor([3.0, 3.0]), tensor([2.0, 2.0]), tensor([4.0, 4.0]), tensor(0.5))
    assert value.tolist() == [4.0, 4.0]
    target = soft.soft_target(tensor([1.0, 1.0]), tensor([0.9, 0.0]), value)
    torch.testing.assert_close(target, tensor([4.6, 1.0]))


def test_losses():
    """q: mean of (1-3)^2 and (2-2)^2 is 2. actor: -(min(1, 5) + 0.1 * 2) = -1.2 and -(min(4, 3) + 0.1 * 4) = -3.4."""
    assert soft.q_loss(tensor([1.0, 2.0]), tensor([3.0, 2.0]), ALL).item() == 2.0
    loss = soft.actor_loss(tensor([1.0, 4.0]), tensor([5.0, 3.0]), tensor([2.0, 4.0]), tensor(0.1), ALL)
    assert loss.item() == pytest.approx(-2.3)


def test_invalid_rows_do_not_contribute():
    first = tensor([True, False])
    assert soft.q_loss(tensor([1.0, 2.0]), tensor([3.0, 9.0]), first).item() == 4.0
    assert soft.q_loss(tensor([1.0, 2.0]), tensor([3.0, 9.0]), ~ALL).item() == 0.0
    loss = soft.actor_loss(tensor([1.0, 4.0]), tensor([5.0, 3.0]), tensor([2.0, 4.0]), tensor(0.1), first)
    assert loss.item() == pytest.approx(-1.2)


@pytest.mark.parametrize(("entropy", "direction"), [(1.0, 1.0), (-3.0, -1.0)])
def test_the_temperature_falls_while_entropy_is_above_its_target(entropy, direction):
    """alpha (entropy - target) with target -2 and alpha 0.5 equals its slope in log alpha: 1.5 and -0.5."""
    log_alpha = tensor(math.log(0.5), requires_grad=True)
    loss = soft.alpha_loss(log_alpha, tensor(entropy), -2.0)
    loss.backward()
    assert loss.item() == pytest.approx(0.5 * (entropy + 2.0))
    assert log_alpha.grad.item() == pytest.approx(loss.item())
    assert math.copysign(1.0, log_alpha.grad.item()) == direction
