"""RL Games' ``rl_games.common.diagnostics``: hooks that clients call in an update of their own."""

from collections.abc import Mapping
from typing import Any


class DefaultDiagnostics:
    """Does nothing: with ``use_diagnostics`` the agents write ``diagnostics/...`` themselves."""

    def send_info(self, writter: Any) -> None:
        """Do nothing; called once an epoch."""

    def epoch(self, agent: Any, current_epoch: int) -> None:
        """Do nothing; called after the updates of an epoch."""

    def mini_epoch(self, agent: Any, miniepoch: int) -> None:
        """Do nothing; called after a pass over the batch."""

    def mini_batch(self, agent: Any, batch: Mapping[str, Any], e_clip: float, minibatch: int) -> None:
        """Do nothing; called after an update."""


PpoDiagnostics = DefaultDiagnostics
