"""A small environment whose best policy and best return are known."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from manybody.envs.base import EnvSpec, Obs, Step, VecEnv

OBS = 3
ACTIONS = 2


class ToyEnv(VecEnv):
    """The best action is half of the first two entries of the observation, in an action space from -2 to 2.

    Nothing is random. In episode step t, environment i observes ``sin(0.7 i + 1.3 t + k)`` for k = 0, 1, 2, and the
    reward is ``1 - mean_a (action_a - obs_a / 2)^2``. The best return is ``length``, the number of steps of an episode.
    Odd environments are truncated, even ones terminated.

    Args:
        num_envs: N.
        length: steps of an episode; environment i starts at step ``i % length``, so that not all end at once.
        gives_final_obs: whether a step contains the final observation of an ended episode.
        value_size: V; all reward components are equal.
    """

    def __init__(self, num_envs: int = 8, length: int = 5, gives_final_obs: bool = True, value_size: int = 1) -> None:
        self.num_envs = num_envs
        self.length = length
        self.gives_final_obs = gives_final_obs
        self.device = torch.device("cpu")
        high = np.full(ACTIONS, 2.0, np.float32)
        self.spec = EnvSpec(
            spaces.Box(-1.0, 1.0, (OBS,), np.float32),
            spaces.Box(-high, high, dtype=np.float32),
            value_size=value_size,
        )
        self.rows = torch.arange(num_envs)
        self.steps = self.rows % length
        self.actions: list[Tensor] = []
        self.calls: list[str] = []

    def observe(self) -> Tensor:
        """Return the observations (N, 3) of the current steps."""
        phase = 0.7 * self.rows.unsqueeze(1) + 1.3 * self.steps.unsqueeze(1) + torch.arange(OBS)
        return torch.sin(phase)

    def reset(self) -> Obs:
        self.calls.append("reset")
        self.steps = self.rows % self.length
        return {"obs": self.observe()}

    def step(self, actions: Tensor) -> Step:
        self.calls.append("step")
        self.actions.append(actions.clone())
        reward = 1.0 - (actions - self.observe()[:, :ACTIONS] / 2.0).square().mean(dim=1)
        if self.spec.value_size > 1:
            reward = reward.unsqueeze(1).repeat(1, self.spec.value_size)
        self.steps = self.steps + 1
        ended = self.steps >= self.length
        odd = self.rows % 2 == 1
        final_obs = {"obs": self.observe()} if self.gives_final_obs else None
        self.steps = torch.where(ended, 0, self.steps)
        return Step({"obs": self.observe()}, reward, ended & ~odd, ended & odd, final_obs, {})

    def get_env_state(self) -> Mapping[str, Any]:
        return {"steps": self.steps.clone()}

    def set_env_state(self, state: Mapping[str, Any]) -> None:
        self.steps = state["steps"].clone()


GAUSSIAN: dict[str, Any] = {
    "continuous": {
        "mu_activation": "None",
        "sigma_activation": "None",
        "mu_init": {"name": "default"},
        "sigma_init": {"name": "const_initializer", "val": 0},
        "fixed_sigma": True,
    }
}
"""``network.space`` of a Gaussian policy whose standard deviation is a parameter; copy it before changing it."""


def toy_params(**config: Any) -> dict[str, Any]:
    """Return the ``params`` of a PPO run on eight toy environments; ``config`` overrides keys of that section."""
    return {
        "seed": 0,
        "algo": {"name": "a2c_continuous"},
        "model": {"name": "continuous_a2c_logstd"},
        "network": {
            "name": "actor_critic",
            "separate": False,
            "space": deepcopy(GAUSSIAN),
            "mlp": {"units": [16, 8], "activation": "elu", "initializer": {"name": "default"}},
        },
        "config": {
            "name": "Toy",
            "env_name": "toy",
            "num_actors": 8,
            "device": "cpu",
            "reward_shaper": {"scale_value": 0.1},
            "normalize_advantage": True,
            "normalize_input": True,
            "normalize_value": True,
            "gamma": 0.99,
            "tau": 0.95,
            "learning_rate": 1e-3,
            "lr_schedule": "adaptive",
            "kl_threshold": 0.008,
            "e_clip": 0.2,
            "clip_value": True,
            "critic_coef": 2.0,
            "entropy_coef": 0.01,
            "bounds_loss_coef": 0.001,
            "truncate_grads": True,
            "grad_norm": 1.0,
            "horizon_length": 8,
            "minibatch_size": 32,
            "mini_epochs": 2,
            "print_stats": False,
            **config,
        },
    }
