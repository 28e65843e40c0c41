"""Observers: hooks of a training run, for logging and control."""

from collections.abc import Callable
from typing import Any

from torch import Tensor
from typing_extensions import override

from manybody.data.tree import State
from manybody.engine.metrics import AverageMeter


class AlgoObserver:
    """Base class of observers; override its hooks."""

    logs_extras: bool = False
    """Whether the observer logs the environments' extras itself, so that the agent does not."""

    def before_init(self, base_name: str, config: object, experiment_name: str) -> None:
        """Run before anything is built or written."""

    def after_init(self, algo: object) -> None:
        """Run when the agent is complete."""

    def process_infos(self, infos: dict[str, Any], done_indices: Tensor) -> None:
        """Run after each environment step with its extras, and (N,) bool, the rows whose episode ended.

        The agent logs extras itself, as documented at ``Step.extras``.
        """

    def after_steps(self) -> None:
        """Run when the rollout is complete."""

    def after_clear_stats(self) -> None:
        """Run after the agent has cleared its episode statistics."""

    def after_print_stats(self, frame: int, epoch_num: int, total_time: float) -> None:
        """Run after the epoch was logged; ``total_time`` is in seconds since training began."""

    def state_dict(self) -> State:
        """Return the state that a resumed run needs."""
        return {}

    def load_state_dict(self, state: State) -> None:
        """Restore :meth:`state_dict`."""


def _each(hook: str) -> Callable[..., None]:
    """Return a method that calls ``hook`` of each of ``self.observers``."""

    def call(self: "MultiObserver", *arguments: object, **named: object) -> None:
        for observer in self.observers:
            getattr(observer, hook)(*arguments, **named)

    return call


class MultiObserver(AlgoObserver):
    """Several observers, called in order."""

    def __init__(self, observers: list[AlgoObserver]) -> None:
        self.observers = observers
        self.logs_extras = any(observer.logs_extras for observer in observers)

    before_init = _each("before_init")
    after_init = _each("after_init")
    process_infos = _each("process_infos")
    after_steps = _each("after_steps")
    after_clear_stats = _each("after_clear_stats")
    after_print_stats = _each("after_print_stats")

    @override
    def state_dict(self) -> State:
        return {str(index): observer.state_dict() for index, observer in enumerate(self.observers)}

    @override
    def load_state_dict(self, state: State) -> None:
        for index, observer in enumerate(self.observers):
            observer.load_state_dict(state.get(str(index), {}))


class DefaultAlgoObserver(AlgoObserver):
    """The default observer. It adds nothing: extras are logged with every observer."""

    @override
    def after_init(self, algo: Any) -> None:
        """Keep the agent, for subclasses."""
        self.algo = algo

    @property
    def game_scores(self) -> AverageMeter:
        """Mean of ``extras['scores']`` over finished episodes."""
        return self.algo.extras_metrics.scores

    def load_state_dict(self, state: State) -> None:
        """Load the scores of earlier checkpoints, in which the observer stored them."""
        if "current_size" in state:
            self.game_scores.load_state_dict(state)


class IsaacAlgoObserver(DefaultAlgoObserver):
    """The observer of ``manybody train``; it adds nothing."""
