import pytest
import torch

from manybody.functional.value import critic_loss, explained_variance


def test_plain_squared_error(run):
    # (3 - 1)^2, (0 - 1)^2, independent of the old value.
    old, values, returns = torch.tensor([[9.0], [9.0]]), torch.tensor([[3.0], [0.0]]), torch.ones(2, 1)
    assert run(critic_loss, old, values, 0.2, returns, False).flatten().tolist() == [4.0, 1.0]


def test_clipping_takes_the_larger_error(run):
    # Old 0, clip 0.2, return 1. Value 0.9: clipped to 0.2, error 0.64 > 0.01. Value 0.1: inside, 0.81 both.
    # Value -5: clipped to -0.2, 1.44 < 36.
    old, returns = torch.zeros(3, 1), torch.ones(3, 1)
    values = torch.tensor([[0.9], [0.1], [-5.0]])
    loss = run(critic_loss, old, values, 0.2, returns, True).flatten()
    assert loss.tolist() == pytest.approx([0.64, 0.81, 36.0])


def test_explained_variance(run):
    returns = torch.tensor([[1.0], [2.0], [3.0], [4.0]])  # variance 1.25
    assert run(explained_variance, returns, returns).item() == 1.0
    assert run(explained_variance, torch.full((4, 1), 9.0), returns).item() == 0.0
    # Residuals -1, 0, 0, 1: variance 0.5; 1 - 0.5 / 1.25.
    values = torch.tensor([[2.0], [2.0], [3.0], [3.0]])
    assert run(explained_variance, values, returns).item() == pytest.approx(0.6)
    # Constant returns have no variance; the result is still finite.
    assert torch.isfinite(run(explained_variance, values, torch.ones(4, 1)))
