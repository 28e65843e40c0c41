"""Clients' observers behind the interface that the library's agents call."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from manybody.engine.observers import AlgoObserver
from manybody.envs.infos import by_copy


class ClientObserver(AlgoObserver):
    """Passes row numbers and RL Games' agent to a client's observer; other attributes are the observer's.

    Args:
        observer: the client's.
        config: the settings that ``before_init`` receives.
        view: adds RL Games' attributes to an agent.
        infos_by_env: pass infos as a list, one dictionary for each environment.
    """

    logs_extras = True

    def __init__(
        self,
        observer: Any,
        config: Mapping[str, Any],
        view: Callable[[Any], Any] = lambda agent: agent,
        infos_by_env: bool = False,
    ) -> None:
        self.observer, self.config, self.view, self.infos_by_env = observer, config, view, infos_by_env
        self.num_agents = self.num_envs = 1

    def __getattr__(self, name: str) -> Any:
        if name == "observer":  # not yet set
            raise AttributeError(name)
        return getattr(self.observer, name)

    @override
    def before_init(self, base_name: str, config: Any, experiment_name: str) -> None:
        self.observer.before_init(base_name, self.config, experiment_name)

    @override
    def after_init(self, algo: Any) -> None:
        self.num_agents, self.num_envs = algo.num_agents, algo.num_actors
        self.observer.after_init(self.view(algo))

    @override
    def process_infos(self, infos: Any, done_indices: Tensor) -> None:
        """Pass the rows (K, 1) of ended episodes, the first agent's of each environment.

        Args:
            infos: of the step.
            done_indices: (N,) bool, or already such rows, from a client's own rollout.
        """
        if done_indices.dtype == torch.bool:
            done_indices = done_indices.nonzero()[:: self.num_agents]  # waits for the device, as RL Games does
        self.observer.process_infos(by_copy(infos, self.num_envs) if self.infos_by_env else infos, done_indices)

    @override
    def after_steps(self) -> None:
        self.observer.after_steps()

    @override
    def after_clear_stats(self) -> None:
        clear = getattr(self.observer, "after_clear_stats", None)
        if clear is not None:  # RL Games' own base class did not always have it
            clear()

    @override
    def after_print_stats(self, frame: int, epoch_num: int, total_time: float) -> None:
        self.observer.after_print_stats(frame, epoch_num, total_time)

    @override
    def state_dict(self) -> dict[str, Any]:
        return self.observer.state_dict() if hasattr(self.observer, "state_dict") else {}

    @override
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if hasattr(self.observer, "load_state_dict"):
            self.observer.load_state_dict(state)
