"""Where a rollout is stored: one preallocated tensor (T, N, ...) per field."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Field(NamedTuple):
    """Shape of one row and its type."""

    shape: tuple[int, ...]
    dtype: torch.dtype


def swap_and_flatten01(x: Tensor) -> Tensor:
    """(N*T, ...) from (T, N, ...): all steps of row 0 first, then of row 1, and so on (RL Games' order)."""
    return x.transpose(0, 1).reshape(-1, *x.shape[2:])


class ExperienceBuffer:
    """The T steps that N rows (environments x agents) went through since the last update.

    Args:
        horizon_length: T.
        rows: N.
        fields: name to shape and type of what is stored each step.
        device: where to.
    """

    def __init__(
        self, horizon_length: int, rows: int, fields: Mapping[str, Field], device: torch.device
    ) -> None:
        self.horizon_length = horizon_length
        self.tensor_dict: dict[str, Tensor] = {
            name: torch.zeros((horizon_length, rows, *field.shape), dtype=field.dtype, device=device)
            for name, field in fields.items()
        }

    def update_data(self, name: str, n: int, value: Tensor) -> None:
        """Store ``value`` (N, ...) as step ``n`` of the field."""
        self.tensor_dict[name][n].copy_(value)

    def get_transformed_list(self, names: Sequence[str]) -> dict[str, Tensor]:
        """The named fields, flattened env-major to (N*T, ...)."""
        return {name: swap_and_flatten01(self.tensor_dict[name]) for name in names}
