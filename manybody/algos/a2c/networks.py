"""The actor-critic network of PPO, under RL Games' parameter names."""

from typing import Any

import torch
from torch import Tensor, nn

from manybody.algos.network import BaseNetwork, ContinuousOutput, NetworkBuilder
from manybody.config import ActorCriticConfig
from manybody.nn.activations import activation
from manybody.nn.init import initializer


class A2CNetwork(BaseNetwork):
    """MLP actor and critic, sharing their trunk unless ``separate``.

    Args:
        params: the ``network`` section.
        kwargs: ``actions_num`` (A), ``input_shape`` of one observation, ``value_size`` (V, default 1). The rest is
            left to subclasses.
    """

    def __init__(self, params: ActorCriticConfig, **kwargs: Any) -> None:
        super().__init__()
        self.load(params)
        actions_num: int = kwargs["actions_num"]
        value_size: int = kwargs.get("value_size", 1)
        input_size = self._calc_input_size(kwargs["input_shape"])
        self.actor_mlp = self._build_trunk(input_size)
        self.critic_mlp = self._build_trunk(input_size) if self.separate else nn.Sequential()
        out_size = self.units[-1] if self.units else input_size
        self.value = self._build_value_layer(out_size, value_size)
        self.value_act = activation(params.value_activation)
        self.mu = nn.Linear(out_size, actions_num)
        self.mu_act = activation(self.space_config.mu_activation)
        self.sigma_act = activation(self.space_config.sigma_activation)
        self.sigma: nn.Module | nn.Parameter = (
            nn.Parameter(torch.zeros(actions_num)) if self.fixed_sigma else nn.Linear(out_size, actions_num)
        )
        self._initialize(params.mlp.initializer)
        spread = self.sigma.weight if isinstance(self.sigma, nn.Linear) else self.sigma
        for weight, settings in (
            (self.mu.weight, self.space_config.mu_init),
            (spread, self.space_config.sigma_init),
        ):
            initializer(settings.name, **settings.arguments)(weight)

    def load(self, params: ActorCriticConfig) -> None:
        """Keep the settings under the names that subclasses read."""
        self.params = params
        self.separate = params.separate
        self.units = params.mlp.units
        self.activation = params.mlp.activation
        self.space_config = params.space.continuous
        self.fixed_sigma = self.space_config.fixed_sigma

    def _build_trunk(self, input_size: int) -> nn.Module:
        return self._build_mlp(
            input_size=input_size,
            units=self.units,
            activation=self.activation,
            norm_func_name=self.params.normalization,
            norm_only_first_layer=self.params.mlp.norm_only_first_layer,
            d2rl=self.params.mlp.d2rl,
        )

    def is_separate_critic(self) -> bool:
        """See :class:`BaseNetwork`."""
        return self.separate

    def eval_actor(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and raw spread, (M, A) each, from obs (M, *input_shape)."""
        return self._heads(self.actor_mlp(obs.flatten(1)))

    def _heads(self, features: Tensor) -> tuple[Tensor, Tensor]:
        mu = self.mu_act(self.mu(features))
        raw = self.sigma(features) if isinstance(self.sigma, nn.Module) else self.sigma.expand_as(mu)
        return mu, self.sigma_act(raw)

    def forward(self, input_dict: dict[str, Any]) -> ContinuousOutput:
        """Everything from ``input_dict['obs']`` (M, *input_shape)."""
        obs = input_dict["obs"].flatten(1)
        features = self.actor_mlp(obs)
        mu, sigma = self._heads(features)
        value = self.value_act(self.value(self.critic_mlp(obs) if self.separate else features))
        return ContinuousOutput(mu, sigma, value, input_dict.get("rnn_states"))


class A2CBuilder(NetworkBuilder):
    """``network.name: actor_critic``."""

    Network = A2CNetwork
