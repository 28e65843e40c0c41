"""A small environment for every kind of action and observation space, and its configuration."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor
from toy import GAUSSIAN

from manybody.envs.base import EnvSpec, Obs, Step, VecEnv

ACTION_SPACES = {
    "box": spaces.Box(-1.0, 1.0, (2,), np.float32),
    "discrete": spaces.Discrete(3),
    "multi_discrete": spaces.MultiDiscrete([2, 4]),
    "tuple": spaces.Tuple([spaces.Discrete(3), spaces.Discrete(2)]),
}
OBSERVATIONS = ("vector", "dict", "image")
LENGTH = 6
"""Steps of an episode; odd environments are then truncated, even ones terminated."""


class FamilyEnv(VecEnv):
    """The best action depends on the step: the reward is 1 for the right choice, ``1 - error^2`` for a real action.

    Nothing is random. Row r (environment x agent) observes ``sin(0.7 r + 1.3 t + k)`` for k up to 2; ``states`` are the
    same for k up to 4, per environment. The mask forbids choice ``t mod 2`` of every head.

    Args:
        action: a key of ``ACTION_SPACES``.
        observation: one of ``OBSERVATIONS``.
        num_envs: environments.
        agents: rows per environment.
        states: whether there are observations for a central critic.
        blocked: the step at which the mask of row 1 forbids every choice.
    """

    def __init__(
        self,
        action: str = "discrete",
        observation: str = "vector",
        num_envs: int = 4,
        agents: int = 1,
        states: bool = True,
        blocked: int | None = None,
    ) -> None:
        self.num_envs, self.agents, self.rows = num_envs, agents, num_envs * agents
        self.device = torch.device("cpu")
        self.observation, self.blocked = observation, blocked
        vector = spaces.Box(-1.0, 1.0, (3,), np.float32)
        image = spaces.Box(0, 255, (8, 8, 2), np.uint8)
        self.spec = EnvSpec(
            {"vector": vector, "image": image, "dict": spaces.Dict({"image": image, "vector": vector})}[observation],
            ACTION_SPACES[action],
            state_space=spaces.Box(-1.0, 1.0, (5,), np.float32) if states else None,
            num_agents=agents,
        )
        self.sizes = head_sizes(ACTION_SPACES[action])
        self.steps = torch.arange(num_envs) % LENGTH
        self.forbidden_choices = 0

    def _wave(self, width: int, rows: int) -> Tensor:
        steps = self.steps.repeat_interleave(rows // self.num_envs)
        phase = 0.7 * torch.arange(rows).unsqueeze(1) + 1.3 * steps.unsqueeze(1) + torch.arange(width)
        return torch.sin(phase)

    def _masks(self) -> Tensor:
        odd = (self.steps % 2).repeat_interleave(self.agents)
        heads = [torch.arange(size) != odd.unsqueeze(1) for size in self.sizes]
        masks = torch.cat(heads, dim=1)
        if self.blocked is not None:
            masks[1] &= self.steps[1 // self.agents] != self.blocked
        return masks

    def _observe(self) -> Obs:
        vector = self._wave(3, self.rows)
        image = ((vector[:, :2] + 1.0) * 127.0).to(torch.uint8).reshape(-1, 1, 1, 2).expand(-1, 8, 8, 2)
        obs: Obs = {
            "obs": {"vector": vector, "image": image, "dict": {"image": image, "vector": vector}}[self.observation]
        }
        if self.spec.state_space is not None:
            obs["states"] = self._wave(5, self.num_envs)
        if self.sizes:
            obs["action_masks"] = self._masks()
        return obs

    def reset(self) -> Obs:
        self.steps = torch.arange(self.num_envs) % LENGTH
        return self._observe()

    def step(self, actions: Tensor) -> Step:
        target = self.steps.repeat_interleave(self.agents)
        if self.sizes:
            choices = actions.reshape(self.rows, -1)
            offsets = torch.tensor([0, *np.cumsum(self.sizes)[:-1]])
            self.forbidden_choices += int((~self._masks().gather(1, choices + offsets)).sum())
            right = choices == torch.stack([target % size for size in self.sizes], dim=1)
            reward = right.float().mean(dim=1)
        else:
            reward = 1.0 - (actions - torch.sin(target).unsqueeze(1)).square().mean(dim=1)
        self.steps = self.steps + 1
        ended = self.steps >= LENGTH
        final_obs = self._observe()
        self.steps = torch.where(ended, 0, self.steps)
        odd = torch.arange(self.num_envs) % 2 == 1
        done, cut = (x.repeat_interleave(self.agents) for x in (ended & ~odd, ended & odd))
        return Step(self._observe(), reward, done, cut, final_obs, {})

    def get_env_state(self) -> Mapping[str, Any]:
        return {"steps": self.steps.clone()}

    def set_env_state(self, state: Mapping[str, Any]) -> None:
        self.steps = state["steps"].clone()


def head_sizes(space: spaces.Space) -> list[int]:
    """Return the number of choices of each head; empty for real-valued actions."""
    if isinstance(space, spaces.Tuple):
        return [int(part.n) for part in space.spaces]
    if isinstance(space, spaces.MultiDiscrete):
        return [int(n) for n in space.nvec]
    return [int(space.n)] if isinstance(space, spaces.Discrete) else []


def network(action: str, observation: str = "vector", rnn: str | None = None, **keys: Any) -> dict[str, Any]:
    """Return a ``network`` section for these spaces."""
    conv = {"filters": 4, "kernel_size": 3, "strides": 2, "padding": 0}
    cnn = {"type": "conv2d", "activation": "relu", "initializer": {"name": "default"}, "convs": [conv]}
    space: dict[str, Any] = {
        "box": deepcopy(GAUSSIAN),
        "discrete": {"discrete": None},
    }.get(action, {"multi_discrete": None})
    section: dict[str, Any] = {
        "name": "actor_critic",
        "separate": False,
        "space": space,
        "mlp": {"units": [8], "activation": "elu", "initializer": {"name": "default"}},
        **keys,
    }
    if rnn is not None:
        section["rnn"] = {"name": rnn, "units": 6, "layers": 1}
    if observation == "image":
        section["cnn"] = cnn
    if observation == "dict":
        section["encoders"] = {"image": {"cnn": cnn}, "vector": {}}
    return section


def family_params(
    action: str = "discrete",
    observation: str = "vector",
    rnn: str | None = None,
    central: str | None = None,
    network_keys: Mapping[str, Any] | None = None,
    **config: Any,
) -> dict[str, Any]:
    """Return the ``params`` of a run on four environments; ``config`` overrides keys of that section.

    Args:
        action: a key of ``ACTION_SPACES``.
        observation: one of ``OBSERVATIONS``.
        rnn: ``lstm``, ``gru``, ``identity`` or None.
        central: None for no central value, ``mlp``, or the name of a recurrent layer.
        network_keys: additional keys of ``network``.
        config: additional keys of ``config``.
    """
    algo, model = {
        "box": ("a2c_continuous", "continuous_a2c_logstd"),
        "discrete": ("a2c_discrete", "discrete_a2c"),
    }.get(action, ("a2c_discrete", "multi_discrete_a2c"))
    settings: dict[str, Any] = {
        "name": "family",
        "env_name": "family",
        "num_actors": 4,
        "gamma": 0.9,
        "tau": 0.95,
        "horizon_length": 8,
        "minibatch_size": 16,
        "mini_epochs": 2,
        "seq_length": 4,
        "learning_rate": 1e-3,
        "lr_schedule": "constant",
        "normalize_advantage": True,
        "e_clip": 0.2,
        "clip_value": True,
        "critic_coef": 1.0,
        "entropy_coef": 0.0,
        "truncate_grads": True,
        "grad_norm": 1.0,
        "max_epochs": 2,
        "print_stats": False,
        **config,
    }
    if central is not None:
        critic = network(action, rnn=None if central == "mlp" else central, central_value=True)
        del critic["space"]
        settings["central_value_config"] = {
            "network": critic,
            "minibatch_size": 16,
            "mini_epochs": 1,
            "learning_rate": 1e-3,
            "clip_value": True,
            "normalize_input": True,
        }
    return {
        "seed": 3,
        "algo": {"name": algo},
        "model": {"name": model},
        "network": network(action, observation, rnn, **(network_keys or {})),
        "config": settings,
    }
