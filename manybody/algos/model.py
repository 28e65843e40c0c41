"""``BaseModel``: turns a network's outputs into actions, log-probabilities and values."""

from collections.abc import Iterable
from typing import Any, ClassVar

import torch
from gymnasium import spaces
from torch import Tensor, nn

from manybody.algos.network import ModelArguments, NetworkBuilder
from manybody.config import ConfigError, Params, Problem
from manybody.config.algorithm import AlgorithmConfig
from manybody.data.recurrent import States
from manybody.data.tree import Tree, tree_map
from manybody.envs.spaces import ObsShape, observation_shape
from manybody.nn.normalizer import RunningMeanStd, observation_normalizer


class BaseModelNetwork(nn.Module):
    """A live model: the network and the normalisers around it.

    Args:
        a2c_network: the network.
        obs_shape: shape of one observation, or shapes by key.
        normalize_value: keep running statistics of returns and predict in their units.
        normalize_input: keep running statistics of observations.
        value_size: V.
    """

    NETWORK: ClassVar[str] = "a2c_network"
    """The attribute that holds the network; part of every parameter's name in checkpoints."""
    a2c_network: Any

    def __init__(
        self,
        a2c_network: nn.Module | None,
        obs_shape: ObsShape,
        normalize_value: bool,
        normalize_input: bool,
        value_size: int,
    ) -> None:
        super().__init__()
        setattr(self, self.NETWORK, a2c_network)
        self.obs_shape = obs_shape
        self.normalize_value = normalize_value
        self.normalize_input = normalize_input
        self.value_size = value_size
        if normalize_value:
            self.value_mean_std = RunningMeanStd((value_size,))
        if normalize_input:
            self.running_mean_std = observation_normalizer(obs_shape)

    def norm_obs(self, observation: Tree) -> Tree:
        """The observation as the network sees it; updates the statistics in training mode.

        Bytes (images) become numbers in [0, 1] first.
        """
        with torch.no_grad():
            observation = tree_map(lambda x: x / 255.0 if x.dtype == torch.uint8 else x, observation)
            return self.running_mean_std(observation) if self.normalize_input else observation

    def denorm_value(self, value: Tensor) -> Tensor:
        """A predicted value (M, V) in units of reward."""
        with torch.no_grad():
            return self.value_mean_std(value, denorm=True) if self.normalize_value else value

    def is_rnn(self) -> bool:
        """Whether the network is recurrent."""
        return getattr(self, self.NETWORK).is_rnn()

    def get_default_rnn_state(self) -> States:
        """The state an episode starts with."""
        return getattr(self, self.NETWORK).get_default_rnn_state()

    def get_value_layer(self) -> nn.Module | None:
        """The last layer of the critic."""
        return getattr(self, self.NETWORK).get_value_layer()

    def get_aux_loss(self) -> dict[str, Tensor] | None:
        """Further losses of the last forward pass."""
        return getattr(self, self.NETWORK).get_aux_loss()


def build_arguments(
    config: AlgorithmConfig,
    observation_space: spaces.Space,
    actions_num: int | tuple[int, ...],
    rows: int,
    value_size: int,
) -> ModelArguments:
    """Return the arguments of :meth:`BaseModel.build`, the same in training and in playing.

    Args:
        config: the algorithm's settings.
        observation_space: the environment's.
        actions_num: A; for several heads, of each.
        rows: N.
        value_size: V.
    """
    return {
        "actions_num": actions_num,
        "input_shape": observation_shape(observation_space),
        "num_seqs": rows,
        "value_size": value_size,
        "normalize_value": config.get("normalize_value", False),
        "normalize_input": config.normalize_input,
    }


def check_part(params: Params, kind: str, part: object, attributes: Iterable[str], expected: str) -> None:
    """Check that a model or network has what an algorithm learns with.

    Args:
        params: the configuration.
        kind: ``model`` or ``network``, the section that ``part`` was built from.
        part: the live module.
        attributes: what it must have.
        expected: the name of the one that has it.

    Raises:
        ConfigError: ``part`` lacks an attribute.
    """
    missing = [name for name in attributes if not hasattr(part, name)]
    if missing:
        what = f"got {params[kind]['name']!r}, which has no {', '.join(missing)}; expected {expected!r}"
        raise ConfigError([Problem(f"params.{kind}.name", what)])


class BaseModel:
    """A recipe for live models; the agent keeps it as ``self.network`` and what it built as ``self.model``."""

    Network: type[BaseModelNetwork]
    model_class = "a2c"

    def __init__(self, network: NetworkBuilder) -> None:
        self.network_builder = network

    def build(self, config: ModelArguments) -> BaseModelNetwork:
        """A new live model.

        Args:
            config: ``input_shape``, ``actions_num``, ``value_size``, ``num_seqs``, ``normalize_value``,
                ``normalize_input``, and anything that the network builder understands.
        """
        return self.Network(
            self.network_builder.build(self.model_class, **config),
            obs_shape=config["input_shape"],
            normalize_value=config.get("normalize_value", False),
            normalize_input=config.get("normalize_input", False),
            value_size=config.get("value_size", 1),
        )


def override_sigma(model: nn.Module, sigma: str | float | None) -> None:
    """Fill the policy's state-independent ``sigma`` parameter (RL Games' ``--sigma``); None and '' change nothing."""
    if sigma in (None, ""):
        return
    net: Any = getattr(model, "a2c_network", None)
    if not getattr(net, "fixed_sigma", False):
        what = "this network predicts its standard deviation (fixed_sigma is false); there is nothing to override"
        raise ConfigError([Problem("sigma", what)])
    with torch.no_grad():
        net.sigma.fill_(float(sigma))
