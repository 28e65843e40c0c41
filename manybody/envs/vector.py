"""``GymnasiumVectorEnv``: any ``VecEnv`` as a ``gymnasium.vector.VectorEnv``, in NumPy."""

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from manybody.data.tree import tree_map
from manybody.envs.base import Step, VecEnv

ABOUT_EPISODES = ("episode", "log")
"""Extras about episodes that ended, which belong into ``final_info`` alone."""


class GymnasiumVectorEnv(gymnasium.vector.VectorEnv):
    """N environments for learners that speak Gymnasium.

    Environments reset themselves in the same step (``AutoresetMode.SAME_STEP``): where an episode ended,
    ``infos['_final_obs']`` (N,) is true and ``infos['final_obs']`` (N,) object holds its last observation
    (O,), as with Gymnasium's own ``SyncVectorEnv``. Extras with a row of each environment are infos, those of ended
    episodes again under ``infos['final_info']``. Of an observation with several parts, the learner sees ``obs``.
    """

    def __init__(self, env: VecEnv) -> None:
        """Wrap ``env``; closing this closes it."""
        self.env = env
        self.num_envs = env.num_envs
        self.single_observation_space = env.spec.observation_space
        self.single_action_space = env.spec.action_space
        self.observation_space = batch_space(self.single_observation_space, env.num_envs)
        self.action_space = batch_space(self.single_action_space, env.num_envs)
        self.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start a new episode everywhere; with ``seed``, the same ones whenever the seed is the same.

        Raises:
            ValueError: ``seed`` was given and the environment has no ``seed`` method.
        """
        super().reset(seed=seed)
        if seed is not None:
            if not hasattr(self.env, "seed"):
                raise ValueError(
                    f"seed: got {seed}, but {type(self.env).__name__} has no seed(seed) method; "
                    "call reset() without a seed and seed the environment where it is made"
                )
            self.env.seed(seed)
        return _numpy(self.env.reset()["obs"]), {}

    def step(self, actions: np.ndarray) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Apply ``actions`` (N, A): observation (N, O), reward, terminated, truncated (N,), infos."""
        step = self.env.step(torch.as_tensor(np.asarray(actions), device=self.env.device))
        return (
            _numpy(step.obs["obs"]),
            _numpy(step.reward),
            _numpy(step.terminated),
            _numpy(step.truncated),
            self._infos(step),
        )

    def close_extras(self, **kwargs: Any) -> None:
        """Close the wrapped environment."""
        self.env.close()

    def _infos(self, step: Step) -> dict[str, Any]:
        done = _numpy(step.done)
        infos = self._by_row(step.extras)
        if done.any():
            final_obs = np.full(self.num_envs, None, dtype=object)
            last = None if step.final_obs is None else _numpy(step.final_obs["obs"])
            for index in np.flatnonzero(done) if last is not None else ():
                final_obs[index] = tree_map(lambda x, index=index: x[index], last)
            if last is not None:
                infos |= {"final_obs": final_obs, "_final_obs": done}
            if final := self._by_row(step.extras, done):
                infos |= {"final_info": final, "_final_info": done}
        return infos

    def _by_row(self, extras: Mapping[str, Any], rows: np.ndarray | None = None) -> dict[str, Any]:
        """Extras with a row of each environment, and which of ``rows`` (N,) hold a value; None: of all."""
        infos: dict[str, Any] = {}
        for key, value in extras.items():
            if (key[:1] == "_" and key[1:] in extras) or (rows is None and key in ABOUT_EPISODES):
                continue
            held = np.ones(self.num_envs, dtype=bool) if rows is None else rows
            if isinstance(extras.get(f"_{key}"), torch.Tensor):
                held = held & _numpy(extras[f"_{key}"])
            if isinstance(value, Mapping):
                value = self._by_row(value, rows)
            elif isinstance(value, torch.Tensor) and value.shape[:1] == (self.num_envs,):
                value = _numpy(value)
            else:
                continue
            if len(value):
                infos |= {key: value, f"_{key}": held.copy()}
        return infos


def _numpy(tree: Any) -> Any:
    """Tensors as arrays, in the same structure."""
    # A copy: the environment may reuse its buffers. Waits for the device.
    return tree_map(lambda tensor: np.array(tensor.detach().cpu().numpy()), tree)
