"""Checks of what a task's methods return, made once, in its first step, so that an error names the method."""

from collections.abc import Mapping

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


def check_observations(method: str, value: object, num_envs: int, num_observations: int) -> None:
    """Raise EnvError unless ``value`` is what ``compute_observations`` must return: (N, O) float32."""
    _check(method, value, (num_envs, num_observations), torch.float32, f" (num_observations = {num_observations})")


def check_outcome(method: str, value: object, num_envs: int) -> None:
    """Raise EnvError unless ``value`` is what ``compute_reward`` returns: reward (N,) float and terminated (N,) bool,
    or such tensors by name.
    """
    if not isinstance(value, tuple) or len(value) != 2:
        what = f"{len(value)} values" if isinstance(value, tuple | list) else type(value).__name__
        raise EnvError(f"{method}: got {what}; expected a tuple (reward, terminated), ({num_envs},) each")
    advice = "compare with a threshold, such as height < 0.3, or add .bool()"
    for name, reward in _named(method, "reward", value[0]):
        _check(f"{method}: {name}", reward, (num_envs,), torch.float32, advice=". Add .float()")
    for name, terminated in _named(method, "terminated", value[1]):
        _check(f"{method}: {name}", terminated, (num_envs,), torch.bool, advice=f". {advice}")


def _named(method: str, what: str, value: object) -> list[tuple[str, object]]:
    """Names and tensors of a reward or a termination."""
    if not isinstance(value, Mapping):
        return [(what, value)]
    if not value:
        raise EnvError(f"{method}: {what}: got an empty dictionary; expected at least one entry")
    return [(f"{what}[{name!r}]", part) for name, part in value.items()]


def check_controls(method: str, ctrl: object, shape: tuple[int, ...]) -> None:
    """Raise EnvError unless ``pre_physics_step`` left controls (N, nu) in ``sim.ctrl``."""
    _check(f"{method}: self.sim.ctrl", ctrl, shape, torch.float32)


def _check(
    name: str, value: object, shape: tuple[int, ...], dtype: torch.dtype, note: str = "", advice: str = ""
) -> None:
    expected = f"expected a {str(dtype).removeprefix('torch.')} tensor {shape}{note}"
    if not isinstance(value, Tensor):
        raise EnvError(f"{name}: got {type(value).__name__}; {expected}")
    if tuple(value.shape) != shape:
        raise EnvError(f"{name}: got shape {tuple(value.shape)}; {expected}")
    if value.dtype != dtype:
        raise EnvError(f"{name}: got dtype {value.dtype}; {expected}{advice}")
