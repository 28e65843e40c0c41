"""``BaseAlgorithm``: what every algorithm answers to."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch


class BaseAlgorithm(ABC):
    """Something that trains a policy in a :class:`~manybody.envs.base.VecEnv`."""

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where the learner computes."""

    @abstractmethod
    def clear_stats(self) -> None:
        """Forget the episode statistics."""

    @abstractmethod
    def train(self) -> tuple[Any, int]:
        """Train until a stop rule holds; returns the last mean return and the number of epochs done."""

    @abstractmethod
    def train_epoch(self) -> Any:
        """One rollout and the updates from it."""

    @abstractmethod
    def get_full_state_weights(self) -> dict[str, Any]:
        """Everything a checkpoint holds, so that training can go on exactly from here."""

    @abstractmethod
    def set_full_state_weights(self, weights: Mapping[str, Any], set_epoch: bool = True) -> None:
        """The inverse of :meth:`get_full_state_weights`; without ``set_epoch`` the counters start at zero."""

    @abstractmethod
    def get_weights(self) -> dict[str, Any]:
        """The policy alone: parameters and normalisers."""

    @abstractmethod
    def set_weights(self, weights: Mapping[str, Any]) -> None:
        """The inverse of :meth:`get_weights`."""

    @abstractmethod
    def get_param(self, param_name: str) -> Any:
        """A parameter that population-based training may change, by its configuration key."""

    @abstractmethod
    def set_param(self, param_name: str, param_value: Any) -> None:
        """Change such a parameter."""
