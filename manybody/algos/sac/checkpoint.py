"""Checkpoints of SAC in other layouts: RL Games' files, and critics whose actions are in the environment's units.

SAC's critics take actions in [-1, 1] here and in the environment's units in RL Games. Each is an affine function of the
other, so the layers that take an action convert exactly.
"""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from manybody.data.tree import State
from manybody.engine.checkpoint import named, plain_optimizer, require
from manybody.engine.checkpoint.untrusted import CheckpointError
from manybody.registry import Layout

PARTS = ("actor", "critic", "critic_target")
"""What a network for SAC consists of."""
ACTION_BOUNDS = "action_bounds"
"""Key of a checkpoint, (2, A): the environment's lowest and highest action. Where it is missing, the critics see
actions in the environment's units: RL Games' files, and those of earlier versions."""
_SEES_ACTIONS = re.compile(r"sac_network\.(?:critic|critic_target)\.Q[12]\.0\.(?:linears\.\d+\.)?weight")
"""The first layer of a critic, and with ``d2rl`` every hidden layer: they see the actions in their last columns."""


def are_unit(bounds: Tensor) -> bool:
    """Whether ``bounds`` (2, A) are -1 and 1, so that there is nothing to convert."""
    return bool((bounds[0] == -1).all() and (bounds[1] == 1).all())


def is_convertible(state: State) -> bool:
    """Whether the critics are built as ``SACBuilder`` builds them, so that their first layers are known."""
    return any(_SEES_ACTIONS.fullmatch(name) for name in state)


def to_unit_actions(state: State, bounds: Tensor) -> State:
    """Convert a model's state whose critics see actions in the environment's units.

    Args:
        state: of a model of SAC, by name.
        bounds: (2, A) the lowest and the highest action.

    Returns:
        The state whose critics give the same values for the same actions in [-1, 1].
    """
    middle, half = _middle_and_half(bounds)
    return _with_actions(state, half, middle)


def to_env_actions(state: State, bounds: Tensor) -> State:
    """The inverse of :func:`to_unit_actions`. An action whose bounds are equal counts as 0 in [-1, 1]."""
    middle, half = _middle_and_half(bounds)
    scale = torch.where(half > 0, 1.0 / half, 0.0)
    return _with_actions(state, scale, -middle * scale)


def _middle_and_half(bounds: Tensor) -> tuple[Tensor, Tensor]:
    low, high = bounds.double()
    return (high + low) / 2, (high - low) / 2


def _with_actions(state: State, scale: Tensor, offset: Tensor) -> State:
    """Critics that see a where they saw ``offset + scale * a``."""
    converted = dict(state)
    for name in filter(_SEES_ACTIONS.fullmatch, state):
        weight, bias = state[name], name.removesuffix("weight") + "bias"
        columns = weight[:, -len(scale) :].double()
        rest = weight[:, : -len(scale)]
        converted[name] = torch.cat([rest, (columns * scale).to(weight.dtype)], dim=1)
        converted[bias] = (state[bias].double() + columns @ offset).to(weight.dtype)
    return converted


def model_state(weights: State, path: str) -> State:
    """Return the model's state of a checkpoint; RL Games keeps its parts under separate keys.

    Raises:
        CheckpointError: there is none.
    """
    if "model" in weights or "actor" not in weights:  # of RL Games' layer, a checkpoint holds both
        return require(weights, "model", path)
    state: dict[str, Any] = {}
    homes = {part: f"sac_network.{part}" for part in PARTS}
    for part, home in {**homes, "running_mean_std": "running_mean_std"}.items():
        given = weights.get(part, {}) if part == "running_mean_std" else require(weights, part, path)
        if not isinstance(given, Mapping):
            advice = "It is no checkpoint of SAC."
            raise CheckpointError(path, part, type(given).__name__, "named parameters", advice)
        state |= {f"{home}.{name}": value for name, value in given.items()}
    return state


def from_rl_games(weights: State, path: str) -> State:
    """Convert the parts of an RL Games checkpoint: the whole model under ``model``."""
    moved = (*PARTS, "running_mean_std")
    return {**{key: x for key, x in weights.items() if key not in moved}, "model": model_state(weights, path)}


def to_rl_games(state: State, path: str) -> State:
    """Return the parts of a checkpoint under RL Games' keys; its critics see actions in the environment's units.

    Raises:
        CheckpointError: a part is missing.
    """
    model = model_state(state, path) if "actor" in state else named(state, "model", path)
    bounds = state.get(ACTION_BOUNDS)
    if isinstance(bounds, Tensor) and not are_unit(bounds):
        model = to_env_actions(model, bounds)
        # The squares of the gradients do not convert with the critics.
        state = {**state, "critic_optimizer": {**named(state, "critic_optimizer", path), "state": {}}}
    homes = {**{part: f"sac_network.{part}." for part in PARTS}, "running_mean_std": "running_mean_std."}
    parts = {
        key: {name.removeprefix(home): x for name, x in model.items() if str(name).startswith(home)}
        for key, home in homes.items()
    }
    optimizers = ("actor_optimizer", "critic_optimizer", "log_alpha_optimizer")
    return {
        **{key: part for key, part in parts.items() if part},
        **{key: plain_optimizer(state, key, path) for key in optimizers},
        **({"log_alpha": state["log_alpha"]} if "log_alpha" in state else {}),
    }


LAYOUT = Layout(lambda weights: "actor" in weights, from_rl_games, to_rl_games)
