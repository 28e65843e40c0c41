"""Learning-rate schedules as tensor operations, without host reads."""

import torch
from torch import Tensor


def adaptive_lr(lr: Tensor, kl: Tensor, kl_threshold: float, min_lr: float, max_lr: float, multiplier: float) -> Tensor:
    """Return the next rate (RL Games' rule) from the rate ``lr`` () and the mean KL ``kl`` () of the last update.

    Divide by ``multiplier`` if the KL is above twice the threshold, multiply if it is below half of it.
    """
    lower = torch.where(kl > 2.0 * kl_threshold, (lr / multiplier).clamp_min(min_lr), lr)
    return torch.where(kl < 0.5 * kl_threshold, (lower * multiplier).clamp_max(max_lr), lower)


def linear(start: float, end: float, progress: float) -> float:
    """Interpolate from ``start`` at progress 0 to ``end`` at progress 1 and above."""
    return end + (start - end) * max(0.0, 1.0 - progress)
