"""What environments report (``infos``), in the form of ``Step.extras``: values by name, one of each row."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

ELSEWHERE = frozenset({"action_mask", "final_obs", "final_info"})
"""Keys of Gymnasium's infos that become fields of ``Step``."""


def of_vector_env(infos: Mapping[str, Any], ended: np.ndarray) -> dict[str, Any]:
    """Infos of a Gymnasium vector environment as extras.

    Where an episode ended, ``infos`` belong to the new one and ``infos['final_info']``, if it is there, to the old
    one. The extras are those of the step, so of the old one.

    Args:
        infos: arrays by key, and ``_<key>`` (N,) bool, the rows that hold a value.
        ended: (N,) bool.
    """
    kept = _without_elsewhere(infos)
    if "final_info" in infos and ended.any():
        last = infos["final_info"]
        if not isinstance(last, Mapping):  # an array of dicts, as before Gymnasium 1.0
            last = _columns([info or {} for info in last])
        kept = _with_ends(kept, _without_elsewhere(last), ended)
    return in_tensors(kept, torch.device("cpu"))


def _without_elsewhere(infos: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in infos.items() if str(key).removeprefix("_") not in ELSEWHERE}


def of_copies(infos: Sequence[Mapping[str, Any] | None], device: torch.device) -> dict[str, Any]:
    """Infos of environments or agents, one mapping each, as extras on ``device``; rows in the order given."""
    return in_tensors(_columns([info or {} for info in infos]), device) if any(infos) else {}


def in_tensors(infos: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
    """``infos`` with tensors on ``device``, of their own memory, in place of arrays of numbers.

    Masks that hold everywhere are left out.
    """
    extras: dict[str, Any] = {}
    for key, value in infos.items():
        if isinstance(value, Mapping):
            extras[key] = in_tensors(value, device)
        elif _is_mask(key, infos) and isinstance(value, np.ndarray) and value.dtype == bool:
            if not value.all():
                extras[key] = torch.from_numpy(value.copy()).to(device)
        else:
            array = value
            if isinstance(value, np.ndarray) and value.dtype == object:
                array = _column([*value], infos.get(f"_{key}", np.ones(len(value), dtype=bool)))
            numbers = isinstance(array, np.ndarray) and array.dtype.kind in "biuf"
            extras[key] = torch.from_numpy(np.array(array)).to(device) if numbers else value
    return extras


def by_copy(extras: Mapping[str, Any], count: int) -> list[dict[str, Any]]:
    """The inverse of :func:`of_copies`: one mapping of each of ``count`` environments, in numbers of Python.

    What has no row of each environment belongs to every one.
    """
    infos: list[dict[str, Any]] = [{} for _ in range(count)]
    for key, value in extras.items():
        if _is_mask(key, extras):
            continue
        held = extras.get(f"_{key}")
        rows = [True] * count if held is None else held.tolist()
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


def _columns(infos: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Arrays by key, with masks, from one mapping of each row."""
    columns: dict[str, Any] = {}
    for key in dict.fromkeys(key for info in infos for key in info):
        held = np.array([key in info for info in infos])
        values = [info.get(key) for info in infos]
        if all(isinstance(value, Mapping) for value, holds in zip(values, held, strict=True) if holds):
            columns[str(key)] = _columns([value or {} for value in values])
        else:
            columns[str(key)] = _column(values, held)
        columns[f"_{key}"] = held
    return columns


def _column(values: Sequence[Any], held: np.ndarray) -> np.ndarray:
    """``values`` as one array: of numbers where those that are ``held`` are numbers of one shape, else of objects."""
    given = [_numbers(value) for value, holds in zip(values, held, strict=True) if holds]
    parts = [part for part in given if part is not None and part.shape == getattr(given[0], "shape", None)]
    if parts and len(parts) == len(given):
        joined = np.stack(parts)
        column = np.zeros((len(values), *joined.shape[1:]), joined.dtype)
        column[held] = joined
    else:
        column = np.full(len(values), None, dtype=object)
        for row, value in enumerate(values):
            column[row] = value
    return column


def _numbers(value: Any) -> np.ndarray | None:
    if isinstance(value, Tensor):
        value = value.detach().cpu().numpy()
    if not isinstance(value, bool | int | float | np.generic | np.ndarray):
        return None
    array = np.asarray(value)
    return array if array.dtype.kind in "biuf" else None


def _with_ends(now: Mapping[str, Any], last: Mapping[str, Any], ended: np.ndarray) -> dict[str, Any]:
    """Infos with those of ``last`` in the rows ``ended``."""
    merged: dict[str, Any] = {}
    for key in dict.fromkeys([*now, *last]):
        if _is_mask(key, now) or _is_mask(key, last):
            continue
        new, old = now.get(key), last.get(key)
        of_new, of_old = (_mask(infos, key, len(ended)) for infos in (now, last))
        if key == "episode" and old is None:  # reported by a wrapper around the vector environment
            old, of_old = new, of_new
        if isinstance(new, Mapping) or isinstance(old, Mapping):
            merged[key] = _with_ends(new or {}, old or {}, ended)
        else:
            going_on: Any = old if new is None else new
            over: Any = new if old is None else old
            if not all(isinstance(x, np.ndarray) and x.shape[:1] == ended.shape for x in (going_on, over)):
                merged[key] = over
                continue
            if going_on.shape != over.shape:
                going_on, of_new = over, np.zeros_like(ended)
            rows = ended.reshape(-1, *[1] * (over.ndim - 1))
            merged[key] = np.where(rows, over, going_on)
        merged[f"_{key}"] = np.where(ended, of_old, of_new)
    return merged


def _mask(infos: Mapping[str, Any], key: str, count: int) -> np.ndarray:
    return np.asarray(infos.get(f"_{key}", np.full(count, key in infos)))


def _is_mask(key: Any, infos: Mapping[str, Any]) -> bool:
    return isinstance(key, str) and key[:1] == "_" and key[1:] in infos
