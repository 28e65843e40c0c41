import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from manybody.nn.normalizer import MovingMeanStd, RunningMeanStd


def test_one_batch_by_hand():
    # The statistics start as one sample: mean 0, variance 1, count 1. Merge {2, 4}: mean 3, variance 1,
    # count 2. delta 3: mean 0 + 3 * 2/3 = 2; variance (1 * 1 + 1 * 2 + 9 * 1 * 2 / 3) / 3 = 3.
    stats = RunningMeanStd(1)
    out = stats(torch.tensor([[2.0], [4.0]]))
    assert (stats.running_mean.item(), stats.running_var.item(), stats.count.item()) == (2.0, 3.0, 3.0)
    # Normalised by the statistics after the merge: 0 and 2 / sqrt(3).
    assert out.flatten().tolist() == pytest.approx([0.0, 2 / 3**0.5], abs=1e-5)


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=6),
    scale=st.floats(0.01, 100.0),
    shift=st.floats(-100.0, 100.0),
    seed=st.integers(0, 2**16),
)
def test_any_batches_equal_two_passes_in_float64(sizes, scale, shift, seed):
    draw = torch.Generator().manual_seed(seed)
    batches = [shift + scale * torch.randn(size, 3, generator=draw) for size in sizes]
    stats = RunningMeanStd((3,))
    for batch in batches:
        stats(batch)
    # The start counts as one sample with mean 0 and variance 1.
    x = torch.cat(batches).double()
    total = len(x) + 1
    mean = x.sum(dim=0) / total
    var = (1.0 + mean.square() + (x - mean).square().sum(dim=0)) / total
    assert stats.count.item() == total
    torch.testing.assert_close(stats.running_mean, mean, rtol=1e-5, atol=1e-5 * scale + 1e-6 * abs(shift))
    torch.testing.assert_close(stats.running_var, var, rtol=1e-3, atol=1e-4 * scale**2 + 1e-6)


def test_eval_mode_changes_nothing():
    stats = RunningMeanStd((2,))
    stats(torch.randn(5, 2))
    before = {name: value.clone() for name, value in stats.state_dict().items()}
    stats.eval()
    stats(100.0 * torch.randn(5, 2))
    stats(torch.randn(5, 2), denorm=True)
    stats.train()
    stats(torch.randn(5, 2), denorm=True)  # denormalising does not update the statistics
    assert all(torch.equal(value, before[name]) for name, value in stats.state_dict().items())


def test_outputs_are_clamped_at_five_and_denormalised():
    stats = RunningMeanStd(1).eval()
    stats.running_mean.fill_(10.0)
    stats.running_var.fill_(4.0)
    x = torch.tensor([[10.0], [14.0], [100.0]])
    out = stats(x)
    assert out.flatten().tolist() == pytest.approx([0.0, 2.0, 5.0], abs=1e-4)
    assert stats(out, denorm=True).flatten().tolist() == pytest.approx([10.0, 14.0, 20.0], abs=1e-3)


def test_norm_only_scales():
    stats = RunningMeanStd(1, norm_only=True).eval()
    stats.running_mean.fill_(10.0)
    stats.running_var.fill_(4.0)
    out = stats(torch.tensor([[14.0], [100.0]]))
    assert out.flatten().tolist() == pytest.approx([7.0, 50.0], rel=1e-4)
    assert stats(out, denorm=True).flatten().tolist() == pytest.approx([14.0, 100.0], rel=1e-4)


def test_masked_rows_are_ignored():
    torch.manual_seed(0)
    x, mask = torch.randn(6, 2), torch.tensor([True, False, True, True, False, True])
    masked, plain = RunningMeanStd((2,)), RunningMeanStd((2,))
    masked(torch.where(mask.unsqueeze(1), x, 1e6), mask=mask)
    plain(x[mask])
    for name in ("running_mean", "running_var", "count"):
        torch.testing.assert_close(getattr(masked, name), getattr(plain, name))
    # A batch in which every row is masked changes nothing.
    before = masked.running_mean.clone()
    masked.update(x, torch.zeros(6, dtype=torch.bool))
    assert torch.equal(masked.running_mean, before) and masked.count.item() == 5.0


@pytest.mark.parametrize("mask", [None, torch.ones(5, dtype=torch.bool)])
def test_images_by_channel(mask):
    torch.manual_seed(0)
    x = torch.randn(5, 3, 4, 2) * torch.tensor([1.0, 10.0, 100.0]).reshape(3, 1, 1)
    stats = RunningMeanStd((3, 4, 2), per_channel=True)
    out = stats(x, mask=mask)
    assert out.shape == x.shape and stats.running_mean.shape == (3,)
    # Each pixel is a sample: 5 * 4 * 2, plus the initial one.
    assert stats.count.item() == 41.0
    pixels = x.transpose(0, 1).reshape(3, -1).double()
    mean = pixels.sum(dim=1) / 41
    torch.testing.assert_close(stats.running_mean, mean, rtol=1e-5, atol=1e-5)


def test_buffers_are_float64_with_rl_games_names():
    state = RunningMeanStd((4,)).state_dict()
    assert {name: (tuple(value.shape), value.dtype) for name, value in state.items()} == {
        "running_mean": ((4,), torch.float64),
        "running_var": ((4,), torch.float64),
        "count": ((), torch.float64),
    }


def test_many_samples_lose_no_precision():
    # After 1e9 samples of mean 1000, a float32 mean cannot change by 1e-5.
    stats = RunningMeanStd(1)
    stats.count.fill_(1e9)
    stats.running_mean.fill_(1000.0)
    stats(torch.full((1000, 1), 2000.0))
    assert stats.running_mean.item() - 1000.0 == pytest.approx(1e-3, rel=1e-3)  # 1000 * 1000 / (1e9 + 1000)


def test_moving_statistics_by_hand():
    # Momentum 0.5. First batch {1, 3}: mean 2, mean square 5, variance 1. Second {5, 7}: mean 6, square 37.
    # Then mean 4, mean square 21, variance 5.
    stats = MovingMeanStd(0.5, epsilon=0.0)
    assert stats(torch.tensor([1.0, 3.0])).tolist() == pytest.approx([-1.0, 1.0])
    assert stats(torch.tensor([5.0, 7.0])).tolist() == pytest.approx([1 / 5**0.5, 3 / 5**0.5])
    stats.eval()
    assert stats(torch.tensor([4.0])).item() == 0.0
    assert stats.moving_mean.item() == 4.0


def test_moving_statistics_of_equal_values_are_finite():
    assert torch.isfinite(MovingMeanStd(0.5)(torch.full((3,), 1e3))).all()
