"""RL Games' losses, per sample: :mod:`manybody.functional` under their names."""

from typing import Any

from torch import Tensor

from manybody.functional.policy import actor_loss, smoothed_actor_loss
from manybody.functional.value import critic_loss as clipped_critic_loss

__all__ = [
    "actor_loss",
    "critic_loss",
    "default_critic_loss",
    "smoothed_actor_loss",
]


def default_critic_loss(
    value_preds_batch: Tensor, values: Tensor, curr_e_clip: float, return_batch: Tensor, clip_value: Any
) -> Tensor:
    """(M, V) squared errors to ``return_batch``; see :func:`manybody.functional.value.critic_loss`.

    Args:
        value_preds_batch: (M, V) the old values.
        values: (M, V).
        curr_e_clip: how far a clipped prediction may move from the old one.
        return_batch: (M, V).
        clip_value: whether to clip; any true value.
    """
    return clipped_critic_loss(value_preds_batch, values, curr_e_clip, return_batch, bool(clip_value))


def critic_loss(model: Any, *arguments: Any, **named: Any) -> Tensor:
    """``critic_loss(model, value_preds_batch, values, curr_e_clip, return_batch, clip_value)``.

    :func:`default_critic_loss`, whatever the model; it may be left out, as before RL Games 1.6.
    """
    first = (model,) if isinstance(model, Tensor) else ()
    return default_critic_loss(*first, *arguments, **named)
