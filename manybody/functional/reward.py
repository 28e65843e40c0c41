"""Reward shaping as RL Games' ``reward_shaper`` section defines it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class RewardsShaper:
    """The function ``log(clamp((r + shift_value) * scale_value, min_val, max_val))``; unset parts are left out."""

    scale_value: float = 1.0
    shift_value: float = 0.0
    min_val: float = -math.inf
    max_val: float = math.inf
    log_val: bool = False

    @classmethod
    def from_config(cls, settings: Mapping[str, Any]) -> "RewardsShaper":
        """Create a shaper from the ``reward_shaper`` section."""
        return cls(**{field.name: settings[field.name] for field in fields(cls)})

    def __call__(self, reward: Tensor) -> Tensor:
        """Return shaped rewards of the same shape."""
        shaped = (reward + self.shift_value) * self.scale_value
        if self.min_val > -math.inf or self.max_val < math.inf:
            shaped = shaped.clamp(self.min_val, self.max_val)
        return torch.log(shaped) if self.log_val else shaped
