"""RL Games' learning-rate schedules: those of :mod:`manybody.engine.optim`, on plain numbers too."""

from typing import Any

import torch
from torch import Tensor

from manybody.engine import optim

__all__ = ["AdaptiveScheduler", "IdentityScheduler", "LinearScheduler", "RLScheduler"]


class RLScheduler(optim.RLScheduler):
    """Maps the state of training to learning rate and entropy coefficient. The base class changes nothing."""

    def update(
        self, current_lr: Any, entropy_coef: Any, epoch: int, frames: int, kl_dist: Any = 0.0, **kwargs: Any
    ) -> tuple[Any, Any]:
        """New ``(learning rate, entropy coefficient)``: tensors for tensors, numbers for numbers."""
        given = current_lr, entropy_coef
        lr, coef, kl = (
            x if isinstance(x, Tensor) else torch.tensor(float(x or 0.0), dtype=torch.float64)
            for x in (*given, kl_dist)
        )
        updated = super().update(lr, coef, epoch, frames, kl)
        new_lr, new_coef = (
            new if isinstance(old, Tensor) else float(new) for old, new in zip(given, updated, strict=True)
        )
        return new_lr, new_coef


class IdentityScheduler(RLScheduler):
    """``lr_schedule: None`` and ``constant``."""


class AdaptiveScheduler(RLScheduler, optim.AdaptiveScheduler):
    """``lr_schedule: adaptive``, with RL Games' defaults."""

    def __init__(
        self,
        kl_threshold: float = 0.008,
        min_lr: float = 1e-6,
        max_lr: float = 1e-2,
        lr_multiplier: float = 1.5,
    ) -> None:
        super().__init__(kl_threshold, min_lr, max_lr, lr_multiplier)


class LinearScheduler(RLScheduler, optim.LinearScheduler):
    """``lr_schedule: linear``, with RL Games' defaults.

    Args:
        start_lr: at step 0.
        min_lr: at the end.
        max_steps: when the end is.
        use_epochs: steps are epochs, else frames.
        apply_to_entropy: the entropy coefficient falls in the same way.
        start_entropy_coef: from here,
        min_entropy_coef: to here.
        kwargs: not used.
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
        super().__init__(start_lr, min_lr, max_steps, use_epochs, apply_to_entropy, start_entropy_coef)
        self.min_entropy_coef = min_entropy_coef


def for_numbers(scheduler: optim.RLScheduler) -> RLScheduler:
    """Return a scheduler of the library as the class here that takes plain numbers too."""
    kinds: dict[type, Any] = {optim.AdaptiveScheduler: AdaptiveScheduler, optim.LinearScheduler: LinearScheduler}
    kind = kinds.get(type(scheduler), IdentityScheduler)
    twin: RLScheduler = kind.__new__(kind)
    twin.__dict__.update(scheduler.__dict__)
    return twin
