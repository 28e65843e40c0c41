"""Metrics from the ``extras`` of environments."""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeGuard

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
        device: the learner's device; extras are moved to it.
    """

    def __init__(self, rows: int, num_agents: int, games_to_track: int, device: torch.device) -> None:
        self.rows = rows
        self.num_agents = num_agents
        self.device = device
        self.scores = AverageMeter((), games_to_track, device)
        self.used: set[str] = set()
        """Keys that the agent uses; there is no warning if they cannot be logged."""
        self._reported: set[str] = set()
        self._sums: dict[tuple[Any, ...], _Sums] = {}

    def add(self, extras: Mapping[str, object], finished: Tensor) -> None:
        """Add the extras of one step; ``finished`` (N,) bool: the rows whose episode ended in it and counts."""
        score = next((key for key in SCORES if self._is_per_row(_tensor(extras.get(key)))), None)
        batches: dict[tuple[Any, ...], list[tuple[str, Tensor, object]]] = {}
        problems: dict[str, str] = {}
        for name, raw, mask, of_episode in _leaves(extras):
            if name in self._reported:
                continue
            value = _tensor(raw)
            if name == score and self._is_per_row(value):
                scores = value.detach().to(self.device, torch.float32)
                counted = self._counted(len(scores), mask, finished) & scores.isfinite()
                self.scores.update(torch.where(counted, scores, 0.0), counted)
            elif not of_episode and RESERVED.fullmatch(name):
                problems[name] = "the name is taken by a statistic of this library; rename it"
            elif value is None:
                problems[name] = f"got {type(raw).__name__}; expected numbers"
            elif self._is_per_row(value):
                # each value with a mask needs a separate batch
                key = (of_episode, len(value), value.device, None if mask is None else name)
                batches.setdefault(key, []).append((name, value, mask))
            elif not isinstance(value, Tensor) or value.numel() == 1:
                self._sums_of(name).add_number(value, 1, summed=not of_episode)
            elif of_episode and value.ndim == 1:
                self._sums_of(name).add_number(value.sum(), len(value), summed=False)
            else:
                shape = f"got the shape {tuple(value.shape)}"
                problems[name] = f"{shape}; expected () or one number per row, ({self.rows},)"
        for (of_episode, size, *_), batch in batches.items():
            counted = self._counted(size, batch[0][2], finished if of_episode else None)
            if not known_empty(counted):
                values = torch.stack([value.detach() for _, value, _ in batch]).to(self.device, torch.float32)
                self._sums_of(*(name for name, _, _ in batch), size=size).add_rows(values, counted)
        self._reported |= problems.keys()
        unused = [f"extras[{name!r}]: {problem}" for name, problem in problems.items() if name not in self.used]
        if unused:
            warn(f"some extras of the environment are not logged: {'; '.join(unused)}")

    def take(self) -> dict[str, Tensor]:
        """Return the metrics of the epoch, () each on the device, and reset all but the scores.

        A metric is NaN if no value was reported, for example because no episode ended, and infinite if no reported
        value is finite.
        """
        totals: dict[str, Tensor] = {}
        for (_, *names), sums in self._sums.items():
            for name, part in zip(names, sums.totals(len(names), self.device), strict=True):
                totals[name] = totals[name] + part if name in totals else part
        self._sums = {}
        metrics = {SCORES[0]: torch.where(self.scores.current_size > 0, self.scores.mean, math.nan)}
        if totals:
            total, finite, reported = torch.stack([*totals.values()]).unbind(dim=1)
            means = total / finite
            means = torch.where(means.isnan() & (reported > 0), math.inf, means)
            metrics |= dict(zip(totals, means.unbind(), strict=True))
        return metrics

    def clear(self) -> None:
        """Reset metrics and scores."""
        self._sums = {}
        self.scores.clear()

    def state_dict(self) -> dict[str, Tensor]:
        """Return the scores."""
        return self.scores.state_dict()

    def load_state_dict(self, state: Mapping[str, Tensor] | None) -> None:
        """Restore :meth:`state_dict`; None changes nothing."""
        if state is not None:
            self.scores.load_state_dict(state)

    def _is_per_row(self, value: object) -> TypeGuard[Tensor]:
        """Return whether ``value`` has one number per row or per environment."""
        sizes = (self.rows, self.rows // self.num_agents)
        return isinstance(value, Tensor) and value.ndim == 1 and len(value) in sizes

    def _counted(self, size: int, mask: object, finished: Tensor | None) -> Tensor:
        """Return (``size``,) bool, the rows that count. The episodes of an environment's agents end together."""
        if finished is None:
            counted = torch.ones(size, dtype=torch.bool, device=self.device)
        else:
            counted = finished if len(finished) == size else finished[:: self.num_agents]
        return counted if mask is None else counted & torch.as_tensor(mask, dtype=torch.bool, device=self.device)

    def _sums_of(self, *names: str, size: int = 1) -> "_Sums":
        return self._sums.setdefault((size, *names), _Sums())


