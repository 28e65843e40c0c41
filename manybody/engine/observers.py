"""Observers: what is told of a training and may log or steer, but never computes."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from manybody.engine.metrics import AverageMeter


class AlgoObserver:
    """The null observer; subclass and override. Every hook is called once where its name says."""

    logs_extras: bool = False
    """This observer writes what environments report on its own, so that the agent does not."""

    def before_init(self, base_name: str, config: Any, experiment_name: str) -> None:
        """Before anything is built or written."""

    def after_init(self, algo: Any) -> None:
        """The agent is complete."""

    def process_infos(self, infos: dict[str, Any], done_indices: Tensor) -> None:
        """After each environment step: its extras, and which rows' episodes ended, (N,) bool.

        They are logged without an observer's help, as ``Step.extras`` says.
        """

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
        self.logs_extras = any(observer.logs_extras for observer in observers)

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
    """The observer of a run that names none.

    It adds nothing: what environments report is logged whichever observer is in use.
    """

    def after_init(self, algo: Any) -> None:
        """Keep the agent, for subclasses."""
        self.algo = algo

    @property
    def game_scores(self) -> AverageMeter:
        """Mean of ``extras['scores']`` over finished episodes."""
        return self.algo.extras_metrics.scores

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over the scores of a checkpoint in which the observer kept them."""
        if "current_size" in state:
            self.game_scores.load_state_dict(state)


class IsaacAlgoObserver(AlgoObserver):
    """The observer of ``manybody train``; like :class:`DefaultAlgoObserver` it adds nothing."""

    def after_init(self, algo: Any) -> None:
        """Keep the agent, for subclasses."""
        self.algo = algo
