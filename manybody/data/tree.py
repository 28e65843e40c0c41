"""Observations are tensors or dictionaries of tensors: functions for both."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import Tensor

Tree = Tensor | dict[str, Any]
"""A tensor, or a dictionary of trees."""


def tree_map(function: Callable[..., Any], tree: Any, *others: Any) -> Any:
    """``function`` of each leaf of ``tree`` and of the leaves at its place in ``others``, in the same structure."""
    if isinstance(tree, Mapping):
        return {key: tree_map(function, value, *(x[key] for x in others)) for key, value in tree.items()}
    return function(tree, *others)


def leaves(tree: object) -> Iterator[Any]:
    """The leaves in key order."""
    if isinstance(tree, Mapping):
        for value in tree.values():
            yield from leaves(value)
    else:
        yield tree
