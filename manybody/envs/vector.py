"""``GymnasiumVectorEnv``: any ``VecEnv`` as a ``gymnasium.vector.VectorEnv``, in NumPy."""

from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from manybody.data.tree import tree_map
from manybody.envs.base import Extras, Step, VecEnv
from manybody.envs.infos import array_of, of_extras


class GymnasiumVectorEnv(gymnasium.vector.VectorEnv):
    """N environments for learners that use Gymnasium.

    Environments reset themselves in the same step (``AutoresetMode.SAME_STEP``): in rows whose episode ended,
    ``infos['_final_obs']`` (N,) is true and ``infos['final_obs']`` (N,) object is the last observation (O,), as in
    Gymnasium's ``SyncVectorEnv``. Extras with one row per environment become infos; those of ended episodes are also in
    ``infos['final_info']``. Of an observation with several parts, only ``obs`` is returned.
    """

    def __init__(self, env: VecEnv) -> None:
        """Wrap ``env``; ``close`` closes it."""
        self.env = env
        self.num_envs = env.num_envs
        self.single_observation_space = env.spec.observation_space
        self.single_action_space = env.spec.action_space
        self.observation_space = batch_space(self.single_observation_space, env.num_envs)
        self.action_space = batch_space(self.single_action_space, env.num_envs)
        self.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}

    def reset(self, *, seed: int | None = None, options: dict[str, object] | None = None) -> tuple[Any, Extras]:
        """Start a new episode in every environment; the same seed gives the same episodes.

        Raises:
            ValueError: there is a ``seed`` and the environment has no ``seed`` method.
        """
        super().reset(seed=seed)
        if seed is not None:
            if not hasattr(self.env, "seed"):
                raise ValueError(
                    f"seed: got {seed}; expected None, as {type(self.env).__name__} has no seed(seed) method. Call "
                    "reset() without a seed and seed the environment where it is made"
                )
            self.env.seed(seed)
        return tree_map(array_of, self.env.reset()["obs"]), {}

    def step(self, actions: np.ndarray) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, Extras]:
        """Apply ``actions`` (N, A); return observation (N, O), reward, terminated, truncated (N,) and infos."""
        step = self.env.step(torch.as_tensor(np.asarray(actions), device=self.env.device))
        obs = tree_map(array_of, step.obs["obs"])
        reward, terminated, truncated = map(array_of, (step.reward, step.terminated, step.truncated))
        return obs, reward, terminated, truncated, self._infos(step, terminated | truncated)

    def close_extras(self, **kwargs: object) -> None:
        """Close the wrapped environment."""
        self.env.close()

    def _infos(self, step: Step, done: np.ndarray) -> Extras:
        infos = of_extras(step.extras, self.num_envs)
        if done.any():
            if step.final_obs is not None:
                last = tree_map(array_of, step.final_obs["obs"])
                final_obs = np.full(self.num_envs, None, dtype=object)
                for index in np.flatnonzero(done):
                    final_obs[index] = tree_map(lambda x, index=index: x[index], last)
                infos |= {"final_obs": final_obs, "_final_obs": done}
            if final := of_extras(step.extras, self.num_envs, done):
                infos |= {"final_info": final, "_final_info": done}
        return infos
