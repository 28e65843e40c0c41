"""``torch_ext`` beside RL Games 1.6.5's: the same numbers, but where its are wrong."""

import errno
import math
import os

import numpy as np
import pytest
import torch
from rl_games.algos_torch import torch_ext as theirs

from manybody.compat.rl_games.algos_torch import torch_ext as ours
from manybody.engine.checkpoint import CheckpointError


@pytest.fixture
def draw():
    return torch.Generator().manual_seed(0)


def close(result, expected, rtol=1e-6):
    torch.testing.assert_close(result, expected, atol=1e-6, rtol=rtol)


def test_policy_kl_is_exact(draw):
    mu, old_mu = torch.randn(2, 100, 3, generator=draw)
    sigma, old_sigma = (0.3 * torch.randn(2, 100, 3, generator=draw)).exp()
    each = ours.policy_kl(mu, sigma, old_mu, old_sigma, False)
    close(each, theirs.policy_kl(mu, sigma, old_mu, old_sigma, False), rtol=1e-3)  # theirs adds 1e-5 twice
    close(ours.policy_kl(mu, sigma, old_mu, old_sigma), each.mean())
    assert ours.policy_kl(mu, sigma, mu, sigma).item() == 0.0
    assert ours.policy_kl(mu, sigma, mu, sigma, reduce=False).shape == (100,)


@pytest.mark.parametrize("masked", [False, True])
def test_masked_means(draw, masked):
    losses = list(torch.randn(2, 50, 1, generator=draw))
    mask = (torch.rand(50, generator=draw) < 0.7).float() if masked else None
    result, count = ours.apply_masks(losses, mask)
    expected, expected_count = theirs.apply_masks(losses, mask)
    close(torch.stack(result), torch.stack(expected))
    assert count == expected_count == (50 if masked else None)
    values = 3.0 + torch.randn(50, generator=draw)
    close(ours.normalization_with_masks(values, mask), theirs.normalization_with_masks(values, mask), 1e-5)
    if masked:
        close(ours.get_mean_std_with_masks(values, mask), theirs.get_mean_std_with_masks(values, mask), 1e-5)
        chosen = values[mask.bool()]
        close(ours.get_mean_std_with_masks(values, mask), (chosen.mean(), chosen.std()), 1e-4)


def test_lists_and_shapes():
    values = [torch.tensor(1.0), torch.tensor(4.0)]
    assert ours.mean_list(values) == theirs.mean_list(values) == 2.5
    for shape in ((5,), (84, 83, 3), (2, 3)):
        assert tuple(ours.shape_whc_to_cwh(shape)) == tuple(theirs.shape_whc_to_cwh(shape))
    assert ours.numpy_to_torch_dtype_dict == theirs.numpy_to_torch_dtype_dict


@pytest.mark.parametrize("shape", [(), (1,)])
def test_average_meter(draw, shape):
    """Returns come as (k, 1, V), lengths as (k, 1): shapes of the mean as there."""
    mine, real = ours.AverageMeter(1, 5), theirs.AverageMeter(1, 5)
    for size in (2, 0, 2, 3, 9):
        values = torch.randn(size, 1, *shape, generator=draw)
        mine.update(values), real.update(values)
        assert mine.current_size == len(mine) == real.current_size
        np.testing.assert_allclose(mine.get_mean(), real.get_mean(), rtol=1e-6)
        assert mine.get_mean().shape == real.get_mean().shape
    assert type(mine.current_size) is int
    restored = ours.AverageMeter(1, 5)
    restored.load_state_dict(mine.state_dict())
    assert (restored.get_mean() == mine.get_mean()).all() and len(restored) == 5 and restored.finished == 16


def test_average_meter_picks_rows(draw):
    """The library's agents give all rows and a mask; the mean has the shape that RL Games' has."""
    values = torch.randn(4, 2, generator=draw)
    masked, picked = ours.AverageMeter(2, 5), ours.AverageMeter(2, 5)
    masked.update(values, torch.tensor([True, False, False, True]))
    picked.update(values[torch.tensor([[0], [3]])])
    assert masked.current_size == 2 and (masked.get_mean() == picked.get_mean()).all()


