"""A small AMP task: a point that moves along a circle."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from manybody.envs.base import EnvSpec, Obs, Step, VecEnv

STRIDE = 0.3
"""Distance that a point moves in one step at action 1."""
TURN = 0.2
"""Angle per step of the demonstrations in rad; their distance from the centre is 1."""


class OrbitEnv(VecEnv):
    """Points in the plane. ``amp_obs`` (N, 4) is the position before a step and the displacement; the reward is 0.

    ``distance`` and ``turn`` hold one entry per step: mean distance from the centre and mean angle. In the
    demonstrations they are 1 and ``TURN``.
    """

    def __init__(self, num_envs: int = 64, length: int = 40, seed: int = 0) -> None:
        self.num_envs, self.length = num_envs, length
        self.device = torch.device("cpu")
        self.spec = EnvSpec(spaces.Box(-9.0, 9.0, (2,), np.float32), spaces.Box(-1.0, 1.0, (2,), np.float32))
        self.generator = torch.Generator().manual_seed(seed)
        self.steps = torch.arange(num_envs) % length
        self.place = self._on_circle(num_envs)
        self.distance: list[Tensor] = []
        self.turn: list[Tensor] = []

    def _on_circle(self, count: int) -> Tensor:
        angle = 2 * math.pi * torch.rand(count, generator=self.generator)
        return torch.stack((angle.cos(), angle.sin()), dim=1)

    def get_env_info(self) -> dict[str, Any]:
        return super().get_env_info() | {"amp_observation_space": spaces.Box(-9.0, 9.0, (4,), np.float32)}

    def fetch_amp_obs_demo(self, count: int) -> Tensor:
        before = self._on_circle(count)
        x, y = before.unbind(1)
        cos, sin = math.cos(TURN), math.sin(TURN)
        after = torch.stack((cos * x - sin * y, sin * x + cos * y), dim=1)
        return torch.cat((before, after - before), dim=1)

    def reset(self) -> Obs:
        return {"obs": self.place.clone()}

    def step(self, actions: Tensor) -> Step:
        before, self.place = self.place, self.place + STRIDE * actions.clamp(-1, 1)
        (a, b), (c, d) = before.unbind(1), self.place.unbind(1)
        self.distance.append(self.place.norm(dim=1).mean())
        self.turn.append(torch.atan2(a * d - b * c, a * c + b * d).mean())
        self.steps = self.steps + 1
        ended = self.steps >= self.length
        last = self.place
        self.steps = torch.where(ended, 0, self.steps)
        self.place = torch.where(ended.unsqueeze(1), self._on_circle(self.num_envs), last)
        extras = {"amp_obs": torch.cat((before, last - before), dim=1)}
        zero = torch.zeros(self.num_envs)
        return Step({"obs": self.place.clone()}, zero, zero.bool(), ended, {"obs": last}, extras)

    def get_env_state(self) -> Mapping[str, Any]:
        return {"steps": self.steps, "place": self.place, "generator": self.generator.get_state()}

    def set_env_state(self, state: Mapping[str, Any]) -> None:
        self.steps, self.place = state["steps"].clone(), state["place"].clone()
        self.generator.set_state(state["generator"])


def orbit_params(num_envs: int = 64, **config: Any) -> dict[str, Any]:
    """Return the ``params`` of an AMP run on ``OrbitEnv``; ``config`` overrides keys of that section."""
    small = {"units": [64, 64], "activation": "relu"}
    space = {
        "mu_activation": None,
        "sigma_activation": None,
        "mu_init": {"name": "default"},
        "sigma_init": {"name": "const_initializer", "val": -2.0},
        "fixed_sigma": True,
        "learn_sigma": False,
    }
    return {
        "seed": 1,
        "torch_threads": 1,
        "algo": {"name": "amp_continuous"},
        "model": {"name": "continuous_amp"},
        "network": {
            "name": "amp",
            "separate": True,
            "space": {"continuous": space},
            "mlp": small,
            "disc": small,
        },
        "config": {
            "name": "Orbit",
            "env_name": "orbit",
            "num_actors": num_envs,
            "normalize_input": True,
            "normalize_value": True,
            "normalize_advantage": True,
            "gamma": 0.95,
            "tau": 0.95,
            "horizon_length": 16,
            "minibatch_size": 4 * num_envs,
            "mini_epochs": 4,
            "learning_rate": 1e-3,
            "lr_schedule": "constant",
            "e_clip": 0.2,
            "clip_value": False,
            "critic_coef": 2,
            "entropy_coef": 0.0,
            "bounds_loss_coef": 1,
            "amp_batch_size": 64,
            "amp_minibatch_size": 256,
            "amp_obs_demo_buffer_size": 2000,
            "amp_replay_buffer_size": 10000,
            "print_stats": False,
            "max_epochs": 2,
            **config,
        },
    }
