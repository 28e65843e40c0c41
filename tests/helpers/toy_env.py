"""A toy environment with injected faults, small runs of the shipped tasks, and comparisons of states."""

import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from toy import ToyEnv, toy_params

from manybody.envs.base import Step

__all__ = ["Fault", "FaultyEnv", "differences", "stop_at_two", "task_params", "toy_params"]


class Fault(NamedTuple):
    """``value`` replaces ``key`` (obs, reward, final_obs) in row ``row`` from step ``first`` to ``last``."""

    key: str
    value: float
    row: int = 3
    first: int = 20
    last: int = 20


class FaultyEnv(ToyEnv):
    """:class:`ToyEnv` with faults; steps are counted from 0 over the whole run."""

    def __init__(self, *faults: Fault, **sizes: Any) -> None:
        super().__init__(**sizes)
        self.faults = faults
        self.count = 0

    def step(self, actions: Tensor) -> Step:
        step = super().step(actions)
        parts = {"obs": step.obs["obs"], "reward": step.reward, "final_obs": step.final_obs["obs"]}
        for key, value, row, first, last in self.faults:
            if first <= self.count <= last:
                parts[key][row] = value
        self.count += 1
        return step


def task_params(task: str, num_envs: int, train_dir: Path, **config: Any) -> dict[str, Any]:
    """Return a shipped training configuration with small sizes, as ``Runner.load`` takes it."""
    from manybody.launch.hydra_tree import compose

    tree = compose([f"task={task}", f"num_envs={num_envs}"])
    params = tree["train"]["params"]
    params["torch_threads"] = 1
    params["config"] |= {
        "name": task,
        "env_name": task,
        "minibatch_size": params["config"]["horizon_length"] * num_envs // 2,
        "mini_epochs": 2,
        "train_dir": str(train_dir),
        "print_stats": False,
        **config,
    }
    return {"params": params}


def differences(one: Any, other: Any, path: str = "") -> list[str]:
    """Return the paths at which two checkpoint states differ, bit for bit; NaN equals NaN."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        keys = {**one, **other}
        lost = [f"{path}/{key}" for key in keys if key not in one or key not in other]
        return lost + [
            x for key in keys if key in one and key in other for x in differences(one[key], other[key], f"{path}/{key}")
        ]
    if isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        return [x for i, pair in enumerate(zip(one, other, strict=True)) for x in differences(*pair, f"{path}[{i}]")]
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        same = (
            one.shape == other.shape and one.dtype == other.dtype and one.numpy().tobytes() == other.numpy().tobytes()
        )
        return [] if same else [path]
    return [] if type(one) is type(other) and one == other else [path]


def interrupt_in_the_first_epoch(agent: Any) -> bool:
    """A ``stop_fn`` that raises SIGINT in the first epoch."""
    if agent.epoch_num == 1:
        signal.raise_signal(signal.SIGINT)
    return False


def stop_at_two(agent: Any) -> bool:
    """A ``stop_fn`` that stops after the second epoch."""
    return agent.epoch_num == 2


def all_finite(state: Any) -> bool:
    """Return whether every value of a state dict is finite."""
    return all(bool(torch.as_tensor(value).isfinite().all()) for value in state.values())
