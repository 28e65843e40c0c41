"""Supported spaces, and the conversion of observations, rewards, episode ends and actions between NumPy and torch."""

import reprlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from manybody.data.rollout import Field, FieldTree
from manybody.data.tree import Tree, tree_map
from manybody.envs.base import EnvError

NUMPY: dict[torch.dtype, type] = {torch.uint8: np.uint8, torch.float32: np.float32, torch.bool: np.bool_}
"""NumPy's dtype for each tensor dtype of the adapters."""
ObsShape = tuple[int, ...] | Mapping[str, tuple[int, ...]]
"""Shape of one observation, or shapes by key."""


def check_spaces(env_name: str, observation_space: spaces.Space, action_space: spaces.Space) -> None:
    """Raise EnvError if the algorithms do not support these spaces."""
    parts = observation_space.values() if isinstance(observation_space, spaces.Dict) else [observation_space]
    got = f"env_name: observation space of {env_name!r}: got {observation_space}"
    if not all(isinstance(part, spaces.Box) for part in parts):
        raise EnvError(
            f"{got}; expected a Box or a Dict of Boxes. gymnasium.wrappers.FlattenObservation makes a Box of others"
        )
    if any(not part.shape or 0 in part.shape for part in parts):
        raise EnvError(
            f"{got}; expected numbers on an axis: a single one has the shape (1,). EnvPool's env_config.flatten_obs: "
            "True joins the parts of a Dict"
        )
    if isinstance(action_space, spaces.Box | spaces.MultiDiscrete):
        supported = len(action_space.shape) == 1 and action_space.shape[0] > 0
    else:
        heads = action_space.spaces if isinstance(action_space, spaces.Tuple) else [action_space]
        supported = all(isinstance(space, spaces.Discrete) for space in heads)
    if not supported:
        raise EnvError(
            f"env_name: action space of {env_name!r}: got {action_space}; expected a Box or a MultiDiscrete with "
            "one axis, a Discrete, or a Tuple of Discrete"
        )


def actions_num(action_space: spaces.Space) -> int | tuple[int, ...]:
    """Return the number of actions: A of a ``Box``, or the choices of a ``Discrete`` or of each head."""
    if isinstance(action_space, spaces.Box):
        return action_space.shape[0]
    sizes = head_sizes(action_space)
    return sizes[0] if isinstance(action_space, spaces.Discrete) else sizes


def without_mask(space: spaces.Space) -> tuple[spaces.Space, bool]:
    """Return the policy's space, and whether ``space`` is ``{'observation': ..., 'action_mask': ...}``."""
    if isinstance(space, spaces.Dict) and set(space) == {"observation", "action_mask"}:
        return space["observation"], True
    return space, False


def head_sizes(action_space: spaces.Space) -> tuple[int, ...]:
    """Return the number of choices of each head of a discrete action space; empty for a ``Box``."""
    if isinstance(action_space, spaces.Discrete):
        return (int(action_space.n),)
    if isinstance(action_space, spaces.MultiDiscrete):
        return tuple(int(n) for n in action_space.nvec)
    if isinstance(action_space, spaces.Tuple):
        return tuple(n for space in action_space.spaces for n in head_sizes(space))
    return ()


def blocked_rows(masks: Tensor, sizes: Sequence[int]) -> Tensor:
    """Return (N,) bool: the rows of action masks (N, sum of ``sizes``) in which a head allows no action."""
    return torch.stack([~head.any(dim=-1) for head in masks.split(list(sizes), dim=-1)]).any(dim=0)


def observation_dtype(space: spaces.Space) -> torch.dtype:
    """Return uint8 for uint8 (images stay small), float32 for all other dtypes."""
    return torch.uint8 if space.dtype == np.uint8 else torch.float32


def describe(value: object) -> str:
    """Describe a value in a message."""
    if isinstance(value, np.ndarray | Tensor):
        kind = "an array" if isinstance(value, np.ndarray) else "a tensor"
        return f"{kind} {tuple(value.shape)} of {value.dtype}"
    if isinstance(value, Mapping):
        return f"a dict with the keys {sorted(map(str, value))}"
    return reprlib.repr(value)


def numeric_array(value: object) -> np.ndarray | None:
    """Convert ``value`` to NumPy; None if it is not made of numbers, or its parts have different shapes."""
    if isinstance(value, Tensor):
        value = value.detach().cpu()
    try:
        array = np.asarray(value)
    except (TypeError, ValueError):
        return None
    return array if array.dtype.kind in "biuf" else None


