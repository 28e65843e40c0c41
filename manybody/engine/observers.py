"""Observers: what is told of a training and may log or steer, but never computes."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from manybody.engine.metrics import AverageMeter, read_to_host


class AlgoObserver:
    """The null observer; subclass and override. Every hook is called once where its name says."""

    def before_init(self, base_name: str, config: Any, experiment_name: str) -> None:
        """Before anything is built or written."""

    def after_init(self, algo: Any) -> None:
        """The agent is complete."""

    def process_infos(self, infos: dict[str, Any], done_indices: Tensor) -> None:
        """After each environment step: its extras and the (N,) bool mask of environments whose episode ended."""

    def after_steps(self) -> None:
        """The rollout is complete."""

    def after_clear_stats(self) -> None:
        """The agent forgot its episode statistics."""

    def after_print_stats(self, frame: int, epoch_num: int, total_time: float) -> None:
        """The epoch was logged; ``total_time`` in seconds since training began."""

    def state_dict(self) -> dict[str, Any]:
        """What must survive a resume."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of :meth:`state_dict`."""


class MultiObserver(AlgoObserver):
    """Tells several observers in order."""

    def __init__(self, observers: list[AlgoObserver]) -> None:
        self.observers = observers

    def before_init(self, base_name: str, config: Any, experiment_name: str) -> None:  # noqa: D102
        for observer in self.observers:
            observer.before_init(base_name, config, experiment_name)

    def after_init(self, algo: Any) -> None:  # noqa: D102
        for observer in self.observers:
            observer.after_init(algo)

    def process_infos(self, infos: dict[str, Any], done_indices: Tensor) -> None:  # noqa: D102
        for observer in self.observers:
            observer.process_infos(infos, done_indices)

    def after_steps(self) -> None:  # noqa: D102
        for observer in self.observers:
            observer.after_steps()

    def after_clear_stats(self) -> None:  # noqa: D102
        for observer in self.observers:
            observer.after_clear_stats()

    def after_print_stats(self, frame: int, epoch_num: int, total_time: float) -> None:  # noqa: D102
        for observer in self.observers:
            observer.after_print_stats(frame, epoch_num, total_time)

    def state_dict(self) -> dict[str, Any]:  # noqa: D102
        return {str(index): observer.state_dict() for index, observer in enumerate(self.observers)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:  # noqa: D102
        for index, observer in enumerate(self.observers):
            observer.load_state_dict(state.get(str(index), {}))


class DefaultAlgoObserver(AlgoObserver):
    """Writes ``scores/{mean,iter,time}``, the mean of ``extras['scores']`` over finished episodes."""

    def after_init(self, algo: Any) -> None:
        """Learn where to write."""
        self.algo = algo
        self.game_scores = AverageMeter((), algo.games_to_track, algo.device)

    def process_infos(self, infos: dict[str, Any], done_indices: Tensor) -> None:
        """Average the scores of the episodes that ended."""
        scores = infos.get("scores")
        if isinstance(scores, Tensor) and scores.shape == done_indices.shape:
            self.game_scores.update(scores, done_indices)

    def after_clear_stats(self) -> None:
        """Forget the scores too."""
        self.game_scores.clear()

    def after_print_stats(self, frame: int, epoch_num: int, total_time: float) -> None:
        """Write the scores, once any exist."""
        read = read_to_host({"mean": self.game_scores.mean, "size": self.game_scores.current_size})
        if read["size"] > 0:
            for suffix, x in (("mean", frame), ("iter", epoch_num), ("time", total_time)):
                self.algo.writer.add_scalar(f"scores/{suffix}", read["mean"], x)

    def state_dict(self) -> dict[str, Any]:
        """The running score."""
        return self.game_scores.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of :meth:`state_dict`."""
        if state:
            self.game_scores.load_state_dict(state)


class IsaacAlgoObserver(AlgoObserver):
    """Writes what Isaac-style tasks report.

    ``extras['episode']``, a mapping of tensors, becomes ``Episode/<key>``, averaged over the rollout's reports;
    every scalar among the other extras becomes ``<key>/{frame,iter,time}``, its last value of the epoch.
    """

    def after_init(self, algo: Any) -> None:
        """Learn where to write."""
        self.algo = algo
        self.episode_terms: dict[str, list[Tensor]] = {}
        self.scalars: dict[str, Tensor] = {}

    def process_infos(self, infos: dict[str, Any], done_indices: Tensor) -> None:
        """Keep references only; nothing is read from the device here."""
        for key, value in infos.get("episode", {}).items():
            self.episode_terms.setdefault(key, []).append(torch.as_tensor(value).float().mean())
        for key, value in infos.items():
            if isinstance(value, bool | int | float) or (isinstance(value, Tensor) and value.ndim == 0):
                self.scalars[key] = torch.as_tensor(value)

    def after_clear_stats(self) -> None:
        """Forget what was collected."""
        self.episode_terms.clear()
        self.scalars.clear()

    def after_print_stats(self, frame: int, epoch_num: int, total_time: float) -> None:
        """Write and forget."""
        means = {key: torch.stack(values).mean() for key, values in self.episode_terms.items()}
        read = read_to_host({f"Episode/{key}": value for key, value in means.items()} | self.scalars)
        for key, value in read.items():
            if key in self.scalars:
                for suffix, x in (("frame", frame), ("iter", epoch_num), ("time", total_time)):
                    self.algo.writer.add_scalar(f"{key}/{suffix}", value, x)
            else:
                self.algo.writer.add_scalar(key, value, epoch_num)
        self.after_clear_stats()
