"""Minibatches of one epoch."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from manybody.data.tree import leaves, tree_map

SEQUENCES = "rnn_states"
"""Key of the recurrent states, (layers, B / L, units) tensors: the second axis has one row per sequence."""


class PPODataset:
    """Minibatches of a flat batch (B, ...), contiguous in env-major order unless shuffled.

    Args:
        batch_size: B.
        minibatch_size: M, a divisor of B.
        shuffle: draw a new order at the start of each pass (off in RL Games).
        seq_length: L, steps that stay together, a divisor of M; 1 for feed-forward networks.
    """

    def __init__(self, batch_size: int, minibatch_size: int, shuffle: bool = False, seq_length: int = 1) -> None:
        self.batch_size = batch_size
        self.minibatch_size = minibatch_size
        self.shuffle = shuffle
        self.seq_length = seq_length
        self.values_dict: dict[str, Any] = {}
        self._order: Tensor | None = None

    def __len__(self) -> int:
        return self.batch_size // self.minibatch_size

    def update_values_dict(self, values: dict[str, Any] | None) -> None:
        """Set the batch of a new epoch; None drops the batch."""
        self.values_dict = {} if values is None else values

    def start_pass(self) -> None:
        """Draw the order of the sequences for a mini-epoch, if shuffling."""
        if self.shuffle:
            device = next(leaves(self.values_dict)).device
            self._order = torch.randperm(self.batch_size // self.seq_length, device=device)

    def _sequences(self, index: int) -> slice | Tensor:
        size = self.minibatch_size // self.seq_length
        part = slice(index * size, (index + 1) * size)
        return part if self._order is None else self._order[part]

    def _rows(self, index: int) -> slice | Tensor:
        sequences = self._sequences(index)
        if isinstance(sequences, slice):
            return slice(index * self.minibatch_size, (index + 1) * self.minibatch_size)
        steps = torch.arange(self.seq_length, device=sequences.device)
        return (sequences.unsqueeze(1) * self.seq_length + steps).flatten()

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < len(self):
            raise IndexError(f"minibatch {index} of {len(self)}")
        rows, sequences = self._rows(index), self._sequences(index)
        return {
            name: tuple(state[:, sequences] for state in value)
            if name == SEQUENCES
            else tree_map(lambda x: x[rows], value)
            for name, value in self.values_dict.items()
        }

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[index] for index in range(len(self)))

    def update_mu_sigma(self, index: int, mu: Tensor, sigma: Tensor) -> None:
        """Store the policy of this update for minibatch ``index``: the next KL is measured against it."""
        rows = self._rows(index)
        self.values_dict["mu"][rows] = mu.detach()
        self.values_dict["sigma"][rows] = sigma.detach()
