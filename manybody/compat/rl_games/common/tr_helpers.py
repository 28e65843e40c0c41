"""RL Games' small helpers: shaped rewards, stacked dictionaries, batch axes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from manybody.functional import schedules


class LinearValueProcessor:
    """A number that goes from ``start_eps`` to ``end_eps`` in ``end_eps_frames`` frames and stays there."""

    def __init__(self, start_eps: float, end_eps: float, end_eps_frames: int) -> None:
        self.start_eps = start_eps
        self.end_eps = end_eps
        self.end_eps_frames = end_eps_frames

    def __call__(self, frame: int) -> float:
        """Its value after ``frame`` frames."""
        return schedules.linear(self.start_eps, self.end_eps, frame / self.end_eps_frames)


class DefaultRewardsShaper:
    """``log(clip((r + shift_value) * scale_value, min_val, max_val))``, the logarithm only with ``log_val``.

    Args:
        scale_value: factor.
        shift_value: is added first.
        min_val: floor.
        max_val: cap.
        log_val: take the logarithm at the end.
        is_torch: of tensors; else of NumPy arrays and numbers.
    """

    def __init__(
        self,
        scale_value: float = 1,
        shift_value: float = 0,
        min_val: float = -np.inf,
        max_val: float = np.inf,
        log_val: bool = False,
        is_torch: bool = True,
    ) -> None:
        self.scale_value = scale_value
        self.shift_value = shift_value
        self.min_val = min_val
        self.max_val = max_val
        self.log_val = log_val
        self.is_torch = is_torch
        self.log: Any = torch.log if is_torch else np.log
        self.clip: Any = torch.clamp if is_torch else np.clip

    def __call__(self, reward: Any) -> Any:
        """Shaped rewards, shape as given."""
        shaped = self.clip((reward + self.shift_value) * self.scale_value, self.min_val, self.max_val)
        return self.log(shaped) if self.log_val else shaped


def dicts_to_dict_with_arrays(dicts: Sequence[Mapping[str, Any]], add_batch_dim: bool = True) -> Any:
    """One dictionary of arrays from several of one kind; fewer than two come back as they are.

    Args:
        dicts: with the same keys.
        add_batch_dim: stack along a new first axis, else join along the one there is. Numbers become one array.
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
    """An observation as a batch of one, or a dictionary of them; a single number (1,) is taken for such a batch."""
    if isinstance(obs, Mapping):
        return {key: unsqueeze_obs(value) for key, value in obs.items()}
    return obs if tuple(obs.shape) in ((), (1,)) else obs.unsqueeze(0)


def flatten_first_two_dims(arr: Any) -> Any:
    """(A B, ...) from (A, B, ...)."""
    return arr.reshape(-1, *arr.shape[2:])
