"""Convert between Gymnasium's infos and ``Step.extras``.

Both are mappings of columns. A column ``<key>`` has one value per row, or is another mapping of columns. ``_<key>``
(N,) bool marks the rows that have a value; without it, all have.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from manybody.envs.base import Extras
from manybody.envs.spaces import numeric_array

Infos = Mapping[str, Any]

STEP_FIELDS = frozenset({"action_mask", "final_obs", "final_info"})
"""Keys of Gymnasium's infos that become fields of ``Step``."""
ABOUT_EPISODES = ("episode", "log")
"""Extras about ended episodes; in Gymnasium they are only in ``final_info``."""


def columns_of(infos: Infos) -> Iterator[tuple[str, Any, Any]]:
    """Yield key, value and mask (None: all rows) of each column."""
    for key, value in infos.items():
        if not (isinstance(key, str) and key[:1] == "_" and key[1:] in infos):
            yield key, value, infos.get(f"_{key}")


def of_vector_env(infos: Infos, ended: np.ndarray) -> Extras:
    """Convert infos of a Gymnasium vector environment to the extras of a step.

    In the rows ``ended`` (N,) bool, ``infos`` belong to the new episode and ``infos['final_info']``, if present, to the
    step.
    """
    kept = _without_step_fields(infos)
    if "final_info" in infos and ended.any():
        kept = _with_ends(kept, _without_step_fields(infos["final_info"]), ended)
    return in_tensors(kept, torch.device("cpu"))


def of_copies(infos: Sequence[Infos | None], device: torch.device) -> Extras:
    """Convert infos of environments or agents, one mapping per row, to extras on ``device``."""
    return in_tensors(_join([info or {} for info in infos]), device) if any(infos) else {}


def in_tensors(infos: Infos, device: torch.device) -> Extras:
    """Copy the arrays of ``infos`` to tensors on ``device``; drop masks that are true in all rows."""
    extras: Extras = {}
    for key, value, mask in columns_of(infos):
        array = value
        if isinstance(value, np.ndarray) and value.dtype == object:
            array = _column([*value], np.ones(len(value), dtype=bool) if mask is None else mask)
        if isinstance(value, Mapping):
            extras[key] = in_tensors(value, device)
        elif isinstance(array, np.ndarray) and array.dtype.kind in "biuf":
            extras[key] = torch.from_numpy(np.array(array)).to(device)
        else:
            extras[key] = value
        if isinstance(mask, Tensor):
            extras[f"_{key}"] = mask
        elif mask is not None and not mask.all():
            extras[f"_{key}"] = torch.from_numpy(mask.copy()).to(device)
    return extras


def by_copy(extras: Infos, count: int) -> list[Extras]:
    """Split extras into one mapping per copy, with Python numbers; a value without rows belongs to all copies."""
    infos: list[Extras] = [{} for _ in range(count)]
    for key, value, mask in columns_of(extras):
        rows = [True] * count if mask is None else mask.tolist()
        if isinstance(value, Mapping):
            values: Sequence[Any] = by_copy(value, count)
            rows = [holds and bool(part) for holds, part in zip(rows, values, strict=True)]
        elif isinstance(value, Tensor | np.ndarray) and value.ndim and len(value) == count:
            values = value.tolist() if value.ndim == 1 else [*value]
        else:
            values = [value] * count
        for info, holds, one in zip(infos, rows, values, strict=True):
            if holds:
                info[key] = one
    return infos


def of_extras(extras: Infos, count: int, rows: np.ndarray | None = None) -> Extras:
    """Convert the extras with one row per environment (``count``) to infos of a Gymnasium vector environment.

    ``rows`` (count,) bool limits the masks; without it, extras about ended episodes are left out.
    """
    infos: Extras = {}
    for key, value, mask in columns_of(extras):
        held = np.ones(count, dtype=bool) if rows is None else rows.copy()
        if isinstance(mask, Tensor):
            held &= mask.cpu().numpy()
        if isinstance(value, Mapping):
            column: Any = of_extras(value, count, rows)
        else:
            column = array_of(value) if isinstance(value, Tensor) and value.shape[:1] == (count,) else ()
        if len(column) and not (rows is None and key in ABOUT_EPISODES):
            infos |= {key: column, f"_{key}": held}
    return infos


def array_of(tensor: Tensor) -> np.ndarray:
    """Copy a tensor to NumPy, since the environment may reuse its buffers. Waits for the device."""
    return np.array(tensor.detach().cpu().numpy())


def _without_step_fields(infos: Infos) -> Extras:
    return {key: value for key, value in infos.items() if str(key).removeprefix("_") not in STEP_FIELDS}


def _join(infos: Sequence[Infos]) -> Extras:
    """Convert one mapping per row to columns with masks."""
    columns: Extras = {}
    for key in dict.fromkeys(key for info in infos for key in info):
        held = np.array([key in info for info in infos])
        values = [info.get(key) for info in infos]
        if all(isinstance(value, Mapping) for value, holds in zip(values, held, strict=True) if holds):
            columns[str(key)] = _join([value or {} for value in values])
        else:
            columns[str(key)] = _column(values, held)
        columns[f"_{key}"] = held
    return columns


def _column(values: Sequence[object], held: np.ndarray) -> np.ndarray:
    """Join ``values`` to an array: of numbers if those in ``held`` rows are numbers of one shape, else of objects."""
    parts = [
        numeric_array(value) if isinstance(value, bool | int | float | np.generic | np.ndarray | Tensor) else None
        for value, holds in zip(values, held, strict=True)
        if holds
    ]
    if parts and all(part is not None and part.shape == getattr(parts[0], "shape", None) for part in parts):
        joined = np.stack(parts)  # type: ignore[arg-type]
        column = np.zeros((len(values), *joined.shape[1:]), joined.dtype)
        column[held] = joined
    else:
        column = np.full(len(values), None, dtype=object)
        for row, value in enumerate(values):
            column[row] = value
    return column


def _with_ends(now: Infos, last: Infos, ended: np.ndarray) -> Extras:
    """Merge columns: ``last`` in the rows ``ended``, ``now`` in the other rows."""
    current, previous = ({key: (value, mask) for key, value, mask in columns_of(infos)} for infos in (now, last))
    merged: Extras = {}
    for key in dict.fromkeys([*current, *previous]):
        new, mask = current.get(key, (None, None))
        held_new = np.full(len(ended), key in current) if mask is None else mask
        old, mask = previous.get(key, (None, None))
        held_old = np.full(len(ended), key in previous) if mask is None else mask
        if key == "episode" and old is None:  # reported by a wrapper around the vector environment
            old, held_old = new, held_new
        if isinstance(new, Mapping) or isinstance(old, Mapping):
            merged[key] = _with_ends(new or {}, old or {}, ended)
        else:
            new, old = (old if new is None else new), (new if old is None else old)
            if not all(isinstance(x, np.ndarray) and x.shape[:1] == ended.shape for x in (new, old)):
                merged[key] = old
                continue
            if new.shape != old.shape:
                new, held_new = old, np.zeros_like(ended)
            merged[key] = np.where(ended.reshape(-1, *[1] * (old.ndim - 1)), old, new)
        merged[f"_{key}"] = np.where(ended, held_old, held_new)
    return merged
