"""RL Games' gate to Gymnasium, and from its protocol (5 values of ``step``) to that of legacy gym (4) and back."""

import inspect
from collections.abc import Mapping
from typing import Any

import gymnasium as gym
from gymnasium import spaces

from manybody.envs.spaces import gymnasium_space

__all__ = ["GYM_BACKEND", "as_gymnasium", "gym", "make", "spaces", "wrap_gymnasium_env"]

GYM_BACKEND = "gymnasium"


class _OldApi(gym.Wrapper):
    """``reset()`` gives the observation, ``step()`` ``obs, reward, done, info`` with ``time_outs`` in ``info``."""

    _info: Mapping[str, Any] = {}

    def reset(self, **kwargs: Any) -> Any:
        obs, self._info = self.env.reset(**kwargs)
        return obs

    def get_reset_info(self) -> Mapping[str, Any]:
        """What the last reset told beside the observation."""
        return self._info

    def step(self, action: Any) -> Any:
        obs, reward, terminated, truncated, info = self.env.step(action)
        return obs, reward, terminated or truncated, {**info, "time_outs": truncated and not terminated}

    def __getattr__(self, name: str) -> Any:
        if name == "env":  # not yet set
            raise AttributeError(name)
        return getattr(self.env, name)


class _NewApi(gym.Env):
    """An environment of either protocol, or of a class of its own that speaks one, as Gymnasium knows it."""

    def __init__(self, env: Any) -> None:
        self.old = env
        self.observation_space = gymnasium_space(env.observation_space)
        self.action_space = gymnasium_space(env.action_space)
        parameters = inspect.signature(env.reset).parameters.values()
        self._takes_seed = any(x.name == "seed" or x.kind is x.VAR_KEYWORD for x in parameters)

    def __getattr__(self, name: str) -> Any:
        if name == "old":  # not yet set
            raise AttributeError(name)
        return getattr(self.old, name)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        if seed is not None and not self._takes_seed and hasattr(self.old, "seed"):
            self.old.seed(seed)
        result = self.old.reset(**({"seed": seed} if self._takes_seed and seed is not None else {}))
        told = isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], Mapping)
        return result if told else (result, {})

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        result = self.old.step(action)
        if len(result) == 5:
            return result
        obs, reward, done, info = result
        cut = bool(done) and bool(info.get("time_outs") or info.get("TimeLimit.truncated"))
        return obs, reward, bool(done) and not cut, cut, info

    def render(self) -> Any:
        return self.old.render()

    def close(self) -> None:
        if hasattr(self.old, "close"):
            self.old.close()


def wrap_gymnasium_env(env: gym.Env) -> Any:
    """``env`` with legacy gym's protocol."""
    return _OldApi(env)


def as_gymnasium(env: Any) -> gym.Env:
    """``env`` with Gymnasium's protocol, whichever it has; a truncated episode is marked by ``info['time_outs']``."""
    return env.env if isinstance(env, _OldApi) else _NewApi(env)


def make(env_id: str, old_gym_api: bool = True, **kwargs: Any) -> Any:
    """``gymnasium.make``; with ``old_gym_api`` the result speaks legacy gym's protocol."""
    env = gym.make(env_id, **kwargs)
    return wrap_gymnasium_env(env) if old_gym_api else env
