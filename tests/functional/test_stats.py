import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from manybody.functional import stats


def test_merging_by_hand(run):
    # {0, 2}: mean 1, variance 1. {4, 6, 8}: mean 6, variance 8/3. Together 0 2 4 6 8: mean 4, variance 8.
    mean, var, count = run(
        stats.merge_moments,
        torch.tensor(1.0),
        torch.tensor(1.0),
        torch.tensor(2.0),
        torch.tensor(6.0),
        torch.tensor(8.0 / 3.0),
        3.0,
    )
    assert (mean.item(), count.item()) == (4.0, 5.0)
    assert var.item() == pytest.approx(8.0)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=8), min_size=1, max_size=6))
def test_merging_any_batches_equals_two_passes_over_all(batches):
    mean, var, count = (torch.zeros((), dtype=torch.float64) for _ in range(3))
    for batch in batches:
        x = torch.tensor(batch, dtype=torch.float64)
        mean, var, count = stats.merge_moments(mean, var, count, x.mean(), x.var(correction=0), float(len(x)))
    everything = torch.tensor([x for batch in batches for x in batch], dtype=torch.float64)
    torch.testing.assert_close(mean, everything.mean())
    torch.testing.assert_close(var, everything.var(correction=0), rtol=1e-7, atol=1e-6)


def test_masked_mean(run):
    # Rows 0 and 2: (1 + 5) / 2 and (2 + 6) / 2.
    values = torch.tensor([[1.0, 2.0], [30.0, 40.0], [5.0, 6.0]])
    assert run(stats.masked_mean, values, torch.tensor([True, False, True])).tolist() == [3.0, 4.0]
    assert run(stats.masked_mean, values, torch.zeros(3, dtype=torch.bool)).tolist() == [0.0, 0.0]
    assert run(stats.masked_mean, values[:, 0], torch.tensor([True, False, True])).item() == 3.0


def test_normalised_advantages(run):
    # Mean 2, unbiased standard deviation sqrt((1 + 0 + 1) / 2) = 1.
    assert run(stats.normalize_advantage, torch.tensor([1.0, 2.0, 3.0])).tolist() == pytest.approx([-1.0, 0.0, 1.0])
    # All equal: 0 / 1e-8, not NaN.
    assert run(stats.normalize_advantage, torch.full((4,), 7.0)).tolist() == [0.0] * 4


def test_rows_sane(run):
    x = torch.tensor([[1.0, -2.0], [float("nan"), 0.0], [float("inf"), 0.0], [0.0, -1e16], [1e15, 0.0]])
    assert run(stats.rows_finite, x).tolist() == [True, False, False, False, True]
    assert run(stats.rows_finite, x[:, 0]).tolist() == [True, False, False, True, True]
