"""RL Games' sweep: one configuration after another, with the values of a list."""

import copy
from collections.abc import Iterator, Mapping
from typing import Any


class Experiment:
    """Configurations of all experiments, each with the first, second, ... of the values that it lists.

    Args:
        config: the ``params`` that all start from; never changed.
        experiment_config: ``experiments``, a list of ``{'exp': [{'path': 'config.gamma', 'value': [...]}, ...]}``, all
            values of one experiment equally many; ``start_exp`` and ``start_sub_exp``, where to begin.
    """

    def __init__(self, config: Mapping[str, Any], experiment_config: Mapping[str, Any]) -> None:
        self.config = copy.deepcopy(config)
        self.best_config = copy.deepcopy(config)
        self.experiment_config = experiment_config
        self.best_results: tuple[float, int] = (-100500, 0)
        self.use_best_prev_result = experiment_config.get("use_best_prev_result", True)
        self.experiments = experiment_config["experiments"]
        self.last_exp_idx = experiment_config.get("start_exp", 0)
        self.sub_idx = experiment_config.get("start_sub_exp", 0)
        self.done = False
        self.results: dict[tuple[int, int], tuple[float, int]] = {}
        self.create_config()

    def set_results(self, rewards: float, epochs: int) -> None:
        """What came of the present configuration."""
        self.results[self.last_exp_idx, self.sub_idx] = rewards, epochs
        if rewards > self.best_results[0]:
            self.best_results = rewards, epochs

    def create_config(self) -> None:
        """Set ``current_config``; None after the last one. Its name ends with the two numbers."""
        self.current_config: Any = None
        if self.done:
            return
        made = copy.deepcopy(self.config)
        made["config"]["name"] += f"_{self.last_exp_idx}_{self.sub_idx}"
        for setting in self.experiments[self.last_exp_idx]["exp"]:
            *path, key = setting["path"].split(".")
            section: Any = made
            for part in path:
                section = section[part]
            section[key] = setting["value"][self.sub_idx]
        self.current_config = made

    def get_next_config(self) -> Any:
        """The present configuration, then go on; None when there are no more."""
        config = self.current_config
        if self.done:
            return config
        self.sub_idx += 1
        if self.sub_idx >= len(self.experiments[self.last_exp_idx]["exp"][0]["value"]):
            self.sub_idx = 0
            self.last_exp_idx += 1
            self.done = self.last_exp_idx >= len(self.experiments)
        self.create_config()
        return config

    def __iter__(self) -> Iterator[Any]:
        return iter(self.get_next_config, None)
