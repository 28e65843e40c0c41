"""Checks of what a task's methods return, made once, in its first step, so that an error names the method."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from manybody.config.task import TaskConfig
from manybody.envs.base import EnvError

METHODS = ("pre_physics_step", "compute_observations", "compute_reward", "reset_where")
"""Methods that a task must define."""


def check_class(cls: type) -> None:
    """Check that a task has everything that it must declare.

    Raises:
        EnvError: names everything that is missing.
    """
    missing = [name for name in METHODS if getattr(getattr(cls, name, None), "__isabstractmethod__", False)]
    missing += [name for name in ("num_observations", "num_actions", "asset") if not hasattr(cls, name)]
    if missing:
        raise EnvError(f"{cls.__name__}: {', '.join(missing)}: missing, but every task has to define it")
    config = getattr(cls, "Config", None)
    if not (isinstance(config, type) and issubclass(config, TaskConfig)):
        raise EnvError(f"{cls.__name__}.Config: got {config!r}; expected a subclass of manybody.config.task.TaskConfig")


def check_extras(method: str, value: Any) -> None:
    """Raise EnvError unless ``value`` is what ``extras`` must return: a dictionary."""
    if not isinstance(value, dict):
        raise EnvError(f"{method}: got {type(value).__name__}; expected a dictionary of metrics by name")


def check_observations(method: str, value: Any, num_envs: int, num_observations: int) -> None:
    """Raise EnvError unless ``value`` is what ``compute_observations`` must return: (N, O) float32."""
    expected = f"expected a float32 tensor {(num_envs, num_observations)} (num_observations = {num_observations})"
    _check(method, value, (num_envs, num_observations), expected)
    if value.dtype != torch.float32:
        raise EnvError(f"{method}: got dtype {value.dtype}; {expected}")


def check_outcome(method: str, value: Any, num_envs: int) -> None:
    """Raise EnvError unless ``value`` is what ``compute_reward`` returns: reward (N,) float and terminated (N,) bool,
    or such tensors by name.
    """
    if not isinstance(value, tuple) or len(value) != 2:
        what = f"{len(value)} values" if isinstance(value, tuple | list) else type(value).__name__
        raise EnvError(f"{method}: got {what}; expected a tuple (reward, terminated), ({num_envs},) each")
    for name, reward in _named(method, "reward", value[0]):
        expected = f"expected a float32 tensor ({num_envs},)"
        _check(f"{method}: {name}", reward, (num_envs,), expected)
        if reward.dtype != torch.float32:
            raise EnvError(f"{method}: {name}: got dtype {reward.dtype}; {expected}. Add .float()")
    for name, terminated in _named(method, "terminated", value[1]):
        expected = f"expected a bool tensor ({num_envs},)"
        _check(f"{method}: {name}", terminated, (num_envs,), expected)
        if terminated.dtype != torch.bool:
            hint = "compare with a threshold, such as height < 0.3, or add .bool()"
            raise EnvError(f"{method}: {name}: got dtype {terminated.dtype}; {expected}. {hint}")


def _named(method: str, what: str, value: Any) -> list[tuple[str, Any]]:
    """Names and tensors of a reward or a termination."""
    if not isinstance(value, Mapping):
        return [(what, value)]
    if not value:
        raise EnvError(f"{method}: {what}: got an empty dictionary; expected at least one entry")
    return [(f"{what}[{name!r}]", part) for name, part in value.items()]


def check_controls(method: str, ctrl: Any, shape: tuple[int, ...]) -> None:
    """Raise EnvError unless ``pre_physics_step`` left controls (N, nu) in ``sim.ctrl``."""
    _check(f"{method}: self.sim.ctrl", ctrl, shape, f"expected the controls, a tensor {shape}")


def _check(method: str, value: Any, shape: tuple[int, ...], expected: str) -> None:
    if not isinstance(value, Tensor):
        raise EnvError(f"{method}: got {type(value).__name__}; {expected}")
    if tuple(value.shape) != shape:
        raise EnvError(f"{method}: got shape {tuple(value.shape)}; {expected}")
