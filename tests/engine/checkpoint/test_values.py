"""Checkpoints whose values cannot be computed with are refused, with their path and the parameter."""

import math

import pytest
import torch

from manybody.engine.checkpoint.untrusted import CheckpointError
from manybody.engine.checkpoint.values import OPTIMIZERS, WEIGHTS, check_values


def state():
    return {
        "model": {"net.weight": torch.ones(2, 3), "running_mean_std.running_var": torch.ones(3)},
        "running_mean_std": {"count": torch.tensor(5.0)},
        "optimizer": {"state": {0: {"exp_avg": torch.zeros(3), "exp_avg_sq": torch.ones(3), "step": 2.0}}},
        "log_alpha": -1.5,
        "last_mean_rewards": -math.inf,
        "env_state": {"limit": torch.tensor(math.inf)},
    }


def spoilt(state, keys, value):
    *path, last = keys
    for key in path:
        state = state[key]
    if isinstance(state[last], torch.Tensor):
        state[last].view(-1)[0] = value
    else:
        state[last] = value


def test_a_sound_checkpoint_passes():
    check_values(state(), "some.pth", (*WEIGHTS, *OPTIMIZERS))  # other parts may hold infinity


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    "keys,found",
    [
        (("model", "net.weight"), "1 of 6 values not finite"),
        (("model", "running_mean_std.running_var"), "1 of 3 values not finite"),
        (("running_mean_std", "count"), "1 of 1 values not finite"),
        (("optimizer", "state", 0, "exp_avg"), "1 of 3 values not finite"),
        (("log_alpha",), ""),
    ],
)
def test_non_finite_values(keys, found, value):
    wrong = state()
    spoilt(wrong, keys, value)
    with pytest.raises(CheckpointError) as refused:
        check_values(wrong, "some.pth", (*WEIGHTS, *OPTIMIZERS))
    name = ".".join(map(str, keys))
    assert str(refused.value).startswith(f"some.pth: {name}: got {found or repr(value)}; expected finite")


@pytest.mark.parametrize(
    "keys",
    [
        ("model", "running_mean_std.running_var"),
        ("running_mean_std", "count"),
        ("optimizer", "state", 0, "exp_avg_sq"),
        ("optimizer", "state", 0, "step"),
    ],
)
def test_negative_variances_and_counts(keys):
    wrong = state()
    spoilt(wrong, keys, -1.0)
    with pytest.raises(CheckpointError, match=r"-1"):
        check_values(wrong, "some.pth", (*WEIGHTS, *OPTIMIZERS))


def test_further_entries_are_counted():
    wrong = state()
    spoilt(wrong, ("model", "net.weight"), math.nan)
    spoilt(wrong, ("log_alpha",), math.nan)
    with pytest.raises(CheckpointError, match="not finite, and 1 more such entries"):
        check_values(wrong, "some.pth", (*WEIGHTS, *OPTIMIZERS))
