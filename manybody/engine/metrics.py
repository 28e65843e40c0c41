"""Episode statistics and epoch means, on the device until the epoch's one host read."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from manybody.functional.stats import known_empty, masked_mean

_MIN_GAMES = 10
"""Minimum number of finished episodes for a mean return."""


def enough_games(games_to_track: float, rows: float) -> float:
    """Return how many finished episodes a mean return needs: one per row, at least ten, at most the window.

    Short episodes end first; a mean over fewer would be biased towards them.
    """
    return min(games_to_track, max(rows, _MIN_GAMES))


class AverageMeter:
    """Mean over about the last ``max_size`` finished episodes (RL Games' window-weighted mean), without a host read.

    A batch of n new values has the weight ``min(n, max_size)``; the previous mean has the rest of the window. ``shape``
    is the shape of one value: ``(V,)`` for returns and ``()`` for lengths.
    """

    def __init__(self, shape: tuple[int, ...], max_size: int, device: torch.device) -> None:
        self.max_size = max_size
        self.mean = torch.zeros(shape, device=device)
        self.current_size = torch.zeros((), device=device)
        self.finished = torch.zeros((), dtype=torch.int64, device=device)
        """() episodes since training started; ``clear`` keeps it."""

    def update(self, values: Tensor, mask: Tensor) -> None:
        """Add the rows of ``values`` (N, ...) where ``mask`` (N,) is true."""
        if known_empty(mask):
            return
        count = mask.sum()
        self.finished = self.finished + count
        size = count.clamp(0, self.max_size).float()
        kept = torch.minimum(self.max_size - size, self.current_size)
        total = kept + size
        mixed = (self.mean * kept + masked_mean(values.float(), mask) * size) / total.clamp_min(1.0)
        self.mean = torch.where(size > 0, mixed, self.mean)
        self.current_size = total

    def clear(self) -> None:
        """Reset the mean."""
        self.mean = torch.zeros_like(self.mean)
        self.current_size = torch.zeros_like(self.current_size)

    def state_dict(self) -> dict[str, Tensor]:
        """Return mean and counts, for a checkpoint."""
        return {"mean": self.mean, "current_size": self.current_size, "finished": self.finished}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore :meth:`state_dict`; earlier versions stored no ``finished``."""
        device = self.mean.device
        self.mean = state["mean"].to(device).clone()
        self.current_size = state["current_size"].to(device).clone()
        self.finished = state.get("finished", self.current_size).to(device, torch.int64).clone()


class EpochMeans:
    """Running means of named scalars over one epoch, on the device."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, values: Mapping[str, Tensor]) -> None:
        """Add one sample () of each named scalar."""
        for name, value in values.items():
            value = value.detach().float()
            self._sums[name] = self._sums[name] + value if name in self._sums else value
            self._counts[name] = self._counts.get(name, 0) + 1

    def means(self) -> dict[str, Tensor]:
        """Return the mean () of each scalar by name."""
        return {name: total / self._counts[name] for name, total in self._sums.items()}


def read_to_host(scalars: Mapping[str, Tensor]) -> dict[str, float]:
    """Read all scalars in one transfer, gathered on the first device that is not the CPU."""
    if not scalars:
        return {}
    devices = [value.device for value in scalars.values()]
    device = next((one for one in devices if one.type != "cpu"), devices[0])
    values = torch.stack([value.detach().to(device, torch.float64).reshape(()) for value in scalars.values()])
    return dict(zip(scalars, values.tolist(), strict=True))  # waits for the device, once an epoch


def mean_of(values: Iterable[Tensor]) -> Tensor:
    """Return the mean () of scalar tensors (RL Games' ``mean_list``)."""
    return torch.stack([value.detach().float().reshape(()) for value in values]).mean()
