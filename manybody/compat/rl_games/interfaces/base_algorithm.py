"""RL Games' interface of algorithms, which this library's have too."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from manybody.algos import base


class BaseAlgorithm(ABC):
    """What every algorithm answers to; see :class:`manybody.algos.base.BaseAlgorithm`, which counts as one."""

    def __init__(self, base_name: str, config: Any) -> None:
        pass

    @property
    @abstractmethod
    def device(self) -> Any:
        """Where the learner computes."""

    @abstractmethod
    def clear_stats(self) -> None:
        """Forget the episode statistics."""

    @abstractmethod
    def train(self) -> Any:
        """Train until a stop rule holds."""

    @abstractmethod
    def train_epoch(self) -> Any:
        """One rollout and the updates from it."""

    @abstractmethod
    def get_full_state_weights(self) -> Any:
        """Everything a checkpoint holds."""

    @abstractmethod
    def set_full_state_weights(self, weights: Mapping[str, Any], set_epoch: bool) -> Any:
        """The inverse of :meth:`get_full_state_weights`."""

    @abstractmethod
    def get_weights(self) -> Any:
        """The policy alone."""

    @abstractmethod
    def set_weights(self, weights: Mapping[str, Any]) -> Any:
        """The inverse of :meth:`get_weights`."""

    @abstractmethod
    def get_param(self, param_name: str) -> Any:
        """A parameter that population-based training may change."""

    @abstractmethod
    def set_param(self, param_name: str, param_value: Any) -> None:
        """Change such a parameter."""


BaseAlgorithm.register(base.BaseAlgorithm)  # type: ignore[type-abstract]
