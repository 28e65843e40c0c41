"""``BaseModel``: turns a network's outputs into actions, log-probabilities and values."""

from typing import Any

import torch
from torch import Tensor, nn

from manybody.algos.network import NetworkBuilder
from manybody.nn.normalizer import RunningMeanStd


class BaseModelNetwork(nn.Module):
    """A live model: the network and the normalisers around it.

    Args:
        a2c_network: the network; the name is part of every checkpoint.
        obs_shape: shape of one observation.
        normalize_value: keep running statistics of returns and predict in their units.
        normalize_input: keep running statistics of observations.
        value_size: V.
    """

    def __init__(
        self,
        a2c_network: nn.Module,
        obs_shape: tuple[int, ...],
        normalize_value: bool,
        normalize_input: bool,
        value_size: int,
    ) -> None:
        super().__init__()
        self.a2c_network: Any = a2c_network
        self.obs_shape = obs_shape
        self.normalize_value = normalize_value
        self.normalize_input = normalize_input
        self.value_size = value_size
        if normalize_value:
            self.value_mean_std = RunningMeanStd((value_size,))
        if normalize_input:
            self.running_mean_std = RunningMeanStd(obs_shape)

    def norm_obs(self, observation: Tensor) -> Tensor:
        """The observation as the network sees it; updates the statistics in training mode."""
        with torch.no_grad():
            return self.running_mean_std(observation) if self.normalize_input else observation

    def denorm_value(self, value: Tensor) -> Tensor:
        """A predicted value (M, V) in units of reward."""
        with torch.no_grad():
            return self.value_mean_std(value, denorm=True) if self.normalize_value else value

    def is_rnn(self) -> bool:
        """Whether the network is recurrent."""
        return self.a2c_network.is_rnn()

    def get_default_rnn_state(self) -> Any:
        """The state an episode starts with."""
        return self.a2c_network.get_default_rnn_state()

    def get_value_layer(self) -> nn.Module | None:
        """The last layer of the critic."""
        return self.a2c_network.get_value_layer()

    def get_aux_loss(self) -> dict[str, Tensor] | None:
        """Further losses of the last forward pass."""
        return self.a2c_network.get_aux_loss()


class BaseModel:
    """A recipe for live models; the agent keeps it as ``self.network`` and what it built as ``self.model``."""

    Network: type[BaseModelNetwork]
    model_class = "a2c"

    def __init__(self, network: NetworkBuilder) -> None:
        self.network_builder = network

    def build(self, config: dict[str, Any]) -> BaseModelNetwork:
        """A new live model.

        Args:
            config: ``input_shape``, ``actions_num``, ``value_size``, ``num_seqs``, ``normalize_value``,
                ``normalize_input``, and anything that the network builder understands.
        """
        return self.Network(
            self.network_builder.build(self.model_class, **config),
            obs_shape=config["input_shape"],
            normalize_value=config.get("normalize_value", False),
            normalize_input=config["normalize_input"],
            value_size=config.get("value_size", 1),
        )
