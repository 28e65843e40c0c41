"""``rl_games.common.extensions.distributions``: choices that masks forbid."""

from torch import Tensor
from torch.distributions import Categorical

from manybody.nn.distributions import FORBIDDEN


class CategoricalMasked(Categorical):
    """``torch.distributions.Categorical`` whose forbidden choices have probability zero.

    Args:
        probs: (M, K), in place of ``logits``.
        logits: (M, K).
        validate_args: of the base class.
        masks: (M, K) bool, true where a choice is allowed; None: everywhere.
    """

    def __init__(
        self,
        probs: Tensor | None = None,
        logits: Tensor | None = None,
        validate_args: bool | None = None,
        masks: Tensor | None = None,
    ) -> None:
        self.masks = masks
        if masks is not None:
            scores = logits if probs is None else probs.log()
            probs, logits = None, scores.masked_fill(~masks, FORBIDDEN)  # type: ignore[union-attr]
        super().__init__(probs, logits, validate_args)


CategoricalMaskedNaive = CategoricalMasked
