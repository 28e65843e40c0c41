"""The batch of one epoch, served as minibatches."""

from collections.abc import Iterator

import torch
from torch import Tensor


class PPODataset:
    """Minibatches of a flat batch (B, ...), contiguous in env-major order unless shuffled.

    Args:
        batch_size: B.
        minibatch_size: M, a divisor of B.
        shuffle: draw a new order at the start of each pass (off in RL Games).
    """

    def __init__(self, batch_size: int, minibatch_size: int, shuffle: bool = False) -> None:
        self.batch_size = batch_size
        self.minibatch_size = minibatch_size
        self.shuffle = shuffle
        self.values_dict: dict[str, Tensor] = {}
        self._order: Tensor | None = None

    def __len__(self) -> int:
        return self.batch_size // self.minibatch_size

    def update_values_dict(self, values: dict[str, Tensor] | None) -> None:
        """Take the batch of a new epoch, or forget the old one."""
        self.values_dict = {} if values is None else values

    def start_pass(self) -> None:
        """Begin a mini-epoch: draw the order if shuffling."""
        if self.shuffle:
            device = next(iter(self.values_dict.values())).device
            self._order = torch.randperm(self.batch_size, device=device)

    def _rows(self, index: int) -> slice | Tensor:
        rows = slice(index * self.minibatch_size, (index + 1) * self.minibatch_size)
        return rows if self._order is None else self._order[rows]

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        if not 0 <= index < len(self):
            raise IndexError(f"minibatch {index} of {len(self)}")
        rows = self._rows(index)
        return {name: value[rows] for name, value in self.values_dict.items()}

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        return (self[index] for index in range(len(self)))

    def update_mu_sigma(self, index: int, mu: Tensor, sigma: Tensor) -> None:
        """Overwrite the policy stored for minibatch ``index``, so that the next divergence is against this update."""
        rows = self._rows(index)
        self.values_dict["mu"][rows] = mu.detach()
        self.values_dict["sigma"][rows] = sigma.detach()
