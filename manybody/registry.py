"""Names to builders, and what the algorithms of the library declare about themselves."""

import difflib
import functools
import importlib
from collections.abc import Callable, Mapping
from typing import Any, Generic, NamedTuple

from typing_extensions import TypeVar

BUILT_IN = ("manybody.algos.a2c", "manybody.algos.sac", "manybody.algos.rnd", "manybody.algos.amp")
"""The folders of algorithms that belong to the library. Listed as strings, because they import this module."""


class Layout(NamedTuple):
    """The layout of RL Games' checkpoints of an algorithm."""

    recognises: Callable[[Mapping[str, Any]], bool]
    """Whether a file of RL Games has this layout."""
    from_rl_games: Callable[[Mapping[str, Any], str], Mapping[str, Any]]
    """RL Games' file and its path to the parts of a checkpoint of this library."""
    to_rl_games: Callable[[Mapping[str, Any], str], Mapping[str, Any]]
    """The inverse."""


class Algorithm(NamedTuple):
    """The declaration of an algorithm in its folder of ``algos/``."""

    agent: Any
    """The class; its ``Config`` is the schema of its settings."""
    player: type
    models: tuple[str, ...]
    """Built-in models that it supports."""
    networks: tuple[str, ...]
    """Built-in networks that it supports."""
    layout: Layout | None
    """Its checkpoints in RL Games; None: RL Games has no such algorithm."""
    played: tuple[str, ...] = ()
    """Keys of ``config`` that its player reads besides those that every player reads."""


@functools.cache
def _declared(table: str) -> dict[str, Any]:
    """Join the dictionaries ``table`` of the folders in ``BUILT_IN``, which are imported."""
    folders = map(importlib.import_module, BUILT_IN)
    return {name: entry for folder in folders for name, entry in getattr(folder, table, {}).items()}


def built_in() -> dict[str, Algorithm]:
    """Return the library's algorithms by name (``ALGORITHMS`` of each folder)."""
    return _declared("ALGORITHMS")


def built_in_networks() -> dict[str, tuple[Any, type]]:
    """Return the library's networks: builder and schema by name (``NETWORKS`` of each folder)."""
    return _declared("NETWORKS")


def built_in_models() -> dict[str, Any]:
    """Return the library's models by name (``MODELS`` of each folder)."""
    return _declared("MODELS")


def register_algorithms(runner: Any, algorithms: Mapping[str, Algorithm]) -> None:
    """Make ``algo.name: <name>`` train and play through ``runner``."""
    for name, entry in algorithms.items():
        runner.algo_factory.register_builder(name, entry.agent)
        runner.player_factory.register_builder(name, entry.player)


Created = TypeVar("Created", default=Any)


class ObjectFactory(Generic[Created]):
    """Creates objects by registered name. A later registration of a name replaces an earlier one."""

    def __init__(self, kind: str = "object") -> None:
        self.kind = kind
        self.builders: dict[str, Callable[..., Created]] = {}
        self.schemas: dict[str, type | None] = {}

    def register_builder(self, name: str, builder: Callable[..., Created], schema: type | None = None) -> None:
        """Register ``builder(**kwargs)`` under ``name``.

        ``schema`` is the pydantic section that validates the configuration of what is built; by default the ``Config``
        of a class. Without one, the section of the file comes through as a read-only mapping, unchecked.
        """
        self.builders[name] = builder
        self.schemas[name] = getattr(builder, "Config", None) if schema is None else schema

    def set_builders(self, builders: dict[str, Callable[..., Created]]) -> None:
        """Replace all registrations by a copy of ``builders``."""
        self.builders = dict(builders)
        self.schemas = dict.fromkeys(builders)

    def create(self, name: str, **kwargs: object) -> Created:
        """Build the object registered under ``name``. Raises ValueError naming what is registered."""
        if name not in self.builders:
            near = difflib.get_close_matches(name, self.builders, n=1)
            hint, known = f"; did you mean {near[0]!r}?" if near else "", ", ".join(sorted(self.builders)) or "none"
            raise ValueError(f"no {self.kind} is registered as {name!r}{hint} (registered: {known})")
        return self.builders[name](**kwargs)
