"""The state of a recurrent network during a rollout."""

import torch
from torch import Tensor

States = tuple[Tensor, ...] | None
"""(layers, N, units) each; None for feed-forward networks."""


class RecurrentStates:
    """The current state, and the state at the start of each sequence of the rollout.

    For a feed-forward network, without states, all methods do nothing.

    Args:
        initial: state at the start of an episode, (layers, N, units) each, or None.
        horizon_length: T.
        seq_length: L, a divisor of T.
        zero_on_done: zero the state at the end of an episode.
        device: the device of the states.
    """

    def __init__(
        self, initial: States, horizon_length: int, seq_length: int, zero_on_done: bool, device: torch.device
    ) -> None:
        self.current: States = None if initial is None else tuple(state.to(device) for state in initial)
        self.seq_length = seq_length
        self.zero_on_done = zero_on_done
        self.device = device
        self._stored = [state.new_zeros(horizon_length // seq_length, *state.shape) for state in self.current or ()]

    def store(self, n: int) -> None:
        """Store the current state if a sequence starts with step ``n``."""
        if n % self.seq_length == 0:
            for stored, state in zip(self._stored, self.current or (), strict=True):
                stored[n // self.seq_length].copy_(state)

    def forget(self, dones: Tensor) -> None:
        """Zero the state of rows where an episode ended; ``dones`` (N,)."""
        if self.zero_on_done and self.current is not None:
            continues = (1.0 - dones.float()).unsqueeze(-1)
            self.current = tuple(state * continues for state in self.current)

    def sequences(self) -> dict[str, tuple[Tensor, ...]]:
        """Return ``rnn_states``, env-major (layers, N T/L, units) each; {} for feed-forward networks."""
        if self.current is None:
            return {}
        return {"rnn_states": tuple(stored.permute(1, 2, 0, 3).flatten(1, 2) for stored in self._stored)}

    def state_dict(self) -> States:
        """Return the current state."""
        return self.current

    def load_state_dict(self, states: States) -> None:
        """Set the current state."""
        self.current = None if states is None else tuple(state.to(self.device) for state in states)
