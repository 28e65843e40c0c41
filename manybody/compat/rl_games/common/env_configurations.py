"""RL Games' register of environments: :mod:`manybody.envs.env_configurations`, and what clients ask of it."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, cast

from manybody.envs import env_configurations
from manybody.envs.env_configurations import EnvConfiguration, configurations

__all__ = ["configurations", "get_env_info", "register"]


def register(name: str, config: Mapping[str, Any]) -> None:
    """Make ``env_name: <name>`` build as ``config`` says; a later registration wins.

    Of type ``RAY``, its ``env_creator`` may make environments of Gymnasium's or of legacy gym's protocol.
    """
    made = dict(config)
    if made.get("vecenv_type") == "RAY" and "env_creator" in made:
        made["env_creator"] = partial(_modern, made["env_creator"])
    env_configurations.register(name, cast(EnvConfiguration, made))


def _modern(env_creator: Callable[..., Any], **env_config: Any) -> Any:
    from manybody.compat.rl_games.common.gym_compat import as_gymnasium

    return as_gymnasium(env_creator(**env_config))


def get_env_info(env: Any) -> dict[str, Any]:
    """Spaces, number of agents and of value heads of one environment."""
    return {
        "observation_space": env.observation_space,
        "action_space": env.action_space,
        "agents": env.get_number_of_agents() if hasattr(env, "get_number_of_agents") else 1,
        "value_size": getattr(env, "value_size", 1),
    }
