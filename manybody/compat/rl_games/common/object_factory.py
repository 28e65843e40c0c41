"""RL Games' factory: :class:`manybody.registry.ObjectFactory`."""

from collections.abc import Callable
from typing import Any

from manybody import registry


class ObjectFactory(registry.ObjectFactory):
    """See :class:`manybody.registry.ObjectFactory`."""

    @property
    def _builders(self) -> dict[str, Callable[..., Any]]:
        """What clients look up under this name."""
        return self.builders
