"""What this library's :class:`~manybody.algos.session.Session` sees of an agent of RL Games' kind."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from manybody.engine.observers import AlgoObserver

NOTHING_YET = -1000000000.0
"""RL Games' mean return of an agent that has finished no episode."""


class _Meter:
    """RL Games' ``AverageMeter`` as tensors."""

    def __init__(self, meter: Any) -> None:
        self._meter = meter

    @property
    def mean(self) -> Tensor:
        return torch.as_tensor(self._meter.mean).reshape(-1)

    @property
    def current_size(self) -> Tensor:
        return torch.as_tensor(self._meter.current_size)

    @property
    def finished(self) -> Tensor:
        """Episodes since training began; NaN, which no comparison refuses, of a client's own class without it."""
        return torch.as_tensor(getattr(self._meter, "finished", float("nan")))


class _Length(_Meter):
    @property
    def mean(self) -> Tensor:
        return super().mean[0]


class RunFace:
    """An agent as ``Run`` expects one: settings typed, statistics as tensors, its own name in files.

    Attributes that are not named here are the agent's, to read and to write.
    """

    def __init__(self, agent: Any) -> None:
        self.__dict__["agent"] = agent

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["agent"], name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.__dict__["agent"], name, value)

    @property
    def config(self) -> Any:
        """The typed settings."""
        return self.agent.config.typed

    @property
    def name(self) -> str:
        """What checkpoints are called."""
        return str(self.agent.config["name"])

    @property
    def algo_observer(self) -> Any:
        """Told of an epoch here, unless a client's own ``write_stats`` has done so."""
        return AlgoObserver() if self.agent.observer_told else self.agent.algo_observer

    @property
    def last_mean_rewards(self) -> float:
        """The best mean return so far; RL Games says -1e9 where there is none."""
        best = float(self.agent.last_mean_rewards)
        return best if best > NOTHING_YET else float("-inf")

    @property
    def reward_size(self) -> int:
        """Components of the reward."""
        return int(self.agent.value_size)

    @property
    def game_rewards(self) -> _Meter:
        """Returns of finished episodes."""
        return _Meter(self.agent.game_rewards)

    @property
    def game_shaped_rewards(self) -> _Meter:
        """Shaped returns of finished episodes."""
        return _Meter(self.agent.game_shaped_rewards)

    @property
    def game_lengths(self) -> _Length:
        """Lengths of finished episodes."""
        return _Length(self.agent.game_lengths)

    def learner_state(self) -> dict[str, Any]:
        """Weights and optimiser, which a rollback returns to."""
        return {"model": self.agent.model.state_dict(), "optimizer": self.agent.optimizer.state_dict()}

    def set_learner_state(self, state: Mapping[str, Any], path: str = "state") -> None:
        """The inverse of :meth:`learner_state`."""
        self.agent.model.load_state_dict(state["model"])
        self.agent.optimizer.load_state_dict(state["optimizer"])

    def end_epoch(self, read: Mapping[str, float]) -> None:
        """RL Games' agents have no such hook."""
