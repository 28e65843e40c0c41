"""Named reward terms and termination reasons: their sums over an episode, and their descriptions."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from manybody.envs.base import EnvError
from manybody.envs.validation import check_tensor

Named = Tensor | Mapping[str, Tensor]
"""One tensor (N,), or several by name."""


def check_named(what: str, value: object, num_envs: int, dtype: torch.dtype) -> None:
    """Raise EnvError unless ``value`` is a tensor (N,) of ``dtype``, or several by name."""
    if not isinstance(value, Mapping):
        check_tensor(what, value, (num_envs,), dtype)
    elif not value:
        raise EnvError(f"{what}: got an empty dict; expected at least one entry")
    else:
        for name, part in value.items():
            check_tensor(f"{what}[{name!r}]", part, (num_envs,), dtype)


class Block(NamedTuple):
    """A part of the observation."""

    name: str
    size: int
    unit: str = ""


class Term(NamedTuple):
    """The description of a reward term."""

    weight: str
    """The key of ``env`` that is its weight, or a number."""
    meaning: str


def reward_of(terms: Named) -> Tensor:
    """Return the reward (N,), the sum of the terms in their order."""
    if isinstance(terms, Tensor):
        return terms
    first, *others = terms.values()
    for term in others:
        first = first + term
    return first


def terminated_by(reasons: Named) -> Tensor:
    """Return (N,) bool: whether any of the reasons is true."""
    return reasons if isinstance(reasons, Tensor) else torch.stack(tuple(reasons.values())).any(dim=0)


def only_where(mask: Tensor, name: str, value: float, terms: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Add the term ``name``: in rows of ``mask`` (N,) it is ``value`` and all other ``terms`` are 0."""
    kept = torch.where(mask, 0.0, torch.stack(tuple(terms.values())))
    return {**dict(zip(terms, kept.unbind(), strict=True)), name: torch.where(mask, value, torch.zeros_like(kept[0]))}


class EpisodeSums:
    """Sums of the reward terms over the running episodes.

    Args:
        num_envs: N.
        device: the task's device.
    """

    def __init__(self, num_envs: int, device: torch.device) -> None:
        self.names: tuple[str, ...] = ()
        self.sums = torch.zeros(0, num_envs, device=device)
        """(K, N), one row for each term."""

    def add(self, terms: Named, counted: Tensor) -> None:
        """Add one step of the rows ``counted`` (N,) bool; without named terms, do nothing."""
        if isinstance(terms, Tensor):
            return
        if tuple(terms) != self.names:  # the first step, or a task that has changed since its run was saved
            self.names = tuple(terms)
            self.sums = torch.zeros(len(self.names), self.sums.shape[1], device=self.sums.device)
        self.sums = self.sums + torch.where(counted, torch.stack(tuple(terms.values())), 0.0)

    def by_name(self) -> dict[str, Tensor]:
        """Return the sums (N,) by name."""
        return dict(zip(self.names, self.sums.unbind(), strict=True))

    def restart(self, mask: Tensor) -> None:
        """Set the sums to zero where ``mask`` (N,) is true."""
        self.sums = torch.where(mask, 0.0, self.sums)

    def load(self, sums: Mapping[str, Tensor]) -> None:
        """Restore :meth:`by_name`."""
        if sums:
            self.names, self.sums = tuple(sums), torch.stack(tuple(sums.values())).to(self.sums.device)
