"""The interface between environments and learners: ``VecEnv``, ``Step`` and ``EnvSpec``."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from gymnasium import spaces
from torch import Tensor

from manybody.config.errors import ManybodyError
from manybody.data.tree import State

Obs = dict[str, Tensor | dict[str, Tensor]]
"""An observation:

``obs``: (N, *shape), or such a tensor per key for a ``Dict`` space; uint8 where the space is, float32 otherwise.
    The policy sees it.
``states``: (num_envs, S), or a tensor per key; only the critic sees it. Absent without ``EnvSpec.state_space``.
``action_masks``: (N, sum of head sizes) bool, true where an action is allowed. Absent if all actions are always
    allowed, or if ``VecEnv.get_action_masks`` returns the masks.
"""


Extras = dict[str, Any]
"""Metrics and other values by name: ``Step.extras``."""
EnvInfo = dict[str, Any]
"""``observation_space``, ``action_space``, ``agents``, ``value_size``, perhaps ``state_space``, and further spaces."""
EnvState = State


class EnvError(ManybodyError, ValueError):
    """An environment cannot be created or used as configured."""


class Step(NamedTuple):
    """The result of one action in each of N rows: every agent of every environment, environment by environment.

    The last state of a terminated episode has no value; that of a truncated episode has one. Environments reset
    themselves in the same step: in rows whose episode ended, ``obs`` is the first observation of the new episode and
    ``final_obs`` the last one of the old episode.
    """

    obs: Obs
    """The observation to act on next, on the environment's device."""
    reward: Tensor
    """(N,) float32, or (N, V) with V value heads."""
    terminated: Tensor
    """(N,) bool: the task ended (fell, solved)."""
    truncated: Tensor
    """(N,) bool: time ran out. Never true where ``terminated`` is."""
    final_obs: Obs | None
    """Like ``obs``, without ``action_masks``: the last observation in rows whose episode ended, unspecified in other
    rows. None if the environment does not provide it."""
    extras: Extras
    """Metrics and other values that the environment reports, by name; observers receive them unchanged.

    - (N,) numbers or bools, and () numbers: averaged over the epoch. () whole numbers: summed, as a count.
    - ``episode``, or ``log``: a mapping of (N,); the value of a row counts when its episode ends in this step. Numbers
      () and vectors of other lengths are averaged over what was reported.
    - ``scores``, or ``battle_won``: (N,), averaged over the latest ``games_to_track`` finished episodes.

    ``_<key>`` (N,) bool marks the rows of ``<key>`` that have a value, as in Gymnasium's infos; without it, all have.
    Non-finite rows are left out; ``a: {b: ...}`` is ``a/b``. Agents may read more: ``amp_obs`` (N, D) for imitation.
    """

    @property
    def done(self) -> Tensor:
        """(N,) bool: an episode ended, for either reason."""
        return self.terminated | self.truncated


@dataclass(frozen=True)
class EnvSpec:
    """Sizes and spaces of one environment of the batch."""

    observation_space: spaces.Space
    """Space of one agent: ``Box``, or ``Dict`` of ``Box`` (one level)."""
    action_space: spaces.Space
    """Space of one agent: ``Box`` with one axis, ``Discrete``, ``MultiDiscrete`` or ``Tuple`` of ``Discrete``."""
    state_space: spaces.Space | None = None
    """Space of the states that only the critic sees: ``Box``, or ``Dict`` of ``Box``."""
    num_agents: int = 1
    """Agents in one environment; all share the spaces above."""
    value_size: int = 1
    """Number of reward components, each with its own value head (V)."""
    extra: Mapping[str, spaces.Space] = field(default_factory=dict)
    """Further spaces by their key in ``get_env_info``, such as a discriminator's observations."""

    def env_info(self) -> EnvInfo:
        """Return the spec under RL Games' key names."""
        info = {
            "observation_space": self.observation_space,
            "action_space": self.action_space,
            "agents": self.num_agents,
            "value_size": self.value_size,
            **self.extra,
        }
        return info if self.state_space is None else {**info, "state_space": self.state_space}


class VecEnv(ABC):
    """Environments stepped together. Subclasses set ``num_envs``, ``device`` and ``spec`` in their constructor.

    Every tensor has N = ``num_envs`` x ``spec.num_agents`` rows, environment by environment; only ``states`` has one
    row per environment.
    """

    num_envs: int
    device: torch.device
    spec: EnvSpec
    restores_exactly: bool = True
    """Whether ``set_env_state`` continues running episodes. False: it restores only values that outlive episodes (a
    curriculum), and new episodes begin."""

    @abstractmethod
    def reset(self) -> Obs:
        """Start a new episode in every environment and return the first observations."""

    @abstractmethod
    def step(self, actions: Tensor) -> Step:
        """Apply ``actions`` for one control step.

        Args:
            actions: (N, A) float32 in the units of a ``Box``; (N,) int64 from 0 for ``Discrete``; (N, heads) int64
                from 0 for ``MultiDiscrete`` and ``Tuple``, even if the space starts at another number.
        """

    def stagger_episodes(self) -> Tensor | None:
        """Shorten the current episodes by random numbers of steps, so that they do not all end in the same step.

        Training calls it after it has reset all environments; playing never does. The default changes nothing.

        Returns:
            (N,) bool: the rows whose episode is shortened. None: none.
        """
        return None

    def get_action_masks(self) -> Tensor | None:
        """Return (N, sum of head sizes) bool: the actions that the next step allows. None: all, or see ``Obs``."""
        return None

    def get_env_info(self) -> EnvInfo:
        """Return the spec under RL Games' key names."""
        return self.spec.env_info()

    def set_train_info(self, frame: int, agent: object) -> None:
        """Receive the number of frames trained so far, once per epoch, for curricula."""

    def set_opponent(self, act: Callable[[Obs, Tensor], Tensor]) -> bool:
        """Use ``act(obs, mask)`` for the opponents' actions (self-play); return False if there are no opponents.

        ``act`` returns actions (N, ...) from the opponents' observations ``obs`` (N, ...); ``mask`` (N,) bool selects
        the environments.
        """
        return False

    def set_weights(self, indices: list[int], weights: EnvState) -> bool:
        """Set the opponents' weights in these environments (RL Games' self-play); False if there are no opponents."""
        return False

    def get_env_state(self) -> EnvState | None:
        """Return the state for an exact resume; None if the environment has none."""
        return None

    def set_env_state(self, state: EnvState) -> None:
        """Restore :meth:`get_env_state`."""

    def close(self) -> None:
        """Release threads, windows and processes."""
