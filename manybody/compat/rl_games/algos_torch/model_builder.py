"""``rl_games.algos_torch.model_builder``: networks and models that take raw mappings, by name.

What is registered here is known to :mod:`manybody.model_builder` too, and the other way round.
"""

from collections.abc import Callable
from typing import Any

from typing_extensions import override

from manybody import model_builder
from manybody.compat.rl_games.algos_torch import models, network_builder
from manybody.config import parse_section
from manybody.config.types import opened
from manybody.model_builder import MODEL_REGISTRY, NETWORK_REGISTRY, register_model

__all__ = [
    "MODEL_REGISTRY",
    "NETWORK_REGISTRY",
    "ModelBuilder",
    "NetworkBuilder",
    "register_model",
    "register_network",
]

NETWORKS: dict[str, Callable[..., Any]] = {
    "actor_critic": network_builder.A2CBuilder,
    "resnet_actor_critic": network_builder.A2CResnetBuilder,
    "soft_actor_critic": network_builder.SACBuilder,
}
MODELS: dict[str, Callable[..., Any]] = {
    "discrete_a2c": models.ModelA2C,
    "multi_discrete_a2c": models.ModelA2CMultiDiscrete,
    "continuous_a2c": models.ModelA2CContinuous,
    "continuous_a2c_logstd": models.ModelA2CContinuousLogStd,
    "soft_actor_critic": models.ModelSACContinuous,
    "central_value": models.ModelCentralValue,
}


def register_network(name: str, target_class: Callable[..., Any]) -> None:
    """Make ``network.name: <name>`` build with ``target_class()``, whose ``load`` gets a dictionary of its own."""

    def make() -> Any:
        builder = target_class()
        load = builder.load
        builder.load = lambda params: load(opened(params))
        return builder

    model_builder.register_network(name, make)


class NetworkBuilder(model_builder.NetworkFactory):
    """Registered networks; RL Games' own are those of :mod:`network_builder`."""

    def __init__(self) -> None:
        super().__init__()
        self.network_factory = self
        for name in NETWORKS.keys() - NETWORK_REGISTRY.keys():
            self.register_builder(name, NETWORKS[name])

    @override
    def load(self, params: Any) -> Any:
        section, schema = opened(params), self.schemas.get(params["name"])
        return super().load(section if schema is None else parse_section(schema, section, "network"))


class ModelFactory(model_builder.ModelFactory):
    """Registered models; RL Games' own are those of :mod:`models`."""

    def __init__(self) -> None:
        super().__init__()
        for name in MODELS.keys() - MODEL_REGISTRY.keys():
            self.register_builder(name, MODELS[name])


class ModelBuilder(model_builder.ModelBuilder):
    """See :class:`manybody.model_builder.ModelBuilder`; sections are mappings."""

    def __init__(self) -> None:
        self.model_factory = ModelFactory()
        self.network_builder = self.network_factory = NetworkBuilder()

    def get_network_builder(self) -> NetworkBuilder:
        """Return the factory of networks."""
        return self.network_builder
