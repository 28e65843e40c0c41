"""What an environment is to a learner: ``VecEnv``, the ``Step`` it returns and the ``EnvSpec`` it declares."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from gymnasium import spaces
from torch import Tensor

from manybody.config.errors import ManybodyError

Obs = dict[str, Tensor | dict[str, Tensor]]
"""An observation:

``obs``: (N, *shape), or such a tensor per key for a ``Dict`` space; uint8 where the space is, float32 otherwise.
    The policy sees it.
``states``: (num_envs, S), or a tensor per key; only the critic sees it. Absent without ``EnvSpec.state_space``.
``action_masks``: (N, sum of head sizes) bool, true where an action is allowed. Absent where all always are, or
    where ``VecEnv.get_action_masks`` returns them.
"""


Extras = dict[str, Any]
"""Metrics and other values by name: ``Step.extras``."""
EnvState = Mapping[str, Any]
"""Tensors and plain values for a checkpoint."""


class EnvError(ManybodyError, ValueError):
    """An environment cannot be created or used as configured."""


class Step(NamedTuple):
    """The outcome of one action in each of N rows: every agent of every environment, environment by environment.

    A terminated episode has no future; a truncated one was cut short and its last state still has a value.
    Environments reset themselves in the same step: where an episode ended, ``obs`` already shows the new episode and
    ``final_obs`` the true last observation of the old one.
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
    """As ``obs``, without ``action_masks``: rows of ended episodes hold their last observation, the other rows are
    unspecified. None if the environment does not provide them."""
    extras: Extras
    """Metrics and what else the environment reports, by name; observers receive it unchanged.

    - (N,) numbers or bools, and () numbers: averaged over the epoch. () whole numbers: summed, as a count.
    - ``episode``, or ``log``: a mapping of (N,); the value of a row counts when its episode ends in this step. Numbers
      () and vectors of other lengths are averaged over what was reported.
    - ``scores``, or ``battle_won``: (N,), averaged over the latest ``games_to_track`` finished episodes.

    ``_<key>`` (N,) bool marks the rows of ``<key>`` that hold a value, as in Gymnasium's infos; without it all do.
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
    """Of one agent: ``Box``, or ``Dict`` of ``Box`` (one level)."""
    action_space: spaces.Space
    """Of one agent: ``Box`` with one axis, ``Discrete``, ``MultiDiscrete`` or ``Tuple`` of ``Discrete``."""
    state_space: spaces.Space | None = None
    """Of the critic alone, where the environment is asymmetric: ``Box``, or ``Dict`` of ``Box``."""
    num_agents: int = 1
    """Agents in one environment; all share the spaces above."""
    value_size: int = 1
    """Number of reward components, each with its own value head (V)."""
    extra: Mapping[str, spaces.Space] = field(default_factory=dict)
    """Further spaces by their key in ``get_env_info``, such as a discriminator's observations."""

    def env_info(self) -> dict[str, Any]:
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
    """Whether ``set_env_state`` continues running episodes. False: the state is only what outlives them (a
    curriculum), and new episodes begin after it."""

    @abstractmethod
    def reset(self) -> Obs:
        """Start a new episode everywhere and return its first observation."""

    @abstractmethod
    def step(self, actions: Tensor) -> Step:
        """Apply ``actions`` for one control step.

        Args:
            actions: (N, A) float32 in the units of a ``Box``; (N,) int64 from 0 for ``Discrete``; (N, heads) int64
                from 0 for ``MultiDiscrete`` and ``Tuple``, even if the space starts at another number.
        """

    def stagger_episodes(self) -> Tensor | None:
        """Shorten the episodes that have just begun by random numbers of steps, so that not all end in the same step.

        Training calls it after it has reset all environments; playing never does. The default changes nothing.

        Returns:
            (N,) bool: which rows' episodes are shorter than others. None: none.
        """
        return None

    def get_action_masks(self) -> Tensor | None:
        """Return (N, sum of head sizes) bool: which actions the next step allows. None: all, or see ``Obs``."""
        return None

    def get_env_info(self) -> dict[str, Any]:
        """Return the spec under RL Games' key names."""
        return self.spec.env_info()

    def set_train_info(self, frame: int, agent: object) -> None:
        """Called once an epoch with the frames trained so far, for curricula."""

    def set_opponent(self, act: Callable[[Obs, Tensor], Tensor]) -> bool:
        """Return self-play: let ``act(obs, mask)`` move for the other side, and return True; by default there is none.

        ``act`` returns the actions (N, ...) of the opponents in the environments ``mask`` (N,) bool, from ``obs``
        (N, ...) as they see it.
        """
        return False

    def set_weights(self, indices: list[int], weights: EnvState) -> bool:
        """Self-play in RL Games' protocol: the opponents of these environments play with ``weights``.

        Returns False if there is no other side, as by default.
        """
        return False

    def get_env_state(self) -> EnvState | None:
        """Return everything needed to resume exactly from here; None if not possible."""
        return None

    def set_env_state(self, state: EnvState) -> None:
        """Resume from what ``get_env_state`` returned."""

    def close(self) -> None:
        """Release threads, windows and processes."""
