"""RL Games' register of vectorised environments, by type: ``vecenv.register('MYENV', MyVecEnv)``."""

from collections.abc import Callable
from functools import partial
from typing import Any

from manybody.envs.base import EnvError, VecEnv
from manybody.envs.env_configurations import configurations
from manybody.envs.gymnasium import GymnasiumEnv, WrappedVectorEnv, vectorized
from manybody.envs.rl_games import IVecEnv, RLGamesVecEnv

__all__ = ["IVecEnv", "create_vec_env", "register", "vecenv_config"]

VecEnvCreator = Callable[..., Any]
"""``creator(config_name, num_actors, **env_config)`` returns an ``IVecEnv`` or a ``VecEnv``."""


def _copies(config_name: str, num_actors: int, /, **env_config: Any) -> VecEnv:
    """Create type ``RAY``: N environments of ``env_creator`` in a vector environment of Gymnasium, without Ray."""
    seed = env_config.pop("seed", None)
    vectorization = env_config.pop("vectorization", "sync")
    env_config.pop("ray_config", None)
    make = partial(configurations[config_name]["env_creator"], **env_config)
    return WrappedVectorEnv(vectorized(make, num_actors, vectorization, config_name), seed, config_name)


def _gymnasium(config_name: str, num_actors: int, /, **env_config: Any) -> VecEnv:
    """Create type ``GYMNASIUM``: the Gymnasium id ``env_config.env_name``."""
    if env_config.pop("use_async", False):
        env_config["vectorization"] = "async"
    return GymnasiumEnv(env_config.pop("env_name", config_name), num_actors, **env_config)


def _envpool(config_name: str, num_actors: int, /, **env_config: Any) -> VecEnv:
    """Create type ``ENVPOOL``: the EnvPool id ``env_config.env_name``.

    ``env_type`` and ``has_lives`` have no effect: the interface is always Gymnasium's, and there is no score over
    several lives.
    """
    from manybody.envs.envpool import EnvPoolEnv

    if "env_name" not in env_config:
        raise EnvError(f"env_config: env_name: {config_name} needs env_config.env_name, EnvPool's id (Pong-v5)")
    if env_config.pop("use_dict_obs_space", False):  # it adds the last action to the observation
        raise EnvError(
            "env_config.use_dict_obs_space: not available; a recurrent network takes the last action and reward "
            "through a wrapper of your own"
        )
    for key in ("env_type", "has_lives"):
        env_config.pop(key, None)
    return EnvPoolEnv(env_config.pop("env_name"), num_actors, **env_config)


def _mjlab(config_name: str, num_actors: int, /, **env_config: Any) -> VecEnv:
    """Create type ``MJLAB``: the mjlab task ``env_config.task_name``, with actions in ±1, as in RL Games."""
    from manybody.envs.mjlab import from_task

    task = env_config.pop("task_name", config_name)
    return from_task(task, num_actors, **{"clip_actions": 1.0, **env_config})


vecenv_config: dict[str, VecEnvCreator] = {
    "RAY": _copies,
    "GYMNASIUM": _gymnasium,
    "ENVPOOL": _envpool,
    "MJLAB": _mjlab,
}
"""Type to creator."""


def register(config_name: str, func: VecEnvCreator) -> None:
    """Create ``vecenv_type: <config_name>`` with ``func(config_name, num_actors, **env_config)``."""
    vecenv_config[config_name] = func


def create_vec_env(config_name: str, num_actors: int, /, **kwargs: object) -> VecEnv:
    """Create the environments of the configuration ``config_name`` of ``env_configurations``.

    The creator receives ``seed`` if it accepts one (RL Games passes none without ``env_config``).

    Raises:
        EnvError: the configuration has no type, or one that is not registered.
    """
    vecenv_type = configurations[config_name].get("vecenv_type")
    if vecenv_type not in vecenv_config:
        raise EnvError(
            f"env_name: the configuration {config_name!r} has vecenv_type {vecenv_type!r}; expected one of "
            f"{sorted(vecenv_config)} (add yours with vecenv.register)"
        )
    creator = vecenv_config[vecenv_type]
    try:
        env = creator(config_name, num_actors, **kwargs)
    except TypeError as error:
        if "seed" not in kwargs or "unexpected keyword argument 'seed'" not in str(error):
            raise
        del kwargs["seed"]
        env = creator(config_name, num_actors, **kwargs)
    return env if isinstance(env, VecEnv) else RLGamesVecEnv(env, num_actors, config_name)
