"""RL Games' interface of algorithms, which this library's have too."""

from manybody.algos import base


class BaseAlgorithm(base.BaseAlgorithm):
    """The abstract interface; takes RL Games' arguments, and keeps none of them."""

    def __init__(self, base_name: str, config: object) -> None:
        super().__init__()


BaseAlgorithm.register(base.EnvAlgorithm)  # type: ignore[type-abstract]
