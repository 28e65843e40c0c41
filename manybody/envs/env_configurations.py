"""RL Games' register of environments: ``env_configurations.register('myenv', {'vecenv_type': …, …})``."""

from collections.abc import Callable
from typing import Any, TypedDict

import gymnasium

from manybody.envs.gymnasium import without_velocities


class EnvConfiguration(TypedDict, total=False):
    """The entry of an ``env_name``."""

    vecenv_type: str
    """Name in ``vecenv.vecenv_config``; ``RAY`` creates N copies of one Gymnasium environment."""
    env_creator: Callable[..., Any]
    """``creator(**env_config)`` creates one environment or a simulation, depending on the type."""


def _cartpole_without_velocities(**env_config: Any) -> gymnasium.Env:
    return without_velocities(gymnasium.make("CartPole-v1", **env_config))


def _by_name(name: str, **env_config: Any) -> gymnasium.Env:
    return gymnasium.make(name, **env_config)


configurations: dict[str, EnvConfiguration] = {
    "CartPoleMaskedVelocity-v1": {"vecenv_type": "RAY", "env_creator": _cartpole_without_velocities},
    "openai_gym": {"vecenv_type": "RAY", "env_creator": _by_name},
    "gymnasium": {"vecenv_type": "GYMNASIUM"},
    "envpool": {"vecenv_type": "ENVPOOL"},
}
"""Entries by ``env_name``: environments that RL Games names differently from Gymnasium."""


def register(name: str, config: EnvConfiguration) -> None:
    """Make ``env_name: <name>`` build from ``config``; a later registration replaces an earlier one."""
    configurations[name] = config
