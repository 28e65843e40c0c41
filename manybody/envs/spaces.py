"""Spaces that learners take, and how observations and actions pass between NumPy and torch."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from manybody.envs.base import EnvError


def check_spaces(env_name: str, observation_space: spaces.Space, action_space: spaces.Space) -> None:
    """Check that learners can work with these spaces.

    Raises:
        EnvError: they cannot; says what they take and which wrapper may help.
    """
    flat = observation_space.values() if isinstance(observation_space, spaces.Dict) else [observation_space]
    if not all(isinstance(space, spaces.Box) for space in flat):
        raise EnvError(
            f"env_name: the observation space of {env_name!r} is {observation_space}; expected a Box or a Dict of "
            "Boxes (gymnasium.wrappers.FlattenObservation makes a Box of others)"
        )
    if isinstance(action_space, spaces.Box) and len(action_space.shape) == 1:
        return
    if isinstance(action_space, spaces.MultiDiscrete) and len(action_space.shape) == 1:
        return
    heads = action_space.spaces if isinstance(action_space, spaces.Tuple) else [action_space]
    if not all(isinstance(space, spaces.Discrete) for space in heads):
        raise EnvError(
            f"env_name: the action space of {env_name!r} is {action_space}; expected a Box or a MultiDiscrete with "
            "one axis, a Discrete, or a Tuple of Discrete"
        )


def without_mask(space: Any) -> tuple[Any, bool]:
    """The space that the policy sees, and whether it came as ``{'observation': ..., 'action_mask': ...}``."""
    masked = isinstance(space, spaces.Dict) and set(space) == {"observation", "action_mask"}
    return (space["observation"], True) if masked else (space, False)


def head_sizes(action_space: spaces.Space) -> tuple[int, ...]:
    """Number of choices of each head of a discrete action space; empty for a ``Box``."""
    if isinstance(action_space, spaces.Discrete):
        return (int(action_space.n),)
    if isinstance(action_space, spaces.MultiDiscrete):
        return tuple(int(n) for n in action_space.nvec)
    if isinstance(action_space, spaces.Tuple):
        return tuple(n for space in action_space.spaces for n in head_sizes(space))
    return ()


def observation_dtype(space: spaces.Space) -> torch.dtype:
    """uint8 stays as it is, images are small that way; everything else becomes float32."""
    return torch.uint8 if space.dtype == np.uint8 else torch.float32


def observation_tensors(space: spaces.Space, value: Any) -> Any:
    """``value`` of ``space``, batched or not, as tensors of their own memory, in the same structure.

    Keys that ``value`` lacks are left out: :mod:`manybody.envs.checks` says what is wrong with it.
    """
    if isinstance(value, Mapping):  # what the space does not name, nobody can use
        named = space.items() if isinstance(space, spaces.Dict) else ()
        return {key: observation_tensors(part, value[key]) for key, part in named if key in value}
    dtype = observation_dtype(space)
    if isinstance(value, Tensor):
        return value.to(dtype, copy=True)
    # NumPy copies: torch would wake its threads, which then spin beside those of the environment.
    return torch.from_numpy(np.array(value, np.uint8 if dtype == torch.uint8 else np.float32))


def gymnasium_space(space: Any) -> spaces.Space:
    """A space as Gymnasium's: that of legacy gym, which Isaac Lab's wrapper uses, is told by the name of its class.

    Raises:
        EnvError: no learner can work with such a space.
    """
    if isinstance(space, spaces.Space):
        return space
    kind = type(space).__name__
    if kind == "Box":
        return spaces.Box(space.low, space.high, space.shape, np.dtype(space.dtype).type)
    if kind == "Dict":
        return spaces.Dict({key: gymnasium_space(part) for key, part in space.spaces.items()})
    if kind == "Discrete":
        return spaces.Discrete(int(space.n))
    if kind == "MultiDiscrete":
        return spaces.MultiDiscrete(space.nvec)
    if kind == "Tuple":
        return spaces.Tuple([gymnasium_space(part) for part in space.spaces])
    raise EnvError(f"env_name: a space is {space!r}; expected a Box, Dict, Discrete, MultiDiscrete or Tuple")


def environment_actions(space: spaces.Space, actions: Tensor) -> Any:
    """A learner's actions as a batch of ``space``: its dtype, counted from its own start.

    Args:
        space: of one row.
        actions: as :meth:`VecEnv.step` takes them.

    Returns:
        An array (N, ...), or for a ``Tuple`` one array (N,) per head.
    """
    if isinstance(space, spaces.Tuple):
        return tuple(environment_actions(part, actions[:, k]) for k, part in enumerate(space.spaces))
    start = getattr(space, "start", 0)
    return (actions.numpy() + start).astype(space.dtype)


def action_masks(masks: Any) -> Tensor:
    """Masks (N, A) bool from an array (N, A), or from N masks that are each an array or one array per head."""
    if not (isinstance(masks, np.ndarray) and masks.dtype != object):
        masks = np.stack([np.concatenate([np.atleast_1d(head) for head in row]) for row in masks])
    return torch.tensor(masks, dtype=torch.bool)
