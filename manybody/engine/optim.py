"""Adam with a device-side flag that skips a step, and the learning-rate schedulers."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from typing_extensions import override

from manybody.engine.guard import Guard
from manybody.functional import schedules


class GuardedAdam(torch.optim.Adam):
    """Fused Adam with a tensor learning rate and a device flag that skips a step.

    The flag is PyTorch's ``found_inf``, which gradient scalers set: a skipped step changes neither parameters nor
    moments nor step counts.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        lr: float,
        weight_decay: float,
        device: torch.device,
        betas: tuple[float, float] = (0.9, 0.999),
    ) -> None:
        super().__init__(
            parameters,
            lr=torch.tensor(float(lr), dtype=torch.float32, device=device),
            betas=betas,
            eps=1e-8,
            weight_decay=weight_decay,
            fused=True,
        )
        self.grad_scale: Tensor | None = None
        self.found_inf: Tensor | None = None

    def minimize(self, loss: Tensor, max_norm: float | None, guard: Guard) -> None:
        """Compute the gradients of ``loss`` (), clip their norm to ``max_norm``, if any, and step if all are finite."""
        self.zero_grad(set_to_none=True)
        loss.backward()
        parameters = [parameter for group in self.param_groups for parameter in group["params"]]
        grad_norm = nn.utils.clip_grad_norm_(parameters, max_norm or math.inf)
        self.guarded_step(guard.healthy_update(loss, grad_norm))

    def guarded_step(self, healthy: Tensor) -> None:
        """Step if ``healthy`` () bool is true."""
        if healthy.device.type != "cpu":
            self.flagged_step(healthy)
        elif healthy:  # reading a CPU tensor does not wait, and a step without the flag is faster
            self.step()

    def flagged_step(self, healthy: Tensor) -> None:
        """Step if ``healthy`` () bool is true, without reading it on the host."""
        self.found_inf = 1.0 - healthy.float()
        self.step()

    @property
    def lr(self) -> Tensor:
        """The learning rate, a () tensor; :meth:`set_lr` changes it."""
        return self.param_groups[0]["lr"]

    def set_lr(self, lr: Tensor | float) -> None:
        """Change the learning rate in place, without a host read."""
        for group in self.param_groups:
            group["lr"].fill_(lr)


class RLScheduler:
    """Base class of schedulers; keeps learning rate and entropy coefficient constant."""

    def update(
        self, current_lr: Tensor, entropy_coef: Tensor, epoch: int, frames: int, kl_dist: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the next ``(learning rate, entropy coefficient)``, both () tensors."""
        return current_lr, entropy_coef


class AdaptiveScheduler(RLScheduler):
    """``lr_schedule: adaptive``: adapt the rate to the policy's KL divergence (:func:`schedules.adaptive_lr`)."""

    def __init__(self, kl_threshold: float, min_lr: float, max_lr: float, multiplier: float) -> None:
        self.kl_threshold = kl_threshold
        self.min_lr = min_lr
        self.max_lr = max_lr
        self.multiplier = multiplier

    @override
    def update(
        self, current_lr: Tensor, entropy_coef: Tensor, epoch: int, frames: int, kl_dist: Tensor
    ) -> tuple[Tensor, Tensor]:
        lr = schedules.adaptive_lr(current_lr, kl_dist, self.kl_threshold, self.min_lr, self.max_lr, self.multiplier)
        return lr, entropy_coef


class LinearScheduler(RLScheduler):
    """``lr_schedule: linear``: reduce the rate to ``min_lr`` and the entropy coefficient to 1e-4."""

    min_entropy_coef = 1e-4

    def __init__(
        self,
        start_lr: float,
        min_lr: float,
        max_steps: int,
        use_epochs: bool,
        apply_to_entropy: bool = False,
        start_entropy_coef: float = 0.0,
    ) -> None:
        self.start_lr = start_lr
        self.min_lr = min_lr
        self.max_steps = max_steps
        self.use_epochs = use_epochs
        self.apply_to_entropy = apply_to_entropy
        self.start_entropy_coef = start_entropy_coef

    @override
    def update(
        self, current_lr: Tensor, entropy_coef: Tensor, epoch: int, frames: int, kl_dist: Tensor
    ) -> tuple[Tensor, Tensor]:
        progress = (epoch if self.use_epochs else frames) / self.max_steps
        lr = torch.full_like(current_lr, schedules.linear(self.start_lr, self.min_lr, progress))
        if self.apply_to_entropy:
            value = schedules.linear(self.start_entropy_coef, self.min_entropy_coef, progress)
            entropy_coef = torch.full_like(entropy_coef, value)
        return lr, entropy_coef
