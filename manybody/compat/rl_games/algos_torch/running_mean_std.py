"""RL Games' running normalisation under its names: :mod:`manybody.nn.normalizer` with its optional arguments."""

from collections.abc import Mapping
from numbers import Integral
from typing import Any

from torch import Tensor, nn

from manybody.functional.stats import merge_moments
from manybody.nn import normalizer

__all__ = ["RunningMeanStd", "RunningMeanStdObs"]


class RunningMeanStd(normalizer.RunningMeanStd):
    """See :class:`manybody.nn.normalizer.RunningMeanStd`, whose ``denorm`` and ``mask`` may stand in their places.

    Two things differ from RL Games: undoing the normalisation never changes the statistics, and masked rows are left
    out element by element (there, all elements get one mean).
    """

    def __init__(self, insize: Any, epsilon: float = 1e-05, per_channel: bool = False, norm_only: bool = False) -> None:
        shape = (int(insize),) if isinstance(insize, Integral) else tuple(insize)
        super().__init__(shape, epsilon, per_channel, norm_only)

    def _update_mean_var_count_from_moments(
        self,
        mean: Tensor,
        var: Tensor,
        count: Tensor,
        batch_mean: Tensor,
        batch_var: Tensor,
        batch_count: int,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Mean, population variance and count of two sets of samples together; subclasses call it."""
        return merge_moments(mean, var, count, batch_mean, batch_var, batch_count)

    def forward(self, input: Tensor, denorm: bool = False, mask: Tensor | None = None) -> Tensor:
        """Normalise ``input`` (B, *insize), in training mode after merging it; with ``denorm`` the inverse."""
        return super().forward(input, denorm, mask)


class RunningMeanStdObs(nn.Module):
    """One :class:`RunningMeanStd` per key of a dictionary of observations.

    Args:
        insize: shape of one sample by key.
        epsilon: see :class:`RunningMeanStd`.
        per_channel: see there.
        norm_only: see there.
    """

    def __init__(
        self,
        insize: Mapping[str, Any],
        epsilon: float = 1e-05,
        per_channel: bool = False,
        norm_only: bool = False,
    ) -> None:
        super().__init__()
        self.running_mean_std = nn.ModuleDict(
            {key: RunningMeanStd(shape, epsilon, per_channel, norm_only) for key, shape in insize.items()}
        )

    def forward(self, input: Mapping[str, Tensor], denorm: bool = False) -> dict[str, Tensor]:
        """Each (B, *insize[key]) of ``input``, normalised; with ``denorm`` the inverse."""
        return {key: self.running_mean_std[key](part, denorm) for key, part in input.items()}
