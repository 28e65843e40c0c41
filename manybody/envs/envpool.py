"""EnvPool's environments as a :class:`VecEnv`: C++ copies stepped by a thread pool."""

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor
from typing_extensions import override

from manybody.data.tree import leaves, tree_map
from manybody.envs.base import EnvError, EnvSpec, Obs, Step, VecEnv
from manybody.envs.infos import in_tensors
from manybody.envs.spaces import environment_actions, observation_tensors, outcome

BOOKKEEPING = ("env_id", "players", "terminated")
"""Keys of EnvPool's infos that are not extras: numbers of its copies, and values that ``Step`` has."""


class EnvPoolEnv(VecEnv):
    """N copies of an EnvPool environment.

    EnvPool resets an environment in the step after the end of its episode and ignores the action of that step. This
    adapter resets it at once, so that every step is a transition and the last observation is known.

    The state cannot be saved: a resumed run starts new episodes.

    Args:
        env_name: EnvPool's id (``Pong-v5``).
        num_actors: N.
        seed: seed of the first copy; the others use the next numbers. None draws one.
        flatten_obs: concatenate the entries of a ``Dict`` observation to one vector (dm_control).
        env_config: arguments of ``envpool.make``, such as ``max_episode_steps``, ``num_threads`` or
            ``reward_clip``.

    Raises:
        EnvError: EnvPool is not installed or cannot create the environment.
    """

    def __init__(
        self, env_name: str, num_actors: int, seed: int | None = None, flatten_obs: bool = False, **env_config: object
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
        except (AssertionError, TypeError, ValueError) as error:  # an unknown id, an argument it does not know
            raise EnvError(f"env_name: EnvPool cannot make {env_name!r} with {env_config}: {error}") from error
        self.env_name = env_name
        self.num_envs = num_actors
        self.device = torch.device("cpu")
        space = self._space = self.env.observation_space
        self._flatten = flatten_obs and isinstance(space, spaces.Dict)
        if self._flatten:
            space = spaces.Box(-np.inf, np.inf, (spaces.flatdim(space),))
        self.spec = EnvSpec(space, self.env.action_space)

    def _obs(self, call: str, observation: object) -> Obs:
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
        observation, *outcomes, infos = self.env.step(batch)
        reward, terminated, truncated = outcome(f"{self.env_name}: step()", self.num_envs, *outcomes)
        obs = final_obs = self._obs("step()", observation)
        rows = (terminated | truncated).nonzero().flatten()
        if len(rows):
            observation, _ = self.env.reset(rows.numpy())  # in the order of `rows`
            first = self._obs("reset()", observation)
            obs = tree_map(lambda old, new: old.index_copy(0, rows, new), final_obs, first)
        kept = {key: value for key, value in infos.items() if key not in BOOKKEEPING}
        return Step(obs, reward, terminated, truncated, final_obs, in_tensors(kept, self.device))

    @override
    def close(self) -> None:
        self.env.close()
