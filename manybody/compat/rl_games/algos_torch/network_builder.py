"""``rl_games.algos_torch.network_builder``: builders whose inner ``Network`` takes a raw mapping.

Clients that import everything of it count on ``torch``, ``nn`` and the modules that stand in ``__all__``.
"""

from typing import Any

import torch
from torch import nn

from manybody.algos import network
from manybody.compat.networks.actor_critic import A2CNetwork
from manybody.compat.networks.base import BaseNetwork, _create_initializer
from manybody.compat.networks.resnet import A2CResnetNetwork
from manybody.compat.networks.sac import DiagGaussianActor, DoubleQCritic, SACNetwork
from manybody.compat.rl_games.algos_torch import torch_ext
from manybody.compat.rl_games.algos_torch.d2rl import D2RLNet
from manybody.compat.rl_games.algos_torch.sac_helper import SquashedNormal
from manybody.compat.rl_games.algos_torch.spatial_softmax import SpatialSoftArgmax
from manybody.compat.rl_games.common import object_factory
from manybody.compat.rl_games.common.layers.recurrent import GRUWithDones, LSTMWithDones
from manybody.compat.rl_games.common.layers.value import DefaultValue, TwoHotEncodedValue

__all__ = [
    "A2CBuilder",
    "A2CResnetBuilder",
    "BaseNetwork",
    "D2RLNet",
    "DefaultValue",
    "DiagGaussianActor",
    "DoubleQCritic",
    "GRUWithDones",
    "LSTMWithDones",
    "NetworkBuilder",
    "SACBuilder",
    "SpatialSoftArgmax",
    "SquashedNormal",
    "TwoHotEncodedValue",
    "_create_initializer",
    "nn",
    "object_factory",
    "torch",
    "torch_ext",
]


class NetworkBuilder(network.NetworkBuilder):
    """A recipe for networks; see :class:`manybody.algos.network.NetworkBuilder`."""

    BaseNetwork = BaseNetwork

    def __init__(self, **kwargs: Any) -> None:
        """Settings are for :meth:`load`; ``kwargs`` are left to subclasses."""


class A2CBuilder(NetworkBuilder):
    """``network.name: actor_critic``."""

    Network = A2CNetwork


class A2CResnetBuilder(NetworkBuilder):
    """``network.name: resnet_actor_critic``."""

    Network = A2CResnetNetwork


class SACBuilder(NetworkBuilder):
    """``network.name: soft_actor_critic``."""

    Network = SACNetwork
