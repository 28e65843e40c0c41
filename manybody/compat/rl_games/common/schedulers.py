"""RL Games' learning-rate schedules: those of :mod:`manybody.engine.optim`, on plain numbers."""

from typing import Any

import torch

from manybody.engine import optim

__all__ = ["AdaptiveScheduler", "IdentityScheduler", "LinearScheduler", "RLScheduler"]


class RLScheduler(optim.RLScheduler):
    """Maps the state of training to learning rate and entropy coefficient. The base class changes nothing."""

    def update(
        self, current_lr: Any, entropy_coef: Any, epoch: int, frames: int, kl_dist: Any = 0.0, **kwargs: Any
    ) -> Any:
        """Return the new learning rate and entropy coefficient."""
        lr, coef, kl = (torch.tensor(float(x), dtype=torch.float64) for x in (current_lr, entropy_coef, kl_dist))
        lr, coef = super().update(lr, coef, epoch, frames, kl)
        return float(lr), float(coef)


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
    """``lr_schedule: linear``, with RL Games' defaults and a ``min_entropy_coef``."""

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
    """Return a scheduler of the library as the class here that takes plain numbers."""
    kinds: dict[type, Any] = {optim.AdaptiveScheduler: AdaptiveScheduler, optim.LinearScheduler: LinearScheduler}
    kind = kinds.get(type(scheduler), IdentityScheduler)
    twin: RLScheduler = kind.__new__(kind)
    twin.__dict__.update(scheduler.__dict__)
    return twin
