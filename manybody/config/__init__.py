"""Configuration schemas and validation: text becomes frozen, typed settings, or a list of all problems."""

import importlib
from typing import TYPE_CHECKING, Any

from manybody.config.errors import ConfigError, ConfigWarning, Problem
from manybody.config.network import ActorCriticConfig, ResnetActorCriticConfig
from manybody.config.params import Params, dump, parse_params, parse_section
from manybody.config.root import LaunchConfig
from manybody.config.section import Section
from manybody.config.types import ForeignSection
from manybody.config.yaml import LocatedDict, load_yaml

if TYPE_CHECKING:
    from manybody.algos.a2c.config import DiscretePPOConfig, PPOConfig
    from manybody.algos.sac.config import SACConfig, SACNetworkConfig

__all__ = [
    "ActorCriticConfig",
    "ConfigError",
    "ConfigWarning",
    "DiscretePPOConfig",
    "ForeignSection",
    "LaunchConfig",
    "LocatedDict",
    "PPOConfig",
    "Params",
    "Problem",
    "ResnetActorCriticConfig",
    "SACConfig",
    "SACNetworkConfig",
    "Section",
    "dump",
    "load_yaml",
    "parse_params",
    "parse_section",
]

_OF_ALGORITHMS = {
    "DiscretePPOConfig": "manybody.algos.a2c.config",
    "PPOConfig": "manybody.algos.a2c.config",
    "SACConfig": "manybody.algos.sac.config",
    "SACNetworkConfig": "manybody.algos.sac.config",
}
"""Schemas that belong to an algorithm's folder, and can be imported from here too."""


def __getattr__(name: str) -> Any:
    if name not in _OF_ALGORITHMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_OF_ALGORITHMS[name]), name)
