"""Value losses and measures."""

import torch
from torch import Tensor


def critic_loss(old_values: Tensor, values: Tensor, e_clip: float, returns: Tensor, clip_value: bool) -> Tensor:
    """Return the squared error to the returns, elementwise (M, V).

    With ``clip_value``, return the larger of it and the error of the prediction clipped to ``e_clip`` around the old
    one (OpenAI baselines' PPO2, in the normalised value space).
    """
    error = (values - returns).square()
    if not clip_value:
        return error
    clipped = old_values + (values - old_values).clamp(-e_clip, e_clip)
    return torch.maximum(error, (clipped - returns).square())


def explained_variance(values: Tensor, returns: Tensor) -> Tensor:
    """Return ``1 - Var(returns - values) / Var(returns)``: 1 for a perfect critic, 0 for a constant one."""
    return 1.0 - (returns - values).var(unbiased=False) / returns.var(unbiased=False).clamp_min(1e-12)
