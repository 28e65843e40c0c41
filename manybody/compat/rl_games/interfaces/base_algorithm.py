"""RL Games' interface of algorithms, which this library's have too."""

from typing import Any

from manybody.algos import base
from manybody.algos.base import EnvAlgorithm


class BaseAlgorithm(base.BaseAlgorithm):
    """See :class:`manybody.algos.base.BaseAlgorithm`; takes RL Games' arguments, and keeps none of them."""

    def __init__(self, base_name: str, config: Any) -> None:
        super().__init__()


BaseAlgorithm.register(EnvAlgorithm)  # type: ignore[type-abstract]
