"""Environments with the interface of Isaac Lab's ``ManagerBasedRLEnv`` and of mjlab's ``ManagerBasedRlEnv``."""

import math
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import gymnasium
import torch
from gymnasium import spaces


@dataclass
class LabCfg:
    """A task's configuration, nested like those of Isaac Lab and mjlab."""

    scene: Any = field(default_factory=lambda: SimpleNamespace(num_envs=1, env_spacing=2.0))
    sim: Any = field(default_factory=lambda: SimpleNamespace(device="cuda:0", dt=0.01))
    rewards: dict[str, Any] = field(default_factory=lambda: {"alive": SimpleNamespace(weight=1.0)})
    seed: int | None = None
    is_finite_horizon: bool = False
    auto_reset: bool = True
    discrete: bool = False
    groups: dict[str, Any] = field(default_factory=lambda: {"policy": 2, "critic": 3})
    """Size of each group's vector, or a dictionary of them."""


class LabEnv(gymnasium.Env):
    """Row 0 terminates in step 3 of its episode, row 2 in step 5; every row is truncated in step 5, row 2 as well.

    Entry j of a group in row n is ``100 n + t + j / 10`` after t steps of the episode. The reward is the sum of the
    received action. As in Isaac Lab, each step overwrites the tensors that it returns, and ``extras`` is always one
    dictionary; its ``log`` holds the lengths of the episodes that ended last.
    """

    FAILS, LIMIT = {0: 3, 2: 5}, 5

    def __init__(self, cfg: LabCfg, device: str | None = None, **kwargs: Any) -> None:
        self.cfg, self.device = cfg, device or cfg.sim.device
        self.num_envs = cfg.scene.num_envs
        self.single_observation_space = self._space(cfg.groups)
        self.single_action_space: Any = self._box(2)
        if cfg.discrete:
            self.single_action_space = spaces.Discrete(3)
        self.fails = torch.tensor([self.FAILS.get(n, 99) for n in range(self.num_envs)])
        self.t = torch.zeros(self.num_envs, dtype=torch.int64)
        self.obs_buf: Any = self._zeros(cfg.groups)
        self.reward_buf = torch.zeros(self.num_envs)
        self.extras: dict[str, Any] = {}
        self.received: list[torch.Tensor] = []
        self.closed = False

    def _box(self, size: int) -> Any:
        return spaces.Box(-math.inf, math.inf, (size,))

    def _dict(self, parts: dict[str, Any]) -> Any:
        return spaces.Dict(parts)

    def _space(self, groups: Any) -> Any:
        if isinstance(groups, int):
            return self._box(groups)
        return self._dict({name: self._space(size) for name, size in groups.items()})

    def _zeros(self, groups: Any) -> Any:
        if isinstance(groups, int):
            return torch.zeros(self.num_envs, groups)
        return {name: self._zeros(size) for name, size in groups.items()}

    def _observe(self, buffer: Any) -> Any:
        if isinstance(buffer, dict):
            return {name: self._observe(part) for name, part in buffer.items()}
        row, entry = torch.arange(self.num_envs).unsqueeze(1), torch.arange(buffer.shape[1])
        return buffer.copy_(100 * row + self.t.unsqueeze(1) + entry / 10)

    def reset(self, *, seed: Any = None, env_ids: Any = None, options: Any = None) -> Any:
        self._begin(slice(None) if env_ids is None else env_ids)
        return self._observe(self.obs_buf), self.extras

    def _begin(self, rows: Any) -> None:
        self.extras["log"] = {
            "Episode/steps": self.t[rows].float().mean(),
            "Episode/ended": len(self.t[rows]),
        }
        self.t[rows] = 0

    def step(self, action: torch.Tensor) -> Any:
        self.received.append(action)
        self.t += 1
        terminated, truncated = self.t == self.fails, self.t == self.LIMIT
        self.reward_buf.copy_(action.sum(dim=1))
        self.extras["time_outs"] = truncated
        if self.cfg.auto_reset and (rows := (terminated | truncated).nonzero().flatten()).numel():
            self._begin(rows)
        return self._observe(self.obs_buf), self.reward_buf, terminated, truncated, self.extras

    def close(self) -> None:
        self.closed = True


@dataclass
class Box:
    """mjlab's class, which does not inherit from Gymnasium's."""

    shape: tuple[int, ...] = ()
    dtype: str = "float32"
    low: float = -math.inf
    high: float = math.inf


@dataclass
class Dict:
    """mjlab's class."""

    spaces: dict[str, Any] = field(default_factory=dict)


class MjlabLikeEnv(LabEnv):
    """The same environment with mjlab's spaces."""

    def _box(self, size: int) -> Box:
        return Box((size,))

    def _dict(self, parts: dict[str, Any]) -> Dict:
        return Dict(parts)
