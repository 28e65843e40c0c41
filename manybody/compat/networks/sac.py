"""``SACBuilder.Network``: RL Games' actor and critics of soft actor-critic, built from a raw mapping."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import override

from manybody.compat.networks.base import BaseNetwork
from manybody.compat.rl_games.algos_torch.sac_helper import SquashedNormal
from manybody.functional.soft import bounded_logstd


class _Headed(BaseNetwork):
    """A network of hidden layers and a linear head."""

    def _build_trunk(self, output_dim: int, **mlp_args: Any) -> nn.Sequential:
        hidden = self._build_mlp(**mlp_args)
        layers = list(hidden) if isinstance(hidden, nn.Sequential) else [hidden]
        units = mlp_args["units"]
        return nn.Sequential(*layers, nn.Linear(units[-1] if units else mlp_args["input_size"], output_dim))


class DiagGaussianActor(_Headed):
    """The policy: a squashed Gaussian whose deviation depends on the observation.

    Args:
        output_dim: 2 A.
        log_std_bounds: range of the logarithm of the deviation.
        mlp_args: of :meth:`BaseNetwork._build_mlp`.
    """

    def __init__(self, output_dim: int, log_std_bounds: Sequence[float], **mlp_args: Any) -> None:
        super().__init__()
        self.log_std_bounds = log_std_bounds
        self.trunk = self._build_trunk(output_dim, **mlp_args)

    def forward(self, obs: Tensor) -> SquashedNormal:
        """The policy at observations (M, O)."""
        mu, raw = self.trunk(obs).chunk(2, dim=-1)
        return SquashedNormal(mu, bounded_logstd(raw, *self.log_std_bounds).exp())


class DoubleQCritic(_Headed):
    """Two estimates of what an action is worth. For the arguments see :class:`DiagGaussianActor`."""

    def __init__(self, output_dim: int, **mlp_args: Any) -> None:
        super().__init__()
        self.Q1 = self._build_trunk(output_dim, **mlp_args)
        self.Q2 = self._build_trunk(output_dim, **mlp_args)

    def forward(self, obs: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        """(M, output_dim) twice, from observations (M, O) and actions (M, A)."""
        both = torch.cat([obs, action], dim=-1)
        return self.Q1(both), self.Q2(both)


class SACNetwork(BaseNetwork):
    """An actor, two critics and their slow copies, which equal them at the start.

    Args:
        params: the ``network`` section as it was written.
        kwargs: ``obs_dim`` (O, by default from ``input_shape``), ``action_dim`` (A, by default ``actions_num``) and
            ``num_seqs``. The rest is left to subclasses.
    """

    def __init__(self, params: Any, **kwargs: Any) -> None:
        super().__init__()
        self.num_seqs: int = kwargs.get("num_seqs", 1)
        self.load(params)
        obs_dim = kwargs["obs_dim"] if "obs_dim" in kwargs else math.prod(kwargs["input_shape"])
        action_dim = kwargs["action_dim"] if "action_dim" in kwargs else kwargs["actions_num"]
        mlp_args: dict[str, Any] = {
            "units": self.units,
            "activation": self.activation,
            "norm_func_name": self.normalization,
            "dense_func": nn.Linear,
            "d2rl": self.is_d2rl,
            "norm_only_first_layer": self.norm_only_first_layer,
        }
        self.actor = self._build_actor(2 * action_dim, self.log_std_bounds, input_size=obs_dim, **mlp_args)
        if self.separate:
            critic_args = {"input_size": obs_dim + action_dim, **mlp_args}
            self.critic = self._build_critic(1, **critic_args)
            self.critic_target = self._build_critic(1, **critic_args)
        dense = self.init_factory.create(**self.initializer)
        self._initialize(dense, dense)
        if self.separate:
            self.critic_target.load_state_dict(self.critic.state_dict())

    def load(self, params: Any) -> None:
        """Keep the settings under the names that subclasses read."""
        mlp, space = params["mlp"], params.get("space") or {}
        self.separate = params.get("separate", True)
        self.units = mlp["units"]
        self.activation = mlp["activation"]
        self.initializer = mlp["initializer"]
        self.is_d2rl = mlp.get("d2rl", False)
        self.norm_only_first_layer = mlp.get("norm_only_first_layer", False)
        self.value_activation = params.get("value_activation", "None")
        self.normalization = params.get("normalization")
        self.has_space = "space" in params
        self.value_shape = params.get("value_shape", 1)
        self.central_value = params.get("central_value", False)
        self.joint_obs_actions_config = params.get("joint_obs_actions")
        self.log_std_bounds = params.get("log_std_bounds")
        self.is_continuous, self.is_discrete = "continuous" in space, "discrete" in space
        if space:
            self.space_config: Any = space["continuous" if self.is_continuous else "discrete"]

    def _build_actor(self, output_dim: int, log_std_bounds: Any, **mlp_args: Any) -> nn.Module:
        return DiagGaussianActor(output_dim, log_std_bounds, **mlp_args)

    def _build_critic(self, output_dim: int, **mlp_args: Any) -> nn.Module:
        return DoubleQCritic(output_dim, **mlp_args)

    @override
    def is_separate_critic(self) -> bool:
        return self.separate

    def forward(self, obs_dict: dict[str, Any]) -> SquashedNormal:
        """The policy at ``obs_dict['obs']`` (M, O)."""
        return self.actor(obs_dict["obs"])
