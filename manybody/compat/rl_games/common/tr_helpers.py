"""RL Games' small helpers: shaped rewards, stacked dictionaries, batch axes."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from manybody.functional import schedules
from manybody.functional.reward import RewardsShaper


class LinearValueProcessor:
    """A linear schedule from ``start_eps`` to ``end_eps`` over ``end_eps_frames`` frames."""

    def __init__(self, start_eps: float, end_eps: float, end_eps_frames: int) -> None:
        self.start_eps = start_eps
        self.end_eps = end_eps
        self.end_eps_frames = end_eps_frames

    def __call__(self, frame: int) -> float:
        """Its value after ``frame`` frames."""
        return schedules.linear(self.start_eps, self.end_eps, frame / self.end_eps_frames)


class DefaultRewardsShaper:
    """:class:`manybody.functional.reward.RewardsShaper` with attributes that may change.

    ``is_torch``: rewards are tensors; else they may be NumPy arrays and numbers, and come back as arrays.
    """

    def __init__(
        self,
        scale_value: float = 1,
        shift_value: float = 0,
        min_val: float = -math.inf,
        max_val: float = math.inf,
        log_val: bool = False,
        is_torch: bool = True,
    ) -> None:
        self.scale_value = scale_value
        self.shift_value = shift_value
        self.min_val = min_val
        self.max_val = max_val
        self.log_val = log_val
        self.is_torch = is_torch

    def __call__(self, reward: Any) -> Any:
        """Shaped rewards, shape as given."""
        limits = self.min_val, self.max_val
        shaped = RewardsShaper(self.scale_value, self.shift_value, *limits, self.log_val)(torch.as_tensor(reward))
        return shaped if self.is_torch else shaped.numpy()


def dicts_to_dict_with_arrays(dicts: Sequence[Mapping[str, Any]], add_batch_dim: bool = True) -> Any:
    """Return one dictionary of arrays from several with the same keys; fewer than two are returned unchanged.

    Args:
        dicts: the dictionaries.
        add_batch_dim: stack along a new first axis, else concatenate. Numbers become one array.
    """
    if len(dicts) <= 1:
        return dicts
    join = np.stack if add_batch_dim else np.concatenate
    columns: dict[str, list[Any]] = {}
    for part in dicts:
        for key, value in part.items():
            columns.setdefault(key, []).append(value)
    return {key: np.array(values) if np.ndim(values[0]) == 0 else join(values) for key, values in columns.items()}


def unsqueeze_obs(obs: Any) -> Any:
    """Return an observation, or a dictionary of them, as a batch of one; the shape (1,) counts as such a batch."""
    if isinstance(obs, Mapping):
        return {key: unsqueeze_obs(value) for key, value in obs.items()}
    return obs if tuple(obs.shape) in ((), (1,)) else obs.unsqueeze(0)


def flatten_first_two_dims(arr: Any) -> Any:
    """(A B, ...) from (A, B, ...)."""
    return arr.reshape(-1, *arr.shape[2:])
