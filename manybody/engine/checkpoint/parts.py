"""The state of training as named parts, each with ``state_dict`` and ``load_state_dict``, and the loop over them."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from manybody.data.tree import State, tree_map
from manybody.engine.checkpoint import check_state_dict, load_optimizer, require
from manybody.engine.checkpoint.untrusted import named_file
from manybody.engine.console import warn


class Stateful(Protocol):
    """An object whose state is part of checkpoints."""

    def state_dict(self) -> Any:
        """Return tensors, numbers and containers of them."""

    def load_state_dict(self, state: Any) -> Any:
        """Restore :meth:`state_dict`."""


Parts = Mapping[str, Stateful]
"""Parts by their keys in a checkpoint."""


class NotRestoredError(Exception):
    """A part cannot be restored and restarts; the checkpoint is accepted with a warning."""


class Part(NamedTuple):
    """A part defined by two functions; an ``optional`` one is not saved if None, and loads None if it is missing."""

    state_dict: Callable[[], Any]
    load_state_dict: Callable[[Any], Any]
    optional: bool = False


class Attribute(NamedTuple):
    """An attribute of ``owner``: a number, a tensor or nested tensors, which are copied to ``device``."""

    owner: Any
    name: str
    device: torch.device
    optional: bool = False

    def state_dict(self) -> Any:
        """Return the attribute."""
        return getattr(self.owner, self.name)

    def load_state_dict(self, state: object) -> None:
        """Set the attribute, unless the checkpoint has no such part."""
        if state is not None:
            setattr(self.owner, self.name, tree_map(self._copied, state))

    def _copied(self, value: object) -> Any:
        return value.to(self.device).clone() if isinstance(value, Tensor) else value


class ModulePart(NamedTuple):
    """Parameters and statistics of ``module``, compared by name and shape before they are loaded."""

    module: nn.Module
    key: str
    """Its key in checkpoints, for messages."""

    def state_dict(self) -> Any:
        """Return parameters and statistics by name."""
        return self.module.state_dict()

    def load_state_dict(self, state: Any) -> None:
        """Load ``state``. Raises CheckpointError naming every parameter that does not fit."""
        check_state_dict(self.module.state_dict(), state, "", self.key)
        self.module.load_state_dict(state)


class OptimizerPart(NamedTuple):
    """Moments and settings of ``optimizer``; ``lr``, if set, replaces the saved learning rate."""

    optimizer: torch.optim.Optimizer
    key: str
    parameters: Mapping[str, Tensor]
    """The optimised parameters by name, in the optimiser's order."""
    lr: float | None = None
    weights: str = "model"
    """Key in checkpoints of the model that has these parameters."""

    def state_dict(self) -> Any:
        """Return moments and settings."""
        return self.optimizer.state_dict()

    def load_state_dict(self, state: object) -> None:
        """Load a copy of ``state``. Raises CheckpointError if it is of another optimiser."""
        load_optimizer(self.optimizer, {self.key: state}, self.key, "")
        for group in self.optimizer.param_groups if self.lr is not None else ():
            group["lr"] = torch.tensor(self.lr, device=group["params"][0].device)


def state_of(parts: Parts) -> State:
    """Return the state of every part by its key."""
    states = {key: part.state_dict() for key, part in parts.items()}
    return {key: state for key, state in states.items() if state is not None or not _is_optional(parts[key])}


def restore(parts: Parts, state: State, path: str) -> None:
    """Load every part from a checkpoint; ``path`` is the file, for messages.

    Raises:
        CheckpointError: a part is missing or does not fit.
    """
    for key, part in parts.items():
        try:
            with named_file(path):
                part.load_state_dict(state.get(key) if _is_optional(part) else require(state, key, path))
        except NotRestoredError as reason:
            warn(f"{path}: {reason}")


def _is_optional(part: Stateful) -> bool:
    return getattr(part, "optional", False)
