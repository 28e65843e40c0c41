"""RL Games' normalisation by exponentially weighted statistics, for clients; agents use the library's."""

from typing import Any

import torch
from torch import Tensor, nn


class GeneralizedMovingStats(nn.Module):
    """Normalise by an exponentially weighted mean and standard deviation, then clamp to +-5.

    Each call in training mode updates the statistics: ``m <- decay m + (1 - decay) new``.

    The variance is at least ``1 / max^2``, and ``eps`` is added to it.

    Raises:
        NotImplementedError: another ``impl``.
    """

    def __init__(
        self,
        insize: Any,
        impl: str = "mean_std",
        decay: float = 0.99,
        max: float = 1e5,
        eps: float = 0.0,
        **unused: Any,
    ) -> None:
        super().__init__()
        if impl != "mean_std":
            raise NotImplementedError(f"impl: got {impl!r}; expected 'mean_std'")
        self.decay = decay
        self.max = max
        self.eps = eps
        self.step = nn.Parameter(torch.ones(1, dtype=torch.int32), requires_grad=False)
        self.mean = nn.Parameter(torch.zeros(insize), requires_grad=False)
        self.sqrs = nn.Parameter(torch.zeros(insize), requires_grad=False)

    def forward(self, input: Tensor, mask: Tensor | None = None, denorm: bool = False) -> Tensor:
        """Normalise ``input`` (B, *insize); with ``denorm`` the inverse, without the clamp.

        In training mode, the rows where ``mask`` (B,) is true, by default all, first enter the statistics.
        """
        if self.training:
            rows = input if mask is None else input[mask.bool()]
            for statistic, value in ((self.mean, rows.mean(dim=0)), (self.sqrs, rows.square().mean(dim=0))):
                statistic.mul_(self.decay).add_((1.0 - self.decay) * value)
            self.step.add_(1)
        std = torch.sqrt((self.sqrs - self.mean.square()).clamp_min(1.0 / self.max**2) + self.eps)
        return input * std + self.mean if denorm else ((input - self.mean) / std).clamp(-5.0, 5.0)
