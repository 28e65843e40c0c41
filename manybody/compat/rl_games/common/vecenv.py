"""``rl_games.common.vecenv``: :mod:`manybody.envs.vecenv`, with environments of RL Games' protocol."""

from typing import Any

from manybody.compat.environments import LegacyEnv, has_single_envs, legacy_env
from manybody.compat.rl_games.common.ivecenv import IVecEnv
from manybody.envs import vecenv
from manybody.envs.env_configurations import configurations
from manybody.envs.vecenv import register, vecenv_config

__all__ = ["IVecEnv", "RayVecEnv", "configurations", "create_vec_env", "register", "vecenv_config"]

_create_copies = vecenv_config["RAY"]


def create_vec_env(config_name: str, num_actors: int, **kwargs: Any) -> Any:
    """Create the environments of the configuration ``config_name``, in RL Games' protocol.

    What a client registered comes back as its creator made it.
    """
    made = vecenv.create_vec_env(config_name, num_actors, **kwargs)
    return legacy_env(made, infos_by_env=has_single_envs(config_name))


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
