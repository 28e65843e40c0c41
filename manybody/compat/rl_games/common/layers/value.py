"""RL Games' value heads, which know their loss."""

from typing import Any

from torch import Tensor, nn

from manybody.compat.rl_games.algos_torch.layers import symexp, symlog
from manybody.compat.rl_games.common import common_losses
from manybody.compat.rl_games.common.extensions.distributions import BUCKETS, TwoHotDist


class DefaultValue(nn.Module):
    """A linear layer (M, out_size) from (M, in_size)."""

    def __init__(self, in_size: int, out_size: int) -> None:
        super().__init__()
        self.value_linear = nn.Linear(in_size, out_size)

    def loss(
        self,
        value_preds_batch: Tensor,
        values: Tensor,
        curr_e_clip: float,
        return_batch: Tensor,
        clip_value: Any,
    ) -> Tensor:
        """See :func:`common_losses.default_critic_loss`."""
        return common_losses.default_critic_loss(value_preds_batch, values, curr_e_clip, return_batch, clip_value)

    def forward(self, input: Tensor) -> Tensor:
        """(M, out_size)."""
        return self.value_linear(input)


class TwoHotEncodedValue(nn.Module):
    """A value (M, 1) as a distribution over buckets of its symmetric logarithm. Raises ValueError for other sizes."""

    def __init__(self, in_size: int, out_size: int) -> None:
        super().__init__()
        if out_size != 1:
            raise ValueError(f"out_size: got {out_size}; expected 1")
        self.value_linear = nn.Linear(in_size, BUCKETS)
        nn.init.xavier_uniform_(self.value_linear.weight, gain=0.05)

    def loss(self, **kwargs: Any) -> Tensor:
        """(M, 1) negative log-probability of ``return_batch`` (M, 1) under the values computed last."""
        return -self.distr.log_prob(symlog(kwargs["return_batch"]))

    def forward(self, input: Tensor) -> Tensor:
        """(M, 1)."""
        self.distr = TwoHotDist(logits=self.value_linear(input))
        return symexp(self.distr.mode())
