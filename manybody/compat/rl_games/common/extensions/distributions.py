"""RL Games' distributions: choices that masks forbid, one-hot vectors, numbers between buckets (arXiv 2301.04104)."""

from typing import Any

import torch
from torch import Tensor
from torch.distributions import Categorical, OneHotCategorical

from manybody.nn.distributions import FORBIDDEN

BUCKETS = 255


class CategoricalMasked(Categorical):
    """``torch.distributions.Categorical`` whose forbidden choices have probability zero.

    Args:
        probs: (M, K), in place of ``logits``.
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


def _mixed(logits: Tensor | None, probs: Tensor | None, unimix_ratio: float) -> dict[str, Any]:
    """The one of the two parameters to build with; ``unimix_ratio`` of the probability is spread evenly."""
    if logits is None or probs is not None or unimix_ratio <= 0.0:
        return {"logits": logits, "probs": probs}
    probs = logits.softmax(dim=-1)
    return {"probs": probs * (1.0 - unimix_ratio) + unimix_ratio / probs.shape[-1]}


class TwoHotDist(OneHotCategorical):
    """A number as weights of the two buckets next to it, of 255 from ``min_space`` to ``max_space``.

    Args:
        logits: (M, 255).
        probs: (M, 255), in place of ``logits``.
        min_space: the lowest bucket.
        max_space: the highest bucket.
        unimix_ratio: probability that is spread evenly.
    """

    def __init__(
        self,
        logits: Tensor | None = None,
        probs: Tensor | None = None,
        min_space: float = -20.0,
        max_space: float = 20.0,
        unimix_ratio: float = 0.0,
    ) -> None:
        super().__init__(**_mixed(logits, probs, unimix_ratio))
        self.buckets = torch.linspace(min_space, max_space, BUCKETS, device=self.probs.device)
        self.width = (self.buckets[-1] - self.buckets[0]) / BUCKETS  # as in RL Games, which counts one gap too many

    def mode(self) -> Tensor:  # type: ignore[override]
        """(M, 1) the mean."""
        return (self.probs * self.buckets).sum(dim=-1, keepdim=True)

    def log_prob(self, x: Tensor) -> Tensor:
        """(M, 1) the log-probabilities of the two buckets next to ``x`` (M, 1), weighted by its nearness to them."""
        place = (x - self.buckets[0]) / self.width
        lower = place.long().clamp(0, BUCKETS - 2)
        below, above = (self.logits.gather(-1, index) for index in (lower, lower + 1))
        return (place - lower - 1).abs() * below + (place - lower).abs() * above
