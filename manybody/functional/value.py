"""Value losses and measures."""

import torch
from torch import Tensor


def critic_loss(old_values: Tensor, values: Tensor, e_clip: float, returns: Tensor, clip_value: bool) -> Tensor:
    """Squared error to the returns, elementwise (M, V).

    With ``clip_value``: the larger of that and the error of the prediction kept within ``e_clip`` of the old one
    (the value clipping of OpenAI baselines' PPO2, in the normalised value space).
    """
    error = (values - returns).square()
    if not clip_value:
        return error
    clipped = old_values + (values - old_values).clamp(-e_clip, e_clip)
    return torch.maximum(error, (clipped - returns).square())


def explained_variance(values: Tensor, returns: Tensor) -> Tensor:
    """``1 - Var(returns - values) / Var(returns)``: 1 is a perfect critic, 0 a constant; scalar from (B, V)."""
    return 1.0 - (returns - values).var(unbiased=False) / returns.var(unbiased=False).clamp_min(1e-12)
