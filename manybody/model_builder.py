"""``ModelBuilder``: from names in a configuration to builders of networks and models."""

from collections.abc import Callable
from typing import Any

from manybody.config.algorithm import NameConfig
from manybody.config.plugins import load_installed
from manybody.registry import ObjectFactory, built_in_models, built_in_networks

NETWORK_REGISTRY: dict[str, tuple[Any, Any]] = {}
MODEL_REGISTRY: dict[str, tuple[Any, Any]] = {}


def register_network(name: str, target_class: Callable[[], object], schema: type | None = None) -> None:
    """Make ``network.name: <name>`` build with ``target_class()``, a :class:`NetworkBuilder`.

    Args:
        name: as written in the configuration; a built-in name is replaced.
        target_class: called without arguments.
        schema: validates the ``network`` block; without one the block is passed on unchecked.
    """
    NETWORK_REGISTRY[name] = (target_class, schema)


def register_model(name: str, target_class: Callable[[Any], Any], schema: type | None = None) -> None:
    """Make ``model.name: <name>`` build with ``target_class(network_builder)``, a :class:`BaseModel`."""
    MODEL_REGISTRY[name] = (target_class, schema)


class NetworkFactory(ObjectFactory[Any]):
    """Registered networks (RL Games calls this class ``model_builder.NetworkBuilder``)."""

    def __init__(self) -> None:
        super().__init__("network")
        load_installed()
        for name, (target, schema) in (built_in_networks() | NETWORK_REGISTRY).items():
            self.register_builder(name, target, schema)

    def load(self, params: Any) -> Any:
        """Return the recipe that the ``network`` section asks for."""
        network = self.create(params["name"])
        network.load(params)
        return network


class ModelFactory(ObjectFactory[Any]):
    """Registered models."""

    def __init__(self) -> None:
        super().__init__("model")
        load_installed()
        models = {name: (target, NameConfig) for name, target in built_in_models().items()}
        for name, (target, schema) in (models | MODEL_REGISTRY).items():
            self.register_builder(name, lambda network, target=target: target(network), schema)


NetworkBuilder = NetworkFactory


class ModelBuilder:
    """Both factories; :meth:`load` creates the model builder of a configuration."""

    def __init__(self) -> None:
        self.network_factory = NetworkFactory()
        self.model_factory = ModelFactory()

    def load(self, params: Any) -> Any:
        """Return the model recipe that ``params.model`` and ``params.network`` describe."""
        return self.model_factory.create(params["model"]["name"], network=self.network_factory.load(params["network"]))
