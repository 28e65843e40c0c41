"""RL Games' normalisation by statistics that forget (``normalize_rms_advantage``)."""

from typing import Any

import torch
from torch import Tensor, nn

STATISTICS = {
    "off": (),
    "mean_std": ("mean", "sqrs"),
    "mean_std_corr": ("mean", "sqrs"),
    "min_max": ("low", "high"),
    "perc_ema": ("low", "high"),
    "perc_ema_corr": ("low", "high"),
}
"""What each kind of statistics remembers."""


class GeneralizedMovingStats(nn.Module):
    """Shifts and scales by exponentially weighted statistics, then clamps to +-5.

    Each call in training mode moves what is remembered: ``m <- decay m + (1 - decay) new``. By ``impl``:

    * ``mean_std``: mean and deviation, the variance at least ``1 / max^2``;
    * ``min_max``: smallest value and width, at least ``1 / max``;
    * ``perc_ema``: the ``perclo`` quantile and the distance to the ``perchi`` one;
    * ``..._corr``: divided by ``1 - decay^step``, as they start from 0; ``step`` counts from 1, as in RL Games;
    * ``off``: neither shifts nor scales.

    Args:
        insize: shape of one sample.
        impl: see above.
        decay: weight of the past.
        max: the largest factor that may come out.
        eps: added to the variance.
        perclo: lower quantile.
        perchi: upper quantile.
        momentum: another name of ``decay``.

    Raises:
        NotImplementedError: unknown ``impl``; lists the known ones.
    """

    def __init__(
        self,
        insize: Any,
        impl: str = "mean_std",
        decay: float = 0.99,
        max: float = 1e5,
        eps: float = 0.0,
        perclo: float = 0.05,
        perchi: float = 0.95,
        momentum: float | None = None,
    ) -> None:
        super().__init__()
        if impl not in STATISTICS:
            raise NotImplementedError(f"impl: got {impl!r}; expected one of {', '.join(STATISTICS)}")
        self.impl = impl
        self.decay = decay if momentum is None else momentum
        self.max = max
        self.eps = eps
        self.perclo = perclo
        self.perchi = perchi
        if impl.startswith("mean_std") or impl.endswith("_corr"):
            self.step = nn.Parameter(torch.ones(1, dtype=torch.int32), requires_grad=False)
        for name in STATISTICS[impl]:
            self.register_parameter(name, nn.Parameter(torch.zeros(insize), requires_grad=False))

    def _remembered(self) -> tuple[Tensor, Tensor]:
        first, second = (self.get_parameter(name) for name in STATISTICS[self.impl])
        if not self.impl.endswith("_corr"):
            return first, second
        seen = 1.0 - self.decay ** self.step.float()
        return first / seen, second / seen

    def _get_stats(self) -> tuple[Any, Any]:
        """What to subtract, and what to divide by."""
        if self.impl == "off":
            return 0.0, 1.0
        first, second = self._remembered()
        if not self.impl.startswith("mean_std"):
            return first, (second - first).clamp_min(1.0 / self.max)
        return first, torch.sqrt((second - first.square()).clamp_min(1.0 / self.max**2) + self.eps)

    def moments(self) -> tuple[Tensor, Tensor]:
        """What to subtract and the square of what to divide by: mean and variance of ``mean_std``."""
        offset, scale = map(torch.as_tensor, self._get_stats())
        return offset, scale.square()

    @torch.no_grad()
    def _update_stats(self, x: Tensor) -> None:
        if self.impl == "off":
            return
        old = first, second = tuple(self.get_parameter(name) for name in STATISTICS[self.impl])
        if self.impl == "min_max":
            # What is remembered of a bound has been weakened by the time the new one is compared with it.
            new = torch.minimum(first * self.decay, x.min()), torch.maximum(second * self.decay, x.max())
        elif self.impl.startswith("perc"):
            new = x.quantile(self.perclo), x.quantile(self.perchi)
        else:
            new = x.mean(dim=0), x.square().mean(dim=0)
        for remembered, value in zip(old, new, strict=True):
            remembered.mul_(self.decay).add_((1.0 - self.decay) * value)
        if hasattr(self, "step"):
            self.step.add_(1)

    def forward(self, input: Tensor, mask: Tensor | None = None, denorm: bool = False) -> Tensor:
        """Normalise ``input`` (B, *insize); with ``denorm`` the inverse, without the clamp.

        Args:
            input: in training mode it is first merged into the statistics.
            mask: (B,), true for the rows that are merged; None: all.
            denorm: the inverse.
        """
        if self.training:
            self._update_stats(input if mask is None else input[mask.bool()])
        offset, scale = self._get_stats()
        return input * scale + offset if denorm else ((input - offset) / scale).clamp(-5.0, 5.0)
