"""RL Games' losses, per sample: :mod:`manybody.functional` under their names."""

from typing import Any

from torch import Tensor

from manybody.functional import value
from manybody.functional.policy import actor_loss, smoothed_actor_loss

__all__ = ["actor_loss", "critic_loss", "default_critic_loss", "smoothed_actor_loss"]


def default_critic_loss(
    value_preds_batch: Tensor, values: Tensor, curr_e_clip: float, return_batch: Tensor, clip_value: Any
) -> Tensor:
    """(M, V) squared errors: :func:`manybody.functional.value.critic_loss`; any true ``clip_value`` clips."""
    return value.critic_loss(value_preds_batch, values, curr_e_clip, return_batch, bool(clip_value))


def critic_loss(
    model: Any,
    value_preds_batch: Tensor,
    values: Tensor,
    curr_e_clip: float,
    return_batch: Tensor,
    clip_value: Any,
) -> Tensor:
    """Return :func:`default_critic_loss`; ``model`` is not used."""
    return default_critic_loss(value_preds_batch, values, curr_e_clip, return_batch, clip_value)
