"""RL Games' sweep, whose module its clients import with the runner."""

from collections.abc import Mapping
from typing import Any


class Experiment:
    """Not available. Raises NotImplementedError."""

    def __init__(self, config: Mapping[str, Any], experiment_config: Mapping[str, Any]) -> None:
        raise NotImplementedError("experiment_config: sweeps are not available; use: manybody train --multirun")
