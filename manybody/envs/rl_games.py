"""RL Games' environment protocol: what speaks it becomes a :class:`VecEnv`."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from manybody.data.tree import leaves
from manybody.envs.base import EnvError, EnvSpec, Obs, Step, VecEnv
from manybody.envs.infos import in_tensors, of_copies
from manybody.envs.spaces import check_spaces, describe, flags, gymnasium_space, numbers, observation_tensors


class IVecEnv(ABC):
    """RL Games' vectorised environment: one batch of N rows (environments x agents), in NumPy or in torch."""

    @abstractmethod
    def step(self, actions: Any) -> tuple[Any, Any, Any, Any]:
        """``obs, rewards, dones, infos``.

        ``obs`` (N, *shape), or ``{'obs': ..., 'states': (environments, S)}``; ``rewards`` (N,) or (N, V); ``dones``
        (N,); ``infos`` a dict, whose ``time_outs`` (N,) marks truncated episodes, or a list with one
        dict of each environment, with ``time_outs`` or gym's ``TimeLimit.truncated``. Environments reset
        themselves.
        """

    @abstractmethod
    def reset(self) -> Any:
        """The first ``obs``."""

    def get_env_info(self) -> dict[str, Any]:
        """``observation_space``, ``action_space`` [, ``state_space``, ``agents``, ``value_size``]."""
        raise NotImplementedError(f"{type(self).__name__} has no get_env_info()")

    def get_number_of_agents(self) -> int:
        """Agents of one environment."""
        return 1

    def has_action_masks(self) -> bool:
        """Whether :meth:`get_action_masks` gives any."""
        return False

    def get_action_masks(self) -> Any:
        """(N, sum of head sizes): which actions are allowed next."""
        return None

    def seed(self, seed: int) -> None:
        """Start from this seed at the next reset."""

    def set_train_info(self, env_frames: int, *args: Any, **kwargs: Any) -> None:
        """Told once an epoch how many frames were trained, for curricula."""

    def get_env_state(self) -> Any:
        """What outlives episodes and belongs into a checkpoint."""
        return None

    def set_env_state(self, env_state: Any) -> None:
        """The inverse of :meth:`get_env_state`."""


