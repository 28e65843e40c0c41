"""What SAC needs to know of an environment's spaces, in training and in playing alike."""

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from manybody.algos.interaction import observation_shape
from manybody.algos.sac.networks import flat_size
from manybody.envs.base import EnvError


def action_bounds(env_info: dict[str, Any], device: torch.device) -> tuple[Tensor, Tensor]:
    """The lowest and the highest action, (A,) each.

    Raises:
        EnvError: actions are not continuous, or a bound is infinite.
    """
    space = env_info["action_space"]
    if not isinstance(space, spaces.Box):
        raise EnvError(f"algo.name: sac acts in a Box; the environment's action space is {space}. Use a2c_discrete")
    if not (np.isfinite(space.low).all() and np.isfinite(space.high).all()):
        raise EnvError(
            f"algo.name: sac maps [-1, 1] to the bounds of the action space, and {space} has infinite ones. Give the "
            "environment finite bounds, or use a2c_continuous"
        )
    low, high = (torch.as_tensor(bound, dtype=torch.float32, device=device) for bound in (space.low, space.high))
    return low, high


def notices(env_info: dict[str, Any]) -> list[str]:
    """What SAC does to these observations and rewards that nobody may have meant."""
    shape, rewards = observation_shape(env_info["observation_space"]), env_info["value_size"]
    parts = shape if isinstance(shape, dict) else {"obs": shape}
    images = [f"{key} {part}" for key, part in parts.items() if len(part) > 1]
    said = [f"sac has no convolutions: of {', '.join(images)} every number is an input"] if images else []
    return [*said, f"sac learns from the sum of the environment's {rewards} rewards"] if rewards > 1 else said


def build_config(env_info: dict[str, Any], normalize_input: bool, num_seqs: int) -> dict[str, Any]:
    """What the model is built from; ``obs_dim`` and ``action_dim`` are what RL Games' own builder reads."""
    shape = observation_shape(env_info["observation_space"])
    (actions_num,) = env_info["action_space"].shape
    return {
        "actions_num": actions_num,
        "action_dim": actions_num,
        "obs_dim": flat_size(shape),
        "input_shape": shape,
        "num_seqs": num_seqs,
        "value_size": env_info["value_size"],
        "normalize_value": False,
        "normalize_input": normalize_input,
    }
