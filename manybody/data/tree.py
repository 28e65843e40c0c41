"""Functions for values that are a tensor or a dictionary of tensors, such as observations."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import Tensor

Tree = Tensor | dict[str, Any]
"""A tensor, or a dictionary of trees."""
State = Mapping[str, Any]
"""A state for a checkpoint: tensors, numbers, strings, None, and lists, tuples and dictionaries of those, by key."""


def tree_map(function: Callable[..., Any], tree: Any, *others: Any) -> Any:
    """Apply ``function`` to each leaf of ``tree`` and the same leaves of ``others``; return the same structure."""
    if isinstance(tree, Mapping):
        return {key: tree_map(function, value, *(x[key] for x in others)) for key, value in tree.items()}
    return function(tree, *others)


def leaves(tree: object) -> Iterator[Any]:
    """Yield the leaves in key order."""
    if isinstance(tree, Mapping):
        for value in tree.values():
            yield from leaves(value)
    else:
        yield tree
