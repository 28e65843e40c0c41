"""``rl_games.common.env_configurations``: :mod:`manybody.envs.env_configurations`, also for legacy gym's protocol."""

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, cast

import gymnasium
from typing_extensions import override

from manybody.envs import env_configurations
from manybody.envs.env_configurations import EnvConfiguration, configurations
from manybody.envs.spaces import gymnasium_space

__all__ = ["configurations", "get_env_info", "register"]


def register(name: str, config: Mapping[str, Any]) -> None:
    """Make ``env_name: <name>`` build from ``config``; a later registration replaces an earlier one.

    Of type ``RAY``, its ``env_creator`` may make environments of Gymnasium's or of legacy gym's protocol.
    """
    made = dict(config)
    if made.get("vecenv_type") == "RAY" and "env_creator" in made:
        made["env_creator"] = partial(_as_gymnasium, made["env_creator"])
    env_configurations.register(name, cast(EnvConfiguration, made))


def _as_gymnasium(env_creator: Callable[..., Any], **env_config: Any) -> gymnasium.Env[Any, Any]:
    return GymnasiumEnv(env_creator(**env_config))


class GymnasiumEnv(gymnasium.Env[Any, Any]):
    """An environment of legacy gym's protocol (four values of ``step``) or of Gymnasium's (five), in the latter.

    ``info['time_outs']`` of the former marks truncated episodes.
    """

    def __init__(self, env: Any) -> None:
        self.client_env = env
        self.observation_space = gymnasium_space(env.observation_space)
        self.action_space = gymnasium_space(env.action_space)
        parameters = inspect.signature(env.reset).parameters.values()
        self._takes_seed = any(x.name == "seed" or x.kind is x.VAR_KEYWORD for x in parameters)

    def __getattr__(self, name: str) -> Any:
        if name == "client_env":  # not yet set
            raise AttributeError(name)
        return getattr(self.client_env, name)

    @override
    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        if seed is not None and not self._takes_seed and hasattr(self.client_env, "seed"):
            self.client_env.seed(seed)
        result = self.client_env.reset(**({"seed": seed} if self._takes_seed and seed is not None else {}))
        has_info = isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], Mapping)
        return result if has_info else (result, {})

    @override
    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        result = self.client_env.step(action)
        if len(result) == 5:
            return result
        obs, reward, done, info = result
        truncated = bool(done) and bool(info.get("time_outs") or info.get("TimeLimit.truncated"))
        return obs, reward, bool(done) and not truncated, truncated, info

    @override
    def render(self) -> Any:
        return self.client_env.render()

    @override
    def close(self) -> None:
        if hasattr(self.client_env, "close"):
            self.client_env.close()


def get_env_info(env: Any) -> dict[str, Any]:
    """Return spaces, number of agents and of value heads of one environment."""
    return {
        "observation_space": env.observation_space,
        "action_space": env.action_space,
        "agents": env.get_number_of_agents() if hasattr(env, "get_number_of_agents") else 1,
        "value_size": getattr(env, "value_size", 1),
    }
