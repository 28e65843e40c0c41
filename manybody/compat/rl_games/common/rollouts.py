"""RL Games' place for rollouts, which agents collect themselves (``play_steps``)."""

from typing import Any


class Rollout:
    """Keeps a discount; :meth:`play_steps` does nothing."""

    def __init__(self, gamma: float) -> None:
        self.gamma = gamma

    def play_steps(self, env: Any, max_steps_count: int = 1) -> None:
        """Nothing, as in RL Games."""


class DiscretePpoRollout(Rollout):
    """Keeps the lambda of the advantages too."""

    def __init__(self, gamma: float, lam: float) -> None:
        super().__init__(gamma)
        self.lam = lam