class _Sums:
    """Sums of K metrics, and how many of their values were finite and how many were reported."""

    def __init__(self) -> None:
        self._total: Any = 0
        self._finite: Any = 0
        self._reported: Any = 0
        self._summed = True
        """Whether the metric is the sum: all values are whole numbers. Otherwise it is the mean."""

    def add_rows(self, values: Tensor, counted: Tensor) -> None:
        """Add values (K, n) of the rows ``counted`` (n,)."""
        finite = values.isfinite() & counted
        self._total = self._total + torch.where(finite, values, 0.0)
        self._finite = self._finite + finite
        self._reported = self._reported + counted
        self._summed = False

    def add_number(self, value: Tensor | float, count: int, summed: bool) -> None:
        """Add a number, or a tensor with one element, which is the sum of ``count`` numbers."""
        if isinstance(value, Tensor):
            value = value.detach().reshape(())
            whole = not value.is_floating_point() and value.dtype != torch.bool
        else:
            whole = type(value) is int
        self._total = self._total + value
        self._finite = self._reported = self._reported + count
        self._summed &= summed and whole

    def totals(self, size: int, device: torch.device) -> Tensor:
        """Return (K, 3) total, number of finite values and number of values."""
        parts = (self._total, 1, 1) if self._summed else (self._total, self._finite, self._reported)
        total, *counts = (torch.as_tensor(part, dtype=torch.float32, device=device) for part in parts)
        return torch.stack([total, *(count.expand_as(total) for count in counts)]).reshape(3, size, -1).sum(-1).T


def _tensor(value: object) -> Tensor | float | None:
    """Convert ``value`` to a tensor or a Python number; None if it is neither. (N, 1) becomes (N,)."""
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, np.generic | np.ndarray | list | tuple):
        try:
            array = np.asarray(value)
        except ValueError:  # ragged lists
            return None
        value = torch.as_tensor(array) if array.dtype.kind in "biuf" else None
    if not isinstance(value, Tensor):
        return None
    return value.flatten() if value.ndim > 1 and value.numel() == len(value) else value


def _leaves(
    mapping: Mapping[str, object], prefix: str = "", of_episode: bool = False
) -> Iterator[tuple[str, object, object, bool]]:
    """Yield name, value, mask and whether it describes an episode, for every possible metric."""
    for key, value in mapping.items():
        is_mask = isinstance(key, str) and key[:1] == "_" and key[1:] in mapping  # as in Gymnasium's infos
        if is_mask or (not prefix and key in NO_METRICS):
            continue
        if isinstance(value, Mapping):
            report = not prefix and key in REPORTS
            yield from _leaves(value, EPISODE if report else f"{prefix}{key}/", of_episode or report)
        else:
            yield f"{prefix}{key}", value, mapping.get(f"_{key}"), of_episode


def scalar_tags(name: str, frame: int, epoch: int, time: float) -> dict[str, float]:
    """Return RL Games' tags of the metric ``name``, each with its step."""
    if name.startswith(EPISODE):
        return {name: epoch}
    first = "mean" if name == SCORES[0] else "frame"
    return {f"{name}/{first}": frame, f"{name}/iter": epoch, f"{name}/time": time}
