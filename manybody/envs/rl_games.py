"""RL Games' environment protocol, and its objects as a :class:`VecEnv`."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from manybody.data.tree import leaves
from manybody.envs.base import EnvError, EnvInfo, EnvSpec, EnvState, Extras, Obs, Step, VecEnv
from manybody.envs.infos import in_tensors, of_copies
from manybody.envs.spaces import describe, flags, gymnasium_space, numbers, observation_tensors


class IVecEnv:
    """RL Games' vectorised environment: one batch of N rows (environments x agents), in NumPy or in torch.

    Subclasses implement ``step``, ``reset`` and ``get_env_info``.
    """

    def step(self, actions: object) -> tuple[object, object, object, object]:
        """Return ``obs, rewards, dones, infos``. Environments reset themselves.

        ``obs`` (N, *shape), or ``{'obs': ..., 'states': (environments, S)}``; ``rewards`` (N,) or (N, V); ``dones``
        (N,); ``infos`` a dict whose ``time_outs`` (N,) marks truncated episodes, or a list of one dict per environment
        with ``time_outs`` or gym's ``TimeLimit.truncated``.
        """
        raise NotImplementedError(f"{type(self).__name__} has no step()")

    def reset(self) -> object:
        """Return the first ``obs``."""
        raise NotImplementedError(f"{type(self).__name__} has no reset()")

    def get_env_info(self) -> EnvInfo:
        """Return ``observation_space``, ``action_space`` [, ``state_space``, ``agents``, ``value_size``]."""
        raise NotImplementedError(f"{type(self).__name__} has no get_env_info()")

    def get_number_of_agents(self) -> int:
        """Return the number of agents of one environment."""
        return 1

    def has_action_masks(self) -> bool:
        """Return whether :meth:`get_action_masks` returns masks."""
        return False

    def get_action_masks(self) -> object:
        """Return (N, sum of head sizes): the actions that are allowed next."""
        return None

    def seed(self, seed: int) -> None:
        """Use this seed at the next reset."""

    def set_train_info(self, env_frames: int, *args: object, **kwargs: object) -> None:
        """Receive the number of frames trained so far, once per epoch, for curricula."""

    def get_env_state(self) -> object:
        """Return the state that outlives episodes, for checkpoints."""
        return None

    def set_env_state(self, env_state: object) -> None:
        """Restore :meth:`get_env_state`."""


class RLGamesVecEnv(VecEnv):
    """An object with RL Games' protocol, which need not inherit from :class:`IVecEnv`, as a :class:`VecEnv`.

    The protocol has no last observation of an ended episode, so ``final_obs`` is None. A row is truncated if it is done
    and its ``time_outs`` is set. Actions are tensors if the first observation is a tensor, else arrays. Attributes that
    a ``VecEnv`` does not have (``reset_done``, the simulation ``env``) are those of the object.

    Args:
        ivecenv: the object.
        num_actors: number of its environments.
        env_name: name of the environments in messages.

    Raises:
        EnvError: the object lacks a method, or its ``get_env_info`` a space.
    """

    restores_exactly = False

    def __init__(self, ivecenv: Any, num_actors: int, env_name: str = "") -> None:
        self.ivecenv = ivecenv
        kind = type(ivecenv).__name__
        self.env_name = env_name or kind
        if missing := [name for name in ("step", "reset", "get_env_info") if not hasattr(ivecenv, name)]:
            raise EnvError(
                f"{self.env_name}: vecenv: got {kind}, without {', '.join(missing)}; expected a manybody.VecEnv or RL "
                "Games' IVecEnv"
            )
        info = ivecenv.get_env_info()
        if not isinstance(info, Mapping) or {"observation_space", "action_space"} - set(info):
            raise EnvError(
                f"{self.env_name}: get_env_info(): got {describe(info)}; expected 'observation_space', 'action_space'"
            )
        self.num_envs = num_actors
        self.device = torch.device("cpu")  # until the first observation shows where its tensors are
        state_space = info.get("state_space")
        self.spec = EnvSpec(
            gymnasium_space(info["observation_space"]),
            gymnasium_space(info["action_space"]),
            None if state_space is None else gymnasium_space(state_space),
            info.get("agents", 1),
            info.get("value_size", 1),
        )
        self._tensors = False

    def __getattr__(self, name: str) -> Any:
        if name == "ivecenv":  # not yet set
            raise AttributeError(name)
        return getattr(self.ivecenv, name)

    @override
    def reset(self) -> Obs:
        obs = self.ivecenv.reset()
        first = next(leaves(obs), None)
        self._tensors = isinstance(first, Tensor)
        self.device = first.device if isinstance(first, Tensor) else torch.device("cpu")
        return self._obs("reset()", obs)

    @override
    def step(self, actions: Tensor) -> Step:
        result = self.ivecenv.step(actions if self._tensors else actions.numpy())
        where = f"{self.env_name}: step()"
        if not isinstance(result, tuple | list) or len(result) != 4:
            got = f"{len(result)} values" if isinstance(result, tuple | list) else describe(result)
            raise EnvError(f"{where}: got {got}; expected obs, rewards, dones, infos")
        obs, rewards, dones, infos = result
        done = flags(f"{where} dones", dones, self.num_envs * self.spec.num_agents).to(self.device)
        extras, time_outs = self._extras(where, infos)
        truncated = torch.zeros_like(done) if time_outs is None else done & time_outs
        reward = numbers(f"{where} rewards", rewards, torch.float32).to(self.device)
        return Step(self._obs("step()", obs), reward, done & ~truncated, truncated, None, extras)

    def _obs(self, call: str, obs: object) -> Obs:
        where = f"{self.env_name}: {call}"
        if not (isinstance(obs, Mapping) and "obs" in obs):
            obs = {"obs": obs}
        parts = {"obs": observation_tensors(self.spec.observation_space, obs["obs"], f"{where} 'obs'")}
        if self.spec.state_space is not None and "states" in obs:
            parts["states"] = observation_tensors(self.spec.state_space, obs["states"], f"{where} 'states'")
        return parts

    def _extras(self, where: str, infos: object) -> tuple[Extras, Tensor | None]:
        """Return extras, and (N,) bool, the truncated episodes, if known."""
        rows = size = self.num_envs * self.spec.num_agents
        if isinstance(infos, Mapping):
            extras = in_tensors(infos, self.device)
        elif isinstance(infos, list | tuple | np.ndarray) and all(isinstance(info, Mapping) for info in infos):
            extras, size = of_copies([*infos], self.device), len(infos)
        else:
            return {}, None
        for key in ("time_outs", "TimeLimit.truncated"):
            if key in extras:
                extras.pop(f"_{key}", None)  # rows without it are False
                time_outs = flags(f"{where} infos[{key!r}]", extras.pop(key), size).to(self.device)
                return extras, time_outs.repeat_interleave(rows // size)
        return extras, None

    @override
    def get_action_masks(self) -> Tensor | None:
        masks = self._optional("get_action_masks")
        if masks is None:
            return None
        return numbers(f"{self.env_name}: get_action_masks()", masks, torch.bool).to(self.device)

    @override
    def set_weights(self, indices: list[int], weights: EnvState) -> bool:
        self._optional("set_weights", indices, weights)
        return hasattr(self.ivecenv, "set_weights")

    @override
    def set_train_info(self, frame: int, agent: object) -> None:
        self._optional("set_train_info", frame, agent)

    @override
    def get_env_state(self) -> EnvState | None:
        return self._optional("get_env_state")

    @override
    def set_env_state(self, state: EnvState) -> None:
        self._optional("set_env_state", state)

    @override
    def close(self) -> None:
        self._optional("close")

    def _optional(self, method: str, *args: object) -> Any:
        """Call a method if the object has it."""
        return getattr(self.ivecenv, method)(*args) if hasattr(self.ivecenv, method) else None
