"""Learning-rate rules as tensor operations: no schedule waits for the device."""

import torch
from torch import Tensor


def adaptive_lr(lr: Tensor, kl: Tensor, kl_threshold: float, min_lr: float, max_lr: float, multiplier: float) -> Tensor:
    """RL Games' KL-adaptive rule: divide by ``multiplier`` above twice the threshold, multiply below half of it.

    ``lr`` () is the current rate, ``kl`` () the mean divergence of the last update.
    """
    lower = torch.where(kl > 2.0 * kl_threshold, (lr / multiplier).clamp_min(min_lr), lr)
    return torch.where(kl < 0.5 * kl_threshold, (lower * multiplier).clamp_max(max_lr), lower)


def linear(start: float, end: float, progress: float) -> float:
    """From ``start`` at progress 0 to ``end`` at progress 1, and ``end`` from there on."""
    return end + (start - end) * max(0.0, 1.0 - progress)
