"""RL Games' learning-rate schedules on plain numbers; on tensors they act as those of :mod:`manybody.engine.optim`."""

from typing import Any

import torch
from torch import Tensor

from manybody.engine import optim
from manybody.functional import schedules

__all__ = ["AdaptiveScheduler", "IdentityScheduler", "LinearScheduler", "RLScheduler"]


class RLScheduler(optim.RLScheduler):
    """Maps the state of training to learning rate and entropy coefficient. The base class changes nothing."""

    def update(  # noqa: D102
        self, current_lr: Any, entropy_coef: Any, epoch: int, frames: int, kl_dist: Any = None, **kwargs: Any
    ) -> tuple[Any, Any]:
        return current_lr, entropy_coef


class IdentityScheduler(RLScheduler):
    """``lr_schedule: None`` and ``constant``."""


class AdaptiveScheduler(RLScheduler):
    """``lr_schedule: adaptive``: ``lr_multiplier`` times lower where the policy moved by over twice ``kl_threshold``.

    Where it moved by less than half of it, as many times higher; between ``min_lr`` and ``max_lr``.
    """

    def __init__(
        self,
        kl_threshold: float = 0.008,
        min_lr: float = 1e-6,
        max_lr: float = 1e-2,
        lr_multiplier: float = 1.5,
    ) -> None:
        self.min_lr = min_lr
        self.max_lr = max_lr
        self.lr_multiplier = lr_multiplier
        self.kl_threshold = kl_threshold

    def update(  # noqa: D102
        self, current_lr: Any, entropy_coef: Any, epoch: int, frames: int, kl_dist: Any = None, **kwargs: Any
    ) -> tuple[Any, Any]:
        limits = self.kl_threshold, self.min_lr, self.max_lr, self.lr_multiplier
        if isinstance(current_lr, Tensor):
            return schedules.adaptive_lr(current_lr, torch.as_tensor(kl_dist), *limits), entropy_coef
        lr, kl = (torch.tensor(float(x), dtype=torch.float64) for x in (current_lr, kl_dist))
        return float(schedules.adaptive_lr(lr, kl, *limits)), entropy_coef


class LinearScheduler(RLScheduler):
    """``lr_schedule: linear``: from ``start_lr`` to ``min_lr`` in ``max_steps`` epochs or frames, and stays there.

    Args:
        start_lr: at step 0.
        min_lr: at the end.
        max_steps: when the end is.
        use_epochs: steps are epochs, else frames.
        apply_to_entropy: the entropy coefficient falls in the same way.
        start_entropy_coef: from here,
        min_entropy_coef: to here.
    """

    def __init__(
        self,
        start_lr: float,
        min_lr: float = 1e-6,
        max_steps: int = 1000000,
        use_epochs: bool = True,
        apply_to_entropy: bool = False,
        start_entropy_coef: float = 0.01,
        min_entropy_coef: float = 0.0001,
        **kwargs: Any,
    ) -> None:
        self.start_lr = start_lr
        self.min_lr = min_lr
        self.max_steps = max_steps
        self.use_epochs = use_epochs
        self.apply_to_entropy = apply_to_entropy
        self.start_entropy_coef = start_entropy_coef
        self.min_entropy_coef = min_entropy_coef

    def update(  # noqa: D102
        self, current_lr: Any, entropy_coef: Any, epoch: int, frames: int, kl_dist: Any = None, **kwargs: Any
    ) -> tuple[Any, Any]:
        progress = (epoch if self.use_epochs else frames) / self.max_steps
        lr = _like(current_lr, schedules.linear(self.start_lr, self.min_lr, progress))
        if self.apply_to_entropy:
            value = schedules.linear(self.start_entropy_coef, self.min_entropy_coef, progress)
            entropy_coef = _like(entropy_coef, value)
        return lr, entropy_coef


def _like(old: Any, number: float) -> Any:
    """``number`` as a tensor where ``old`` is one."""
    return torch.full_like(old, number) if isinstance(old, Tensor) else number
