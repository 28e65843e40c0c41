"""The units in which SAC's critics see actions: [-1, 1] here, the environment's in RL Games.

Both are affine in each other, so the layers that see an action convert exactly.
"""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

ACTION_BOUNDS = "action_bounds"
"""Key of a checkpoint, (2, A): the environment's lowest and highest action. Where it is missing, the critics see
actions in the environment's units: RL Games' files, and those of earlier versions."""
_SEES_ACTIONS = re.compile(r"sac_network\.(?:critic|critic_target)\.Q[12]\.0\.(?:linears\.\d+\.)?weight")
"""The first layer of a critic, and with ``d2rl`` every hidden layer: they see the actions in their last columns."""


def are_unit(bounds: Tensor) -> bool:
    """Whether ``bounds`` (2, A) are -1 and 1, so that there is nothing to convert."""
    return bool((bounds[0] == -1).all() and (bounds[1] == 1).all())


def is_convertible(state: Mapping[str, Any]) -> bool:
    """Whether the critics are built as ``SACBuilder`` builds them, so that their first layers are known."""
    return any(_SEES_ACTIONS.fullmatch(name) for name in state)


def to_unit_actions(state: Mapping[str, Any], bounds: Tensor) -> dict[str, Any]:
    """Convert a model's state whose critics see actions in the environment's units.

    Args:
        state: of a model of SAC, by name.
        bounds: (2, A) the lowest and the highest action.

    Returns:
        The state whose critics give the same values for the same actions in [-1, 1].
    """
    middle, half = _middle_and_half(bounds)
    return _with_actions(state, half, middle)


def to_env_actions(state: Mapping[str, Any], bounds: Tensor) -> dict[str, Any]:
    """The inverse of :func:`to_unit_actions`. An action whose bounds are equal counts as 0 in [-1, 1]."""
    middle, half = _middle_and_half(bounds)
    scale = torch.where(half > 0, 1.0 / half, 0.0)
    return _with_actions(state, scale, -middle * scale)


def _middle_and_half(bounds: Tensor) -> tuple[Tensor, Tensor]:
    low, high = bounds.double()
    return (high + low) / 2, (high - low) / 2


def _with_actions(state: Mapping[str, Any], scale: Tensor, offset: Tensor) -> dict[str, Any]:
    """Critics that see a where they saw ``offset + scale * a``."""
    converted = dict(state)
    for name in filter(_SEES_ACTIONS.fullmatch, state):
        weight, bias = state[name], name.removesuffix("weight") + "bias"
        columns = weight[:, -len(scale) :].double()
        rest = weight[:, : -len(scale)]
        converted[name] = torch.cat([rest, (columns * scale).to(weight.dtype)], dim=1)
        converted[bias] = (state[bias].double() + columns @ offset).to(weight.dtype)
    return converted
