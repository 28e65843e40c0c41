"""RL Games' small helpers: shaped rewards, stacked dictionaries, batch axes."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from manybody.functional import schedules
from manybody.functional.reward import RewardsShaper


@dataclass(eq=False)
class LinearValueProcessor:
    """A linear schedule from ``start_eps`` to ``end_eps`` over ``end_eps_frames`` frames."""

    start_eps: float
    end_eps: float
    end_eps_frames: int

    def __call__(self, frame: int) -> float:
        """Return the value after ``frame`` frames."""
        return schedules.linear(self.start_eps, self.end_eps, frame / self.end_eps_frames)


@dataclass(eq=False)
class DefaultRewardsShaper:
    """:class:`manybody.functional.reward.RewardsShaper` with attributes that may change.

    Without ``is_torch`` rewards may be NumPy arrays and numbers, and arrays are returned.
    """

    scale_value: float = 1
    shift_value: float = 0
    min_val: float = -math.inf
    max_val: float = math.inf
    log_val: bool = False
    is_torch: bool = True

    def __call__(self, reward: Any) -> Any:
        """Return shaped rewards of the same shape."""
        limits = self.min_val, self.max_val
        shaped = RewardsShaper(self.scale_value, self.shift_value, *limits, self.log_val)(torch.as_tensor(reward))
        return shaped if self.is_torch else shaped.numpy()


def dicts_to_dict_with_arrays(dicts: Sequence[Mapping[str, Any]], add_batch_dim: bool = True) -> Any:
    """Join dictionaries of arrays or numbers with the same keys; fewer than two are returned unchanged.

    With ``add_batch_dim`` arrays are stacked along a new first axis, else concatenated.
    """
    if len(dicts) <= 1:
        return dicts
    join = np.stack if add_batch_dim else np.concatenate
    columns = {key: [part[key] for part in dicts] for key in dicts[0]}
    return {key: np.array(values) if np.ndim(values[0]) == 0 else join(values) for key, values in columns.items()}


def unsqueeze_obs(obs: Any) -> Any:
    """Return an observation, or a dictionary of them, as a batch of one; the shape (1,) counts as such a batch."""
    if isinstance(obs, Mapping):
        return {key: unsqueeze_obs(value) for key, value in obs.items()}
    return obs if tuple(obs.shape) in ((), (1,)) else obs.unsqueeze(0)


def flatten_first_two_dims(arr: Any) -> Any:
    """(A B, ...) from (A, B, ...)."""
    return arr.reshape(-1, *arr.shape[2:])
