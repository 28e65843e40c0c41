"""``rl_games.algos_torch.model_builder``: names to networks and models that take raw mappings.

What is registered here is known to :mod:`manybody.model_builder` too, and the other way round.
"""

from collections.abc import Callable
from typing import Any

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

NETWORKS: dict[str, Callable[[], Any]] = {
    "actor_critic": network_builder.A2CBuilder,
    "resnet_actor_critic": network_builder.A2CResnetBuilder,
    "soft_actor_critic": network_builder.SACBuilder,
}
MODELS: dict[str, Callable[[Any], Any]] = {
    "discrete_a2c": models.ModelA2C,
    "multi_discrete_a2c": models.ModelA2CMultiDiscrete,
    "continuous_a2c": models.ModelA2CContinuous,
    "continuous_a2c_logstd": models.ModelA2CContinuousLogStd,
    "continuous_a2c_tanh": models.ModelA2CContinuousTanh,
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
    """Registered networks; those of RL Games are the ones of :mod:`network_builder` here."""

    def __init__(self) -> None:
        super().__init__()
        for name, make in NETWORKS.items():
            if name not in NETWORK_REGISTRY:
                self.register_builder(name, lambda make=make, **kwargs: make())

    @property
    def network_factory(self) -> model_builder.NetworkFactory:
        """Where ``register_builder`` adds a network to this builder alone."""
        return self

    def load(self, params: Any) -> Any:
        """The recipe that the ``network`` section, a mapping, asks for."""
        section, schema = opened(params), self.schemas.get(params["name"])
        return super().load(section if schema is None else parse_section(schema, section, "network"))


class ModelFactory(model_builder.ModelFactory):
    """Registered models; those of RL Games are the ones of :mod:`models` here."""

    def __init__(self) -> None:
        super().__init__()
        for name, make in MODELS.items():
            if name not in MODEL_REGISTRY:
                self.register_builder(name, lambda network, make=make, **kwargs: make(network))


class ModelBuilder:
    """Both factories, and the way from ``params``, a mapping, to a model recipe."""

    def __init__(self) -> None:
        self.model_factory = ModelFactory()
        self.network_builder = NetworkBuilder()
        self.network_factory = self.network_builder.network_factory

    def get_network_builder(self) -> NetworkBuilder:
        """The factory of networks."""
        return self.network_builder

    def load(self, params: Any) -> Any:
        """The model recipe that ``params['model']`` and ``params['network']`` describe."""
        network = self.network_builder.load(params["network"])
        return self.model_factory.create(params["model"]["name"], network=network)
