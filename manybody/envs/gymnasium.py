"""Gymnasium environments as a :class:`VecEnv`."""

from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from torch import Tensor

from manybody.envs.base import EnvError, EnvSpec, Obs, Step, VecEnv


class GymnasiumEnv(VecEnv):
    """N copies of a Gymnasium environment, reset in the step that ends an episode, with its true last observation.

    It cannot save its state: a resumed run starts new episodes.

    Args:
        env_name: a Gymnasium id.
        num_actors: N.
        seed: of the first copy; the others follow.
        env_config: arguments of ``gymnasium.make``.

    Raises:
        EnvError: Gymnasium cannot make it, or one of its spaces is no Box.
    """

    def __init__(self, env_name: str, num_actors: int, seed: int | None = None, **env_config: Any) -> None:
        def make() -> gymnasium.Env:
            return gymnasium.make(env_name, **env_config)

        try:
            self.env = SyncVectorEnv([make] * num_actors, autoreset_mode=AutoresetMode.SAME_STEP)
        except (gymnasium.error.Error, TypeError) as error:  # TypeError: an argument that it does not know
            raise EnvError(
                f"env_name: Gymnasium cannot make {env_name!r} with {env_config}: {error}"
            ) from error
        observation_space, action_space = self.env.single_observation_space, self.env.single_action_space
        for what, space in (("observation", observation_space), ("action", action_space)):
            if not isinstance(space, spaces.Box):
                raise EnvError(f"env_name: the {what} space of {env_name!r} is {space}; expected a Box")
        self.num_envs = num_actors
        self.device = torch.device("cpu")
        self.spec = EnvSpec(observation_space, action_space)
        self._seed = seed
        self._actions = np.zeros((num_actors, *(action_space.shape or ())), action_space.dtype)

    def _obs(self, observation: Any) -> Obs:
        return {"obs": torch.as_tensor(np.array(observation, dtype=np.float32))}

    def reset(self) -> Obs:
        """See :class:`VecEnv`; the seed counts for the first reset alone."""
        observation, _ = self.env.reset(seed=self._seed)
        self._seed = None
        return self._obs(observation)

    def step(self, actions: Tensor) -> Step:
        """See :class:`VecEnv`."""
        self._actions[:] = actions.numpy()
        observation, reward, terminated, truncated, infos = self.env.step(self._actions)
        final_obs = self._obs(observation)
        for row, last in enumerate(infos.get("final_obs", ())):
            if last is not None:
                final_obs["obs"][row] = torch.as_tensor(last)
        ended = torch.as_tensor(terminated)
        cut_short = torch.as_tensor(truncated) & ~ended
        return Step(self._obs(observation), torch.as_tensor(reward).float(), ended, cut_short, final_obs, {})

    def close(self) -> None:
        """Close the copies."""
        self.env.close()
