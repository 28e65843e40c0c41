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
"""What there is to see, by kind:

``obs``: (N, *shape), or such a tensor per key for a ``Dict`` space; uint8 where the space is, float32 otherwise.
    The policy sees it.
``states``: (num_envs, S), or a tensor per key; only the critic sees it. Absent without ``EnvSpec.state_space``.
``action_masks``: (N, sum of head sizes) bool, true where an action is allowed. Absent where all always are, or
    where ``VecEnv.get_action_masks`` gives them.
"""


class EnvError(ManybodyError, ValueError):
    """An environment cannot be created or used as configured."""


class Step(NamedTuple):
    """The outcome of one action in each of N rows: every agent of every environment, environment by environment.

    ``terminated`` and ``truncated`` are two words: a terminated episode has no future, a truncated one was only
    cut short and its last state still has a value. Environments reset themselves in the same step: where an
    episode ended, ``obs`` already shows the new episode and ``final_obs`` the true last observation of the old one.
    """

    obs: Obs
    """What to act on next, on the environment's device."""
    reward: Tensor
    """(N,) float32, or (N, V) with V value heads."""
    terminated: Tensor
    """(N,) bool: the task ended (fell, solved)."""
    truncated: Tensor
    """(N,) bool: time ran out. Never true where ``terminated`` is."""
    final_obs: Obs | None
    """As ``obs`` but for ``action_masks``, which the end of an episode has no use for: rows of ended episodes hold
    their last observation, the other rows are unspecified. None if the environment does not provide them."""
    extras: dict[str, Any]
    """What else the environment reports, by name. Observers receive it as it is; numbers become metrics:

    - (N,) numbers or bools: averaged over the rows and the steps of the epoch (of bools: a share).
    - () whole numbers (an ``int`` or an integer tensor): a count, summed over the steps of the epoch.
    - () other numbers, and bools: averaged over the steps of the epoch.
    - ``episode``: a mapping of (N,); the value of a row counts when its episode ends in this step. Averaged over the
      episodes that ended in the epoch. Numbers () and vectors of other lengths are averaged over what was reported.
    - ``log``: as ``episode`` (Isaac Lab's and mjlab's name).
    - ``scores``, or ``battle_won``: (N,), averaged over the latest ``games_to_track`` finished episodes.

    ``_<key>`` (N,) bool marks the rows of ``<key>`` that hold a value, as in Gymnasium's infos; without it all do.
    Rows that are not finite are left out. Further mappings are flattened: ``a: {b: ...}`` is ``a/b``. A key that cannot
    be logged (text, tensors with more axes) is named in a warning, once in a run.

    Tags: ``Episode/<key>`` for ``episode`` and ``log``, ``scores/{mean,iter,time}``, ``<key>/{frame,iter,time}`` for
    all others. Agents may read more of it: ``amp_obs`` (N, D) for imitation.
    """

    @property
    def done(self) -> Tensor:
        """(N,) bool: an episode ended, for whichever reason."""
        return self.terminated | self.truncated


@dataclass(frozen=True)
class EnvSpec:
    """Sizes and spaces of one environment of the batch."""

    observation_space: spaces.Space
    """What one agent sees: ``Box``, or ``Dict`` of ``Box`` (one level)."""
    action_space: spaces.Space
    """What one agent does: ``Box`` with one axis, ``Discrete``, ``MultiDiscrete`` or ``Tuple`` of ``Discrete``."""
    state_space: spaces.Space | None = None
    """What the critic alone sees, where the environment is asymmetric: ``Box``, or ``Dict`` of ``Box``."""
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
                from 0 for ``MultiDiscrete`` and ``Tuple``. An action space that starts elsewhere is the
                environment's own affair.
        """

    def stagger_episodes(self) -> Tensor | None:
        """Shorten the episodes that have just begun by random numbers of steps, so that not all end in the same step.

        Training calls it after it has reset all environments; playing never does. The default changes nothing.

        Returns:
            (N,) bool: whose episode is shorter than others. None: no one's.
        """
        return None

    def get_action_masks(self) -> Tensor | None:
        """(N, sum of head sizes) bool: which actions the next step allows. None: all, or see ``Obs``."""
        return None

    def get_env_info(self) -> dict[str, Any]:
        """The spec under RL Games' key names."""
        return self.spec.env_info()

    def set_train_info(self, frame: int, agent: Any) -> None:
        """Called once an epoch with the frames trained so far, for curricula."""

    def set_opponent(self, act: Callable[[Obs, Tensor], Tensor]) -> bool:
        """Self-play: take ``act(obs, mask)``, which moves for the other side, and answer True.

        ``act`` gives the actions (N, ...) of the opponents in the environments ``mask`` (N,) bool, from ``obs``
        (N, ...) as they see it. The default answers False: there is no other side.
        """
        return False

    def set_weights(self, indices: list[int], weights: Mapping[str, Any]) -> bool:
        """Self-play in RL Games' protocol: the opponents of these environments play with ``weights``.

        The default answers False: there is no other side.
        """
        return False

    def get_env_state(self) -> Mapping[str, Any] | None:
        """Return everything needed to resume exactly from here, as tensors and plain values; None if not possible."""
        return None

    def set_env_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what ``get_env_state`` returned."""

    def close(self) -> None:
        """Release threads, windows and processes."""
