"""RL Games' register of vectorised environments: :mod:`manybody.envs.vecenv`, with environments of RL Games' protocol.

Nothing here needs Ray: copies of one environment are stepped one after the other, or in a process each.
"""

from collections.abc import Callable
from typing import Any

from torch import Tensor
from typing_extensions import override

from manybody.compat.environments import LegacyEnv, has_single_envs, legacy_env
from manybody.compat.rl_games.common.ivecenv import IVecEnv
from manybody.data.tree import tree_map
from manybody.envs import vecenv
from manybody.envs.env_configurations import configurations
from manybody.envs.vecenv import register, vecenv_config

__all__ = ["IVecEnv", "RayVecEnv", "configurations", "create_vec_env", "register", "vecenv_config"]

_copies: Callable[..., Any] = vecenv_config["RAY"]


def create_vec_env(config_name: str, num_actors: int, **kwargs: Any) -> Any:
    """The environments of the configuration ``config_name``, in RL Games' protocol.

    What a client registered comes back as its creator made it.
    """
    made = vecenv.create_vec_env(config_name, num_actors, **kwargs)
    return legacy_env(made, infos_by_env=has_single_envs(config_name))


class RayVecEnv(LegacyEnv):
    """``num_actors`` copies of the environment of a configuration, in NumPy, as RL Games' workers give it.

    Args:
        config_name: name in ``env_configurations.configurations``.
        num_actors: N.
        kwargs: arguments of its ``env_creator``; ``seed`` of the first copy, ``vectorization`` ``sync`` or ``async``.
    """

    def __init__(self, config_name: str, num_actors: int, **kwargs: Any) -> None:
        super().__init__(_copies(config_name, num_actors, **kwargs), infos_by_env=True)
        self.config_name = config_name

    @override
    def reset(self) -> Any:
        return _in_numpy(super().reset())

    @override
    def step(self, actions: Any) -> tuple[Any, Any, Any, Any]:
        obs, rewards, dones, infos = super().step(actions)
        return _in_numpy(obs), rewards.numpy(), dones.numpy(), infos

    @override
    def get_action_masks(self) -> Any:
        masks = super().get_action_masks()
        return None if masks is None else masks.numpy()


def _in_numpy(tree: Any) -> Any:
    return tree_map(lambda x: x.numpy() if isinstance(x, Tensor) else x, tree)
