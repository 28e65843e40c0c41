"""The gate: text becomes frozen, typed settings, or a list of everything that is wrong with it."""

from manybody.config.errors import ConfigError, ConfigWarning, Problem
from manybody.config.network import ActorCriticConfig, ResnetActorCriticConfig
from manybody.config.params import Params, dump, parse_params, parse_section
from manybody.config.ppo import DiscretePPOConfig, PPOConfig
from manybody.config.root import LaunchConfig, parse_launch
from manybody.config.sac import SACConfig, SACNetworkConfig
from manybody.config.section import Section
from manybody.config.types import ForeignSection
from manybody.config.yaml import LocatedDict, load_yaml

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
    "parse_launch",
    "parse_params",
    "parse_section",
]
