"""Running and moving statistics beside RL Games 1.6.5's."""

import numpy as np
import pytest
import torch
from rl_games.algos_torch import moving_mean_std as their_moving
from rl_games.algos_torch import running_mean_std as their_running

from manybody.compat.rl_games.algos_torch import moving_mean_std as moving
from manybody.compat.rl_games.algos_torch import running_mean_std as running


@pytest.fixture
def draw():
    return torch.Generator().manual_seed(0)


def close(result, expected):
    torch.testing.assert_close(result, expected, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(
    ("insize", "options"),
    [
        (3, {}),
        (np.int64(3), {}),
        ((3,), {}),
        ([2, 3], {}),
        ((3,), {"norm_only": True}),
        ((1,), {"epsilon": 1e-3}),
    ],
)
def test_running(draw, insize, options):
    ours, theirs = (x.RunningMeanStd(insize, **options) for x in (running, their_running))
    shape = tuple(np.atleast_1d(insize))
    for _ in range(3):
        x = 5.0 + 2.0 * torch.randn(40, *shape, generator=draw)
        close(ours(x), theirs(x))
    state = theirs.state_dict()
    assert list(ours.state_dict()) == list(state)
    for name, value in ours.state_dict().items():
        assert value.dtype == state[name].dtype
        close(value, state[name])
    ours.eval(), theirs.eval()
    x = torch.randn(10, *shape, generator=draw)
    close(ours(x), theirs(x))
    if not options.get("norm_only"):
        close(ours(x, True), theirs(x, True))


def test_running_per_channel(draw):
    ours, theirs = (x.RunningMeanStd((3, 4, 5), per_channel=True) for x in (running, their_running))
    x = 1.0 + torch.randn(200, 3, 4, 5, generator=draw)
    # Theirs counts images, ours pixels: the first value, of weight one, weighs 20 times less.
    torch.testing.assert_close(ours(x), theirs(x), atol=0.02, rtol=0.0)
    assert ours.running_mean.shape == theirs.running_mean.shape == (3,)


def test_undoing_changes_no_statistics(draw):
    """There, the values that are given back enter them too."""
    ours = running.RunningMeanStd((1,))
    ours(torch.zeros(4, 1), True)
    assert ours.count == 1.0


def test_masked_rows_are_left_out(draw):
    """Per element; RL Games has one mean for all elements."""
    x = torch.randn(6, 2, generator=draw)
    mask = torch.tensor([1, 0, 1, 1, 0, 1])
    masked, plain = running.RunningMeanStd((2,)), running.RunningMeanStd((2,))
    masked(x, mask=mask), plain(x[mask.bool()])
    close(masked.running_mean, plain.running_mean)
    close(masked.running_var, plain.running_var)


def test_a_subclass_merges_moments_itself(draw):
    batches = torch.randn(2, 30, 3, generator=draw)

    class Vectorized(running.RunningMeanStd):
        def forward(self, input, denorm=False, mask=None):
            moments = input.mean(0), input.var(0, unbiased=False), input.size(0)
            self.running_mean, self.running_var, self.count = self._update_mean_var_count_from_moments(
                self.running_mean, self.running_var, self.count, *moments
            )
            return input

    ours, theirs = Vectorized((3,)), their_running.RunningMeanStd((3,))
    for x in batches:
        ours(x), theirs(x)
    close(ours.running_var, theirs.running_var)


def test_dictionaries(draw):
    shapes = {"a": (3,), "b": (2, 2)}
    ours, theirs = (x.RunningMeanStdObs(shapes, 1e-4) for x in (running, their_running))
    obs = {key: torch.randn(20, *shape, generator=draw) for key, shape in shapes.items()}
    mine, real = ours(obs), theirs(obs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for key in shapes:
        close(mine[key], real[key])
    ours.eval(), theirs.eval()
    close(ours(obs, True)["b"], theirs(obs, True)["b"])


def test_moving_moments():
    """RL Games' form cannot be trained: it puts a tensor where a parameter is. (0, 4): mean 2, mean square 8."""
    with pytest.raises(TypeError, match="Parameter"):
        their_moving.GeneralizedMovingStats((1,))(torch.tensor([0.0, 4.0]))
    stats = moving.GeneralizedMovingStats((1,), decay=0.75)
    assert stats(torch.tensor([0.0, 4.0])).shape == (2,)
    assert (stats.mean.item(), stats.sqrs.item(), stats.step.item()) == (0.5, 2.0, 2)  # a quarter of (2, 8)
    stats.eval()
    assert stats(torch.tensor([1.0])).item() == pytest.approx(0.5 / 1.75**0.5)  # the variance is 2 - 0.25
    assert stats(torch.tensor([0.0]), denorm=True).item() == 0.5
    stats.train()
    stats(torch.tensor([0.0, 0.0, 100.0]), mask=torch.tensor([1, 1, 0]))
    assert stats.mean.item() == 0.375  # 0.75 * 0.5: the masked row counts for nothing


@pytest.mark.parametrize("impl", ["mean_mag", "perc_ema"])
def test_unknown_statistics(impl):
    with pytest.raises(NotImplementedError, match=f"got '{impl}'; expected 'mean_std'"):
        moving.GeneralizedMovingStats((1,), impl)