def numbers(what: str, value: object, dtype: torch.dtype) -> Tensor:
    """Copy ``value`` to a tensor on the same device, with a dtype of :data:`NUMPY`.

    Raises:
        EnvError: it is not made of numbers, or its parts have different shapes; the message begins with ``what``.
    """
    if isinstance(value, Tensor):
        return value.to(dtype, copy=True)
    array = numeric_array(value)
    if array is None:
        raise EnvError(f"{what}: got {describe(value)}; expected numbers")
    # NumPy copies, because torch would use its threads, which would compete with those of the environment.
    return torch.from_numpy(np.array(array, NUMPY[dtype]))


def flags(what: str, value: object, rows: int) -> Tensor:
    """Copy ``value``, (rows,) or (rows, 1), to a tensor (rows,) bool.

    Raises:
        EnvError: it is not made of numbers or has another shape; torch would broadcast (1,) without an error.
    """
    tensor = numbers(what, value, torch.bool)
    if tensor.shape == (rows, 1):
        tensor = tensor.squeeze(1)
    if tensor.shape != (rows,):
        raise EnvError(f"{what}: got the shape {tuple(tensor.shape)}; expected ({rows},), one per row")
    return tensor


def outcome(
    where: str, rows: int, rewards: object, terminated: object, truncated: object
) -> tuple[Tensor, Tensor, Tensor]:
    """Convert to reward float32, terminated and truncated (rows,) bool; a row that is both is terminated."""
    ended = flags(f"{where} terminated", terminated, rows)
    cut_short = flags(f"{where} truncated", truncated, rows) & ~ended
    return numbers(f"{where} reward", rewards, torch.float32), ended, cut_short


def observation_tensors(space: spaces.Space, value: object, what: str = "observation") -> Tree:
    """Copy ``value`` of ``space``, batched or not, to tensors in the same structure.

    Keys that the space lacks are dropped; :mod:`manybody.envs.validation` reports missing ones.
    """
    if isinstance(value, Mapping):
        named = space.items() if isinstance(space, spaces.Dict) else ()
        return {key: observation_tensors(part, value[key], f"{what}[{key!r}]") for key, part in named if key in value}
    return numbers(what, value, observation_dtype(space))


def gymnasium_space(space: Any) -> spaces.Space:
    """Convert a space to Gymnasium's. Legacy gym's spaces (Isaac Lab's wrapper) are recognised by their class names."""
    if isinstance(space, spaces.Space):
        return space
    match type(space).__name__:
        case "Box":
            return spaces.Box(space.low, space.high, space.shape, np.dtype(space.dtype).type)
        case "Dict":
            return spaces.Dict({key: gymnasium_space(part) for key, part in space.spaces.items()})
        case "Discrete":
            return spaces.Discrete(int(space.n))
        case "MultiDiscrete":
            return spaces.MultiDiscrete(space.nvec)
        case "Tuple":
            return spaces.Tuple([gymnasium_space(part) for part in space.spaces])
    raise EnvError(f"env_name: space: got {space!r}; expected a Box, Dict, Discrete, MultiDiscrete or Tuple")


def environment_actions(space: spaces.Space, actions: Tensor) -> Any:
    """Convert the actions of :meth:`VecEnv.step` to a batch of ``space``, with its dtype and start.

    The result is an array (N, ...), or for a ``Tuple`` one array (N,) per head.
    """
    if isinstance(space, spaces.Tuple):
        return tuple(environment_actions(part, actions[:, k]) for k, part in enumerate(space.spaces))
    start = getattr(space, "start", 0)
    return (actions.numpy() + start).astype(space.dtype)


def action_masks(masks: Iterable[Any], what: str = "action_mask") -> Tensor:
    """Convert an array (N, A), or N masks that are each an array or one array per head, to masks (N, A) bool."""
    if not (isinstance(masks, np.ndarray) and masks.dtype != object):
        try:
            masks = np.stack([np.concatenate([np.atleast_1d(head) for head in row]) for row in masks])
        except (TypeError, ValueError) as error:
            raise EnvError(
                f"{what}: got {describe(masks)} ({error}); expected masks (N, A), or one array per head in each row"
            ) from error
    return numbers(what, masks, torch.bool)


def observation_shape(space: spaces.Space) -> ObsShape:
    """Return the shape of one observation, or shapes by key."""
    return tree_map(lambda part: part.shape, space)


def observation_fields(space: spaces.Space) -> FieldTree:
    """Return shape and dtype of one stored observation, or of its parts by key."""
    return tree_map(lambda part: Field(part.shape, observation_dtype(part)), space)