def test_average_meter_forgets():
    mine = ours.AverageMeter(1, 5)
    mine.update(torch.ones(2, 1))
    mine.clear()
    assert (len(mine), mine.get_mean().sum()) == (0, 0.0)


@pytest.mark.filterwarnings("ignore")  # RL Games' own
@pytest.mark.parametrize("name", ["CoordConv2d", "LayerNorm2d"])
def test_layers_of_images(draw, name):
    arguments = (3, 4, 3) if name == "CoordConv2d" else (3,)
    mine, real = getattr(ours, name)(*arguments), getattr(theirs, name)(*arguments)
    mine.load_state_dict(real.state_dict())
    x = torch.randn(2, 3, 5, 6, generator=draw)
    close(mine(x), real(x), rtol=1e-5)


def test_variance_scaling():
    weight = ours.variance_scaling_initializer(torch.empty(400, 100), "fan_out", 3.0)
    assert weight.std().item() == pytest.approx(math.sqrt(3.0 / 400), rel=0.05)  # fan_out of (out, in) is out


def test_identity():
    assert ours.IdentityRNN(3, 3)(torch.ones(1, 3), "h")[1] == "h"
    with pytest.raises(ValueError, match="expected 3, the width of the input"):
        ours.IdentityRNN(3, 4)


def test_checkpoints_go_round(tmp_path, capsys):
    name = str(tmp_path / "last")
    state = {"model": {"_orig_mod.a.weight": torch.ones(2)}, "epoch": 3, "numbers": np.array([1.0, 2.0])}
    ours.save_checkpoint(name, state)
    loaded = ours.load_checkpoint(name + ".pth")
    assert loaded["model"]["a.weight"].tolist() == [1.0, 1.0]
    assert loaded["epoch"] == 3
    assert loaded["numbers"].tolist() == [1.0, 2.0]
    assert sorted(loaded) == ["epoch", "model", "numbers"]
    lines = capsys.readouterr().out.splitlines()
    assert lines == [f"=> saving checkpoint '{name}.pth'", f"=> loading checkpoint '{name}.pth'"]


def test_what_a_client_saves_for_itself(tmp_path):
    """Without a policy in it, and without a key that the client did not write."""
    ours.safe_save({"discriminator": {"a": torch.ones(1)}, "success": 0.5}, tmp_path / "mine.pth")
    assert sorted(ours.safe_load(tmp_path / "mine.pth")) == ["discriminator", "success"]


@pytest.mark.filterwarnings("ignore")  # RL Games' own
def test_what_rl_games_saved_is_read_and_the_other_way_round(tmp_path):
    state = {"model": {"a": torch.arange(3.0)}, "last_mean_rewards": np.float32(1.5)}
    theirs.save_checkpoint(str(tmp_path / "theirs"), state)
    read = ours.load_checkpoint(str(tmp_path / "theirs.pth"))
    assert (read["model"]["a"].tolist(), read["last_mean_rewards"]) == ([0.0, 1.0, 2.0], 1.5)
    ours.safe_save(state, str(tmp_path / "ours.pth"))
    assert theirs.load_checkpoint(str(tmp_path / "ours.pth"))["last_mean_rewards"] == 1.5


def test_loading_runs_no_code(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path}/ran",)

    torch.save({"model": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(CheckpointError, match="evil"):
        ours.load_checkpoint(str(tmp_path / "evil.pth"))
    assert not (tmp_path / "ran").exists()


def test_only_passing_trouble_is_waited_out(monkeypatch, tmp_path):
    waited = []
    monkeypatch.setattr(ours.time, "sleep", waited.append)
    answers = [OSError(errno.ESTALE, "stale"), OSError(errno.EIO, "io"), 7]

    def flaky():
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert ours.safe_filesystem_op(flaky) == 7
    assert waited == [1.0, 2.0]
    with pytest.raises(FileNotFoundError):
        ours.safe_filesystem_op(open, tmp_path / "gone")
    with pytest.raises(FileNotFoundError):
        ours.safe_save({"model": {}}, tmp_path / "gone" / "a.pth")
    assert waited == [1.0, 2.0]

    def busy():
        raise OSError(errno.EBUSY, "busy")

    with pytest.raises(RuntimeError, match=r"failed 5 times, at last with: .*busy"):
        ours.safe_filesystem_op(busy)
