"""``rl_games.common.vecenv``: :mod:`manybody.envs.vecenv`, with environments of RL Games' protocol."""

from typing import Any

from manybody.compat.environments import LegacyEnv, create_vec_env
from manybody.compat.rl_games.common.ivecenv import IVecEnv
from manybody.envs.env_configurations import configurations
from manybody.envs.vecenv import register, vecenv_config

__all__ = ["IVecEnv", "RayVecEnv", "configurations", "create_vec_env", "register", "vecenv_config"]

_create_copies = vecenv_config["RAY"]


class RayVecEnv(LegacyEnv):
    """``num_actors`` copies of the environment of a configuration, without Ray.

    Args:
        config_name: name in ``env_configurations.configurations``.
        num_actors: N.
        kwargs: arguments of its ``env_creator``; ``seed`` of the first copy, ``vectorization`` ``sync`` or ``async``.
    """

    def __init__(self, config_name: str, num_actors: int, **kwargs: Any) -> None:
        super().__init__(_create_copies(config_name, num_actors, **kwargs), infos_by_env=True)
        self.config_name = config_name
