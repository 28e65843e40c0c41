"""EnvPool's environments as a :class:`VecEnv`: C++ copies stepped by a thread pool."""

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor
from typing_extensions import override

from manybody.data.tree import leaves, tree_map
from manybody.envs.base import EnvError, EnvSpec, Obs, Step, VecEnv
from manybody.envs.infos import in_tensors
from manybody.envs.spaces import (
    check_spaces,
    environment_actions,
    flags,
    numbers,
    observation_tensors,
)

BOOKKEEPING = ("env_id", "players", "terminated")
"""Keys of EnvPool's infos that number its copies, or that the step has anyway."""


class EnvPoolEnv(VecEnv):
    """N copies of an EnvPool environment.

    EnvPool resets an environment in the step after the one that ended its episode and ignores the action of that
    step. Here the environments that ended are reset at once, alone, so no step is without a transition and the last
    observation is known; the first observations are those that EnvPool's own reset would give.

    It cannot save its state: a resumed run starts new episodes.

    Args:
        env_name: EnvPool's id (``Pong-v5``).
        num_actors: N.
        seed: of the first copy; the others follow. None draws one.
        flatten_obs: join the entries of a ``Dict`` observation to one vector (dm_control).
        env_config: arguments of ``envpool.make``, such as ``max_episode_steps``, ``num_threads`` or
            ``reward_clip``.

    Raises:
        EnvError: EnvPool is not installed or cannot make it, or a learner cannot work with its spaces.
    """

    def __init__(
        self,
        env_name: str,
        num_actors: int,
        seed: int | None = None,
        flatten_obs: bool = False,
        **env_config: Any,
    ) -> None:
        try:
            import envpool
        except ImportError as error:
            raise EnvError(
                f"env_name: {env_name!r} needs EnvPool ({error}); install it with: pip install 'manybody[envpool]'"
            ) from error
        if seed is None:
            seed = int(np.random.default_rng().integers(2**31))
        arguments = {"num_envs": num_actors, "seed": seed, **env_config}
        try:
            self.env = envpool.make(env_name, env_type="gymnasium", **arguments)
        except (
            AssertionError,
            TypeError,
            ValueError,
        ) as error:  # an unknown id, an argument it does not know
            raise EnvError(f"env_name: EnvPool cannot make {env_name!r} with {env_config}: {error}") from error
        self.env_name = env_name
        self._space = self.env.observation_space
        self._flatten = flatten_obs and isinstance(self._space, spaces.Dict)
        shown = _flat_space(self._space) if self._flatten else self._space
        try:
            check_spaces(env_name, shown, self.env.action_space)
        except EnvError as error:
            hint = "; env_config.flatten_obs: True joins the parts" if isinstance(shown, spaces.Dict) else ""
            raise EnvError(f"{error}{hint}") from None
        self.num_envs = num_actors
        self.device = torch.device("cpu")
        self.spec = EnvSpec(shown, self.env.action_space)

    def _obs(self, call: str, observation: Any) -> Obs:
        obs = observation_tensors(self._space, observation, f"{self.env_name}: {call} observation")
        if self._flatten:
            obs = torch.cat([leaf.reshape(len(leaf), -1) for leaf in leaves(obs)], dim=1)
        return {"obs": obs}

    @override
    def reset(self) -> Obs:
        observation, _ = self.env.reset()
        return self._obs("reset()", observation)

    @override
    def step(self, actions: Tensor) -> Step:
        batch = environment_actions(self.spec.action_space, actions)
        observation, rewards, terminated, truncated, infos = self.env.step(batch)
        infos = {key: value for key, value in infos.items() if key not in BOOKKEEPING}
        where = f"{self.env_name}: step()"
        obs = final_obs = self._obs("step()", observation)
        ended = flags(f"{where} terminated", terminated, self.num_envs)
        cut_short = flags(f"{where} truncated", truncated, self.num_envs) & ~ended
        rows = (ended | cut_short).nonzero().flatten()
        if len(rows):
            observation, _ = self.env.reset(rows.numpy())  # answers in the order asked
            first = self._obs("reset()", observation)
            obs = tree_map(lambda old, new: old.index_copy(0, rows, new), final_obs, first)
        extras = in_tensors(infos, self.device)
        return Step(obs, numbers(f"{where} reward", rewards, torch.float32), ended, cut_short, final_obs, extras)

    def close(self) -> None:
        """Stop the threads."""
        self.env.close()


def rl_games_envpool(config_name: str, num_actors: int, /, **env_config: Any) -> VecEnv:
    """What RL Games' files mean by ``env_name: envpool`` with an ``env_config``.

    ``env_name`` in it is EnvPool's id. ``env_type`` and ``has_lives`` may stay: the first chooses an interface that
    is always Gymnasium's here, the second a score over several lives that is not kept.

    Raises:
        EnvError: no ``env_name``, or ``use_dict_obs_space``, which adds the last action to the observation.
    """
    if "env_name" not in env_config:
        raise EnvError(f"env_config: env_name: {config_name} needs env_config.env_name, EnvPool's id (Pong-v5)")
    if env_config.pop("use_dict_obs_space", False):
        raise EnvError(
            "env_config.use_dict_obs_space: not available; a recurrent network takes the last action and reward "
            "through a wrapper of your own"
        )
    for key in ("env_type", "has_lives"):
        env_config.pop(key, None)
    return EnvPoolEnv(env_config.pop("env_name"), num_actors, **env_config)


def _flat_space(space: spaces.Dict) -> spaces.Box:
    size = sum(int(np.prod(part.shape or ())) for part in space.values())
    return spaces.Box(-np.inf, np.inf, (size,), np.float32)
