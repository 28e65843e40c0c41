"""Actor, critics and target critics of SAC, under RL Games' parameter names."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import override

from manybody.algos.network import BaseNetwork, ModelInput, NetworkBuilder
from manybody.algos.sac.config import SACNetworkConfig
from manybody.data.tree import Tree, leaves
from manybody.functional.soft import bounded_logstd
from manybody.nn.distributions import SquashedGaussian
from manybody.nn.layers import initialize
from manybody.nn.mlp import build_mlp


def flat(obs: Tree) -> Tensor:
    """(M, O): every part of an observation (M, ...) in one row."""
    return obs.flatten(1) if isinstance(obs, Tensor) else torch.cat([x.flatten(1) for x in leaves(obs)], dim=1)


def flat_size(input_shape: tuple[int, ...] | Mapping[str, tuple[int, ...]]) -> int:
    """O, the width of :func:`flat` for observations of this shape, or of these shapes by key."""
    shapes = input_shape.values() if isinstance(input_shape, Mapping) else [input_shape]
    return sum(math.prod(shape) for shape in shapes)


def _trunk(params: SACNetworkConfig, input_size: int, output_size: int) -> nn.Sequential:
    """Hidden layers and a linear head."""
    mlp = params.mlp
    hidden = build_mlp(input_size, mlp.units, mlp.activation, params.normalization, mlp.norm_only_first_layer, mlp.d2rl)
    layers = list(hidden) if isinstance(hidden, nn.Sequential) else [hidden]
    trunk = nn.Sequential(*layers, nn.Linear(mlp.units[-1] if mlp.units else input_size, output_size))
    initialize(trunk, mlp.initializer)
    return trunk


class DiagGaussianActor(nn.Module):
    """The policy: a squashed Gaussian whose standard deviation depends on the observation."""

    def __init__(self, params: SACNetworkConfig, input_size: int, actions_num: int) -> None:
        super().__init__()
        self.trunk = _trunk(params, input_size, 2 * actions_num)
        self.log_std_bounds = params.log_std_bounds

    def forward(self, obs: Tree) -> SquashedGaussian:
        """The policy at normalised observations (M, ...)."""
        mu, raw = self.trunk(flat(obs)).float().chunk(2, dim=-1)
        return SquashedGaussian(mu, bounded_logstd(raw, *self.log_std_bounds))


class DoubleQCritic(nn.Module):
    """Two estimates of what an action is worth; the smaller one counts."""

    def __init__(self, params: SACNetworkConfig, input_size: int) -> None:
        super().__init__()
        self.Q1 = _trunk(params, input_size, 1)
        self.Q2 = _trunk(params, input_size, 1)

    def forward(self, obs: Tree, action: Tensor) -> tuple[Tensor, Tensor]:
        """(M,) each, from normalised observations (M, ...) and actions (M, A) in [-1, 1]."""
        both = torch.cat([flat(obs), action], dim=-1)
        return self.Q1(both).float().squeeze(-1), self.Q2(both).float().squeeze(-1)


class SACNetwork(BaseNetwork):
    """An actor, two critics and their slow copies, which equal them at the start.

    Args:
        params: the ``network`` section.
        kwargs: ``actions_num`` (A), ``input_shape`` of one observation, or shapes by key. The rest is left to
            subclasses.
    """

    def __init__(self, params: SACNetworkConfig, **kwargs: Any) -> None:
        super().__init__()
        self.params = params
        actions_num: int = kwargs["actions_num"]
        obs_size = flat_size(kwargs["input_shape"])
        self.actor = DiagGaussianActor(params, obs_size, actions_num)
        self.critic = DoubleQCritic(params, obs_size + actions_num)
        self.critic_target = DoubleQCritic(params, obs_size + actions_num).requires_grad_(False)
        self.critic_target.load_state_dict(self.critic.state_dict())

    @override
    def is_separate_critic(self) -> bool:
        return True

    def forward(self, input_dict: ModelInput) -> SquashedGaussian:
        """The policy at ``input_dict['obs']`` (M, ...), already normalised."""
        return self.actor(input_dict["obs"])


class SACBuilder(NetworkBuilder):
    """``network.name: soft_actor_critic``."""

    Network = SACNetwork
