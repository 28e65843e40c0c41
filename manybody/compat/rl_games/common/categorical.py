"""Categorical distributions in which masks forbid choices."""

from typing import Any

import torch
from torch import Tensor
from torch.distributions import Categorical

from manybody.nn.distributions import FORBIDDEN


class CategoricalMasked(Categorical):
    """``torch.distributions.Categorical`` whose forbidden choices have probability zero.

    Args:
        probs: (M, K), where there are no masks.
        logits: (M, K).
        validate_args: see there.
        masks: (M, K) bool, true where a choice is allowed; None: everywhere.
    """

    def __init__(
        self,
        probs: Tensor | None = None,
        logits: Tensor | None = None,
        validate_args: Any = None,
        masks: Tensor | None = None,
    ) -> None:
        self.masks = masks
        if masks is not None:
            self.device = masks.device
            known = probs.log() if probs is not None else logits
            probs, logits = None, known.masked_fill(~masks, FORBIDDEN)  # type: ignore[union-attr]
        super().__init__(probs, logits, validate_args)

    def rsample(self) -> Tensor:  # type: ignore[override]
        """(M,) int64, one draw by the Gumbel maximum."""
        noise = torch.empty_like(self.logits).exponential_().clamp_min(torch.finfo(self.logits.dtype).tiny)
        return (self.logits - noise.log()).argmax(dim=-1)

    def entropy(self) -> Tensor:
        """(M,) over the allowed choices."""
        return -(self.logits * self.probs).sum(dim=-1)


class CategoricalMaskedNaive(CategoricalMasked):
    """:class:`CategoricalMasked`: RL Games' earlier form of it, which could not be built."""
