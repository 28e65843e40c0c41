"""The actor-critic network behind IMPALA's residual convolutions, under RL Games' parameter names."""

from collections.abc import Mapping
from typing import Any

from torch import nn
from typing_extensions import override

from manybody.algos.a2c.networks import A2CNetwork, InputShape, Trunk, blame
from manybody.algos.network import NetworkBuilder
from manybody.config import ConfigError, Problem
from manybody.nn.resnet import build_impala


class A2CResnetNetwork(A2CNetwork):
    """:class:`A2CNetwork` for images; actor and critic share everything but their heads."""

    ORDER = ()

    @property
    @override
    def trunks(self) -> tuple[Trunk, ...]:
        return (Trunk("cnn", "mlp", "rnn", "layer_norm"),)

    def _build_encoder(self, input_shape: InputShape) -> tuple[nn.Module, int]:
        cnn: Any = self.params.cnn
        if isinstance(input_shape, Mapping):
            keys = ", ".join(input_shape)
            what = f"given, but the observation is a dictionary of {keys}; use actor_critic with encoders"
            raise ConfigError([Problem("network.cnn", what)])
        with blame("cnn"):
            return build_impala(input_shape, cnn.conv_depths, self.activation, cnn.permute_input)


class A2CResnetBuilder(NetworkBuilder):
    """``network.name: resnet_actor_critic``."""

    Network = A2CResnetNetwork