class RLGamesVecEnv(VecEnv):
    """An object of RL Games' protocol as a :class:`VecEnv`; it need not inherit from :class:`IVecEnv`.

    The protocol has no last observation of an ended episode, so ``final_obs`` is None. A row is truncated where it is
    done and its ``time_outs`` is set; that it also terminated cannot be expressed. Actions arrive as
    tensors if the first observation was one, as arrays otherwise. Attributes that a ``VecEnv`` does not have
    (``reset_done``, ``set_weights``, the simulation ``env``) are those of the object.

    Args:
        ivecenv: the object.
        num_actors: environments in it.
        env_name: what messages call it.

    Raises:
        EnvError: its ``get_env_info`` lacks a space, or a learner cannot work with it.
    """

    restores_exactly = False

    def __init__(self, ivecenv: Any, num_actors: int, env_name: str = "") -> None:
        self.ivecenv = ivecenv
        self.env_name = env_name or type(ivecenv).__name__
        missing = [name for name in ("step", "reset", "get_env_info") if not hasattr(ivecenv, name)]
        if missing:
            raise EnvError(
                f"{self.env_name}: its vecenv is {type(ivecenv).__name__}, without {', '.join(missing)}; expected a "
                "manybody.VecEnv or RL Games' IVecEnv"
            )
        info = ivecenv.get_env_info()
        if not isinstance(info, Mapping):
            raise EnvError(f"{self.env_name}: get_env_info() gave {describe(info)}; expected a dict of its spaces")
        for key in ("observation_space", "action_space"):
            if key not in info:
                raise EnvError(f"{self.env_name}: get_env_info() gave {sorted(info)}; expected a {key!r} too")
        observation_space, action_space = map(gymnasium_space, (info["observation_space"], info["action_space"]))
        check_spaces(self.env_name, observation_space, action_space)
        state_space = info.get("state_space")
        self.num_envs = num_actors
        self.device = torch.device("cpu")  # where the first observation turns out to be
        self.spec = EnvSpec(
            observation_space,
            action_space,
            None if state_space is None else gymnasium_space(state_space),
            info.get("agents", 1),
            info.get("value_size", 1),
        )
        self._tensors = False

    def __getattr__(self, name: str) -> Any:
        if name == "ivecenv":  # not yet set
            raise AttributeError(name)
        return getattr(self.ivecenv, name)

    def set_weights(self, indices: list[int], weights: Any) -> bool:
        """See :class:`VecEnv`; False when the object has no such method."""
        forward = getattr(self.ivecenv, "set_weights", None)
        if forward is not None:
            forward(indices, weights)
        return forward is not None

    @override
    def reset(self) -> Obs:
        obs = self.ivecenv.reset()
        first = next(leaves(obs), None)
        self._tensors = isinstance(first, Tensor)
        self.device = first.device if isinstance(first, Tensor) else torch.device("cpu")
        return self._obs("reset()", obs)

    def step(self, actions: Tensor) -> Step:
        """See :class:`VecEnv`.

        Raises:
            EnvError: it did not return four things, or what they hold is wrong.
        """
        result = self.ivecenv.step(actions if self._tensors else actions.numpy())
        where = f"{self.env_name}: step()"
        if not isinstance(result, tuple | list) or len(result) != 4:
            given = f"{len(result)} values" if isinstance(result, tuple | list) else type(result).__name__
            raise EnvError(f"{where} gave {given}; expected obs, rewards, dones, infos")
        obs, rewards, dones, infos = result
        rows = self.num_envs * self.spec.num_agents
        done = flags(f"{where} dones", dones, rows).to(self.device)
        extras, cut_short = self._infos(where, infos, rows)
        truncated = torch.zeros_like(done) if cut_short is None else done & cut_short
        reward = numbers(f"{where} rewards", rewards, torch.float32).to(self.device)
        return Step(self._obs("step()", obs), reward, done & ~truncated, truncated, None, extras)

    def _obs(self, call: str, obs: Any) -> Obs:
        where = f"{self.env_name}: {call}"
        if not (isinstance(obs, Mapping) and "obs" in obs):
            obs = {"obs": obs}
        parts = {"obs": observation_tensors(self.spec.observation_space, obs["obs"], f"{where} 'obs'")}
        if self.spec.state_space is not None and "states" in obs:
            parts["states"] = observation_tensors(self.spec.state_space, obs["states"], f"{where} 'states'")
        return parts

    def _infos(self, where: str, infos: Any, rows: int) -> tuple[dict[str, Any], Tensor | None]:
        """Infos as extras, and (N,) bool, which episodes were truncated, if known."""
        if isinstance(infos, Mapping):
            extras, size = in_tensors(infos, self.device), rows
        elif isinstance(infos, list | tuple | np.ndarray) and all(isinstance(x, Mapping) for x in infos):
            extras, size = of_copies([*infos], self.device), len(infos)
        else:
            return {}, None
        for key in ("time_outs", "TimeLimit.truncated"):
            if key in extras:
                extras.pop(f"_{key}", None)  # rows without it hold False
                cut_short = flags(f"{where} infos[{key!r}]", extras.pop(key), size).to(self.device)
                return extras, cut_short.repeat_interleave(rows // size)
        return extras, None

    @override
    def get_action_masks(self) -> Tensor | None:
        masks = self.ivecenv.get_action_masks() if hasattr(self.ivecenv, "get_action_masks") else None
        if masks is None:
            return None
        return numbers(f"{self.env_name}: get_action_masks()", masks, torch.bool).to(self.device)

    @override
    def set_train_info(self, frame: int, agent: Any) -> None:
        if hasattr(self.ivecenv, "set_train_info"):
            self.ivecenv.set_train_info(frame, agent)

    @override
    def get_env_state(self) -> Any:
        return self.ivecenv.get_env_state() if hasattr(self.ivecenv, "get_env_state") else None

    @override
    def set_env_state(self, state: Any) -> None:
        if hasattr(self.ivecenv, "set_env_state"):
            self.ivecenv.set_env_state(state)

    def close(self) -> None:
        """Close it, if it can be closed."""
        if hasattr(self.ivecenv, "close"):
            self.ivecenv.close()
