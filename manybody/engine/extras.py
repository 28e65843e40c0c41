"""Metrics from the ``extras`` of environments."""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from manybody.engine.console import warn
from manybody.engine.metrics import AverageMeter
from manybody.functional.stats import known_empty

SCORES = ("scores", "battle_won")
"""Keys of the score of an episode; the first one present is used."""
REPORTS = ("episode", "log")
"""Keys of mappings with metrics of episodes."""
EPISODE = "Episode/"
"""Prefix of the tags of these metrics."""
NO_METRICS = ("amp_obs", "body_positions")
"""Keys that algorithms and players use; they are not metrics."""
RESERVED = re.compile(r"(shaped_)?rewards\d*|episode_lengths")
"""Keys whose tags the library uses for returns and lengths."""


class ExtrasMetrics:
    """Turns ``Step.extras`` into metrics of the epoch, by the rules in the docstring of ``Step.extras``.

    Everything stays on the device; a step needs a few operations, independent of the number of keys.

    Args:
        rows: N, environments x agents.
        num_agents: rows of one environment.
        games_to_track: episodes over which scores are averaged.
        device: of the learner; extras are moved to it.
    """

    def __init__(self, rows: int, num_agents: int, games_to_track: int, device: torch.device) -> None:
        self.rows = rows
        self.num_agents = num_agents
        self.device = device
        self.scores = AverageMeter((), games_to_track, device)
        self.used: set[str] = set()
        """Keys that the agent uses: no warning if they cannot be logged."""
        self._reported: set[str] = set()
        self._reset_epoch()

    def _reset_epoch(self) -> None:
        self._tables: dict[tuple[Any, ...], _Table] = {}
        self._scalars: dict[str, _Scalar] = {}

    def add(self, extras: Mapping[str, Any], finished: Tensor) -> None:
        """Add one step.

        Args:
            extras: of the step.
            finished: (N,) bool, the rows whose episode ended in this step and counts.
        """
        score = next((key for key in SCORES if self._by_row(_tensor(extras.get(key)))), None)
        batches: dict[tuple[Any, ...], _Batch] = {}
        problems: dict[str, str] = {}
        for name, given, mask, report in _leaves(extras):
            if name in self._reported:
                continue
            value = _tensor(given)
            if name == score:
                self._add_score(value, mask, finished)
            elif not report and RESERVED.fullmatch(name):
                problems[name] = "the name is taken by a statistic of this library; rename it"
            elif value is None:
                problems[name] = f"got {type(given).__name__}; expected numbers"
            elif self._by_row(value):
                kind = (report, len(value), value.device, None if mask is None else name)
                batches.setdefault(kind, _Batch({}, mask, report)).values[name] = value
            elif not isinstance(value, Tensor) or value.numel() == 1:
                self._scalars.setdefault(name, _Scalar(counts=not report)).add(value, 1)
            elif report and value.ndim == 1:
                self._scalars.setdefault(name, _Scalar(counts=False)).add(value.sum(), len(value))
            else:
                shape = f"got the shape {tuple(value.shape)}"
                problems[name] = f"{shape}; expected () or one number of each row, ({self.rows},)"
        for batch in batches.values():
            self._add_rows(batch, finished)
        if problems:
            self._reported |= set(problems)
            unused = {name: problem for name, problem in problems.items() if name not in self.used}
            if unused:
                listed = "; ".join(f"extras[{name!r}]: {problem}" for name, problem in unused.items())
                warn(f"some extras of the environment are not logged: {listed}")

    def take(self) -> dict[str, Tensor]:
        """Return the metrics of the epoch, () each on the device, and reset them; scores stay.

        NaN: no value was reported, for example no episode ended. Infinite: no reported value is finite.
        """
        parts: dict[str, Tensor] = {}
        for names, columns in [table.parts() for table in self._tables.values()]:
            for name, part in zip(names, columns.unbind(dim=1), strict=True):
                parts[name] = parts[name] + part if name in parts else part
        for name, scalar in self._scalars.items():
            part = scalar.parts(self.device)
            parts[name] = parts[name] + part if name in parts else part
        self._reset_epoch()
        metrics = {SCORES[0]: torch.where(self.scores.current_size > 0, self.scores.mean, math.nan)}
        if parts:
            sums, weights, reports = torch.stack([*parts.values()]).unbind(dim=1)
            means = sums / weights
            means = torch.where(means.isnan() & (reports > 0), math.inf, means)
            metrics |= dict(zip(parts, means.unbind(), strict=True))
        return metrics

    def clear(self) -> None:
        """Reset metrics and scores."""
        self._reset_epoch()
        self.scores.clear()

    def state_dict(self) -> dict[str, Tensor]:
        """The scores."""
        return self.scores.state_dict()

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """The inverse of :meth:`state_dict`."""
        self.scores.load_state_dict(state)

    # --- parts of add --------------------------------------------------------------------------------------------

    def _by_row(self, value: Any) -> bool:
        """Whether ``value`` has one number per row or per environment."""
        sizes = (self.rows, self.rows // self.num_agents)
        return isinstance(value, Tensor) and value.ndim == 1 and len(value) in sizes

    def _counted(self, size: int, mask: Any, finished: Tensor | None) -> Tensor | None:
        """(``size``,) bool, the rows that count; None: all. The agents of an environment end together."""
        counted = None
        if finished is not None:
            counted = finished if len(finished) == size else finished[:: self.num_agents]
        if mask is not None:
            held = torch.as_tensor(mask, dtype=torch.bool, device=self.device)
            counted = held if counted is None else held & counted
        return counted

    def _add_score(self, given: Any, mask: Any, finished: Tensor) -> None:
        scores = given.detach().to(self.device, torch.float32)
        counted = self._counted(len(scores), mask, finished) & scores.isfinite()
        self.scores.update(torch.where(counted, scores, 0.0), counted)

    def _add_rows(self, batch: "_Batch", finished: Tensor) -> None:
        names = tuple(batch.values)
        size = len(batch.values[names[0]])
        counted = self._counted(size, batch.mask, finished if batch.report else None)
        if counted is not None and known_empty(counted):
            return
        values = torch.stack([value.detach() for value in batch.values.values()])
        values = values.to(self.device, torch.float32)
        key = (names, size, counted is None)
        self._tables.setdefault(key, _Table(names)).add(values, counted)


class _Batch(NamedTuple):
    """Values (n,) by name, added together."""

    values: dict[str, Tensor]
    mask: Any
    """(n,) bool, the rows with a value; None: all."""
    report: bool
    """Whether the values are of episodes: only rows whose episode ended count."""


class _Table:
    """Sums over steps of values (n,) by name."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        self._total: Any = 0.0
        self._weight: Any = 0

    def add(self, values: Tensor, counted: Tensor | None) -> None:
        """Add values (K, n); ``counted`` (n,): the rows that count."""
        if counted is None:
            self._total = values if isinstance(self._total, float) else self._total.add_(values)
            self._weight += 1
        else:
            self._total = self._total + torch.where(counted, values, 0.0)
            self._weight = self._weight + counted

    def parts(self) -> tuple[tuple[str, ...], Tensor]:
        """The names, and (3, K): sums and weights of rows with finite sums, weights of all rows."""
        total: Tensor = self._total
        weight = torch.as_tensor(self._weight, device=total.device).expand(total.shape).float()
        finite = total.isfinite()
        kept = torch.stack([torch.where(finite, total, 0.0), weight * finite, weight])
        return self.names, kept.sum(dim=2)


class _Scalar:
    """A number that is averaged over steps, or summed if it is always an integer and ``counts``."""

    def __init__(self, counts: bool) -> None:
        self._total: Any = 0
        self._weight = 0
        self._counts = counts

    def add(self, value: Any, weight: int) -> None:
        """Add a number, or a tensor with one element, which is the sum of ``weight`` numbers."""
        if isinstance(value, Tensor):
            value = value.detach().reshape(())
            self._counts &= value.dtype in INTEGERS
        else:
            self._counts &= type(value) is int
        self._total = self._total + value
        self._weight += weight

    def parts(self, device: torch.device) -> Tensor:
        """(3,): sum, weight, weight."""
        total = torch.as_tensor(self._total, dtype=torch.float32, device=device)
        weight = total.new_tensor(1.0 if self._counts else self._weight)
        return torch.stack([total, weight, weight])


INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)
NUMBERS = (bool, int, float)
ARRAYS = (np.generic, np.ndarray, list, tuple)


def _tensor(value: Any) -> Any:
    """Convert ``value`` to a tensor or a Python number; None if it is neither.

    (N, 1) becomes (N,).
    """
    if isinstance(value, Tensor) and value.ndim < 2:
        return value
    if isinstance(value, NUMBERS):
        return value
    if isinstance(value, ARRAYS):
        try:
            array = np.asarray(value)
        except ValueError:  # ragged lists
            return None
        if array.dtype.kind not in "biuf":
            return None
        if array.ndim == 0:
            return array.item()
        value = torch.from_numpy(array)
    if not isinstance(value, Tensor):
        return None
    return value.flatten() if value.ndim > 1 and value.numel() == len(value) else value


def _leaves(extras: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any, bool]]:
    """Name, value, mask and whether it is of an episode, for every possible metric."""
    for key, value in extras.items():
        if key in NO_METRICS or _is_mask(key, extras):
            continue
        if isinstance(value, Mapping):
            report = key in REPORTS
            prefix = EPISODE if report else f"{key}/"
            for name, part, mask in _flat(value, prefix):
                yield name, part, mask, report
        else:
            yield str(key), value, extras.get(f"_{key}"), False


def _flat(mapping: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any, Any]]:
    for key, value in mapping.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}/")
        elif not _is_mask(key, mapping):
            yield f"{prefix}{key}", value, mapping.get(f"_{key}")


def _is_mask(key: Any, mapping: Mapping[str, Any]) -> bool:
    """Whether ``key`` is the mask of another key, as in Gymnasium's infos."""
    return isinstance(key, str) and key[:1] == "_" and key[1:] in mapping


def scalar_tags(name: str, frame: int, epoch: int, time: float) -> dict[str, float]:
    """RL Games' tags of the metric ``name``, each with its step."""
    if name.startswith(EPISODE):
        return {name: epoch}
    first = "mean" if name == SCORES[0] else "frame"
    return {f"{name}/{first}": frame, f"{name}/iter": epoch, f"{name}/time": time}
