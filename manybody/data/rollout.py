"""Storage of a rollout: one preallocated tensor (T, N, ...) per field."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import torch

from manybody.data.tree import Tree, tree_map

T = TypeVar("T")


class Field(NamedTuple):
    """Shape and dtype of one row."""

    shape: tuple[int, ...]
    dtype: torch.dtype


FieldTree = Field | Mapping[str, Field]
"""A field, or a dictionary of them."""


def swap_and_flatten01(x: T) -> T:
    """Return (N*T, ...) from (T, N, ...): all steps of row 0 first, then of row 1, and so on (RL Games' order)."""
    flat: T = tree_map(lambda leaf: leaf.transpose(0, 1).reshape(-1, *leaf.shape[2:]), x)
    return flat


class ExperienceBuffer:
    """The T steps of N rows (environments x agents) since the last update; ``fields`` describes one row by name."""

    def __init__(self, horizon_length: int, rows: int, fields: Mapping[str, FieldTree], device: torch.device) -> None:
        self.horizon_length = horizon_length
        self.tensor_dict: dict[str, Any] = tree_map(
            lambda field: torch.zeros((horizon_length, rows, *field.shape), dtype=field.dtype, device=device),
            fields,
        )

    def update_data(self, name: str, n: int, value: Tree) -> None:
        """Store ``value`` (N, ...) as step ``n`` of the field."""
        tree_map(lambda stored, new: stored[n].copy_(new), self.tensor_dict[name], value)

    def get_transformed_list(self, transform: Callable[[Any], Any], names: Sequence[str]) -> dict[str, Any]:
        """Return ``transform`` of each named field (T, N, ...)."""
        return {name: transform(self.tensor_dict[name]) for name in names}
