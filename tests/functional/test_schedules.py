import pytest
import torch

from manybody.functional.schedules import adaptive_lr, linear


@pytest.mark.parametrize(
    ("lr", "kl", "expected"),
    [
        (3e-4, 0.0161, 2e-4),  # above 2 * 0.008: divided by 1.5
        (3e-4, 0.0160, 3e-4),  # not above
        (3e-4, 0.0041, 3e-4),  # between half and twice
        (3e-4, 0.0040, 3e-4),  # not below
        (3e-4, 0.0039, 4.5e-4),  # below half: multiplied by 1.5
        (1.2e-6, 1.0, 1e-6),  # floor
        (9e-3, 0.0, 1e-2),  # cap
    ],
)
def test_adaptive(run, lr, kl, expected):
    result = run(adaptive_lr, torch.tensor(lr), torch.tensor(kl, dtype=torch.float64), 0.008, 1e-6, 1e-2, 1.5)
    assert result.item() == pytest.approx(expected)


def test_adaptive_with_another_factor(run):
    assert run(adaptive_lr, torch.tensor(1.0), torch.tensor(9.0), 0.1, 0.0, 9.0, 2.0).item() == 0.5


def test_linear():
    # 1e-6 + (1e-3 - 1e-6) * 0.75 after a quarter; constant after the end.
    assert linear(1e-3, 1e-6, 0.0) == pytest.approx(1e-3)
    assert linear(1e-3, 1e-6, 0.25) == pytest.approx(7.5025e-4)
    assert linear(1e-3, 1e-6, 1.0) == linear(1e-3, 1e-6, 2.0) == 1e-6
