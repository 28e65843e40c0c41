"""Scale actions from the policy's range to the units of an action space."""

from torch import Tensor


def rescale_actions(low: Tensor, high: Tensor, action: Tensor) -> Tensor:
    """[-1, 1] to [low, high], per dimension; (N, A) from low and high (A,), action (N, A)."""
    return action * ((high - low) / 2.0) + (high + low) / 2.0
