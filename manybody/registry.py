"""``ObjectFactory``: names to builders, with errors that list what there is."""

import difflib
from collections.abc import Callable
from typing import Any


class ObjectFactory:
    """Creates objects by registered name. A later registration of the same name wins."""

    def __init__(self, kind: str = "object") -> None:
        self.kind = kind
        self.builders: dict[str, Callable[..., Any]] = {}
        self.schemas: dict[str, type | None] = {}

    def register_builder(self, name: str, builder: Callable[..., Any], schema: type | None = None) -> None:
        """Register ``builder(**kwargs)`` under ``name``.

        ``schema`` is the pydantic section that validates the configuration of what is built; without one its section
        of the file comes through as a read-only mapping, unchecked.
        """
        self.builders[name] = builder
        self.schemas[name] = schema

    def set_builders(self, builders: dict[str, Callable[..., Any]]) -> None:
        """Replace all registrations by a copy of ``builders``."""
        self.builders = dict(builders)
        self.schemas = dict.fromkeys(builders)

    def create(self, name: str, **kwargs: Any) -> Any:
        """Build the object registered under ``name``. Raises ValueError naming what is registered."""
        if name not in self.builders:
            near = difflib.get_close_matches(name, self.builders, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            known = ", ".join(sorted(self.builders)) or "none"
            raise ValueError(f"no {self.kind} is registered as {name!r}{hint} (registered: {known})")
        return self.builders[name](**kwargs)
