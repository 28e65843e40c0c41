"""A ring buffer of rows."""

import torch
from torch import Tensor

from manybody.data.tree import State


class RingBuffer:
    """Up to ``capacity`` rows (D,), D = ``size``; a full buffer overwrites the oldest rows."""

    def __init__(self, capacity: int, size: int, device: torch.device) -> None:
        self.rows = torch.zeros(capacity, size, device=device)
        self.position = self.filled = 0

    def __len__(self) -> int:
        return self.filled

    @property
    def capacity(self) -> int:
        """Maximum number of rows."""
        return len(self.rows)

    def add(self, rows: Tensor) -> None:
        """Store ``rows`` (M, D), or the last ``capacity`` of them."""
        rows = rows[-self.capacity :]
        first = min(len(rows), self.capacity - self.position)
        self.rows[self.position : self.position + first] = rows[:first]
        self.rows[: len(rows) - first] = rows[first:]
        self.position = (self.position + len(rows)) % self.capacity
        self.filled = min(self.filled + len(rows), self.capacity)

    def sample(self, count: int) -> Tensor:
        """Draw rows (count, D) uniformly, with replacement."""
        return self.rows[torch.randint(self.filled, (count,), device=self.rows.device)]

    def clear(self) -> None:
        """Remove all rows."""
        self.position = self.filled = 0

    def state(self) -> State:
        """Return the rows and the position, for a checkpoint."""
        return {"rows": self.rows[: self.filled].clone(), "position": self.position}

    def set_state(self, state: State) -> None:
        """Restore :meth:`state`; a buffer of another capacity takes the newest rows that fit."""
        rows, position = state["rows"], state["position"]
        if len(rows) == self.capacity:  # full, of the same capacity: every row keeps its index
            self.rows.copy_(rows)
            self.filled, self.position = len(rows), position % self.capacity
        else:
            self.clear()
            self.add(rows.roll(-position, 0).to(self.rows.device))  # oldest first
