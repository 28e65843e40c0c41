"""RL Games' recurrent layers, time first: (L, S, I), L steps of S sequences."""

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn


def repackage_hidden(h: Any) -> Any:
    """A state, or a tuple of them, cut from what it was computed of."""
    return h.detach() if isinstance(h, Tensor) else tuple(map(repackage_hidden, h))


def multiply_hidden(h: Any, mask: Tensor) -> Any:
    """A state, or each of a tuple of them, times ``mask``."""
    return h * mask if isinstance(h, Tensor) else tuple(multiply_hidden(state, mask) for state in h)


class RnnWithDones(nn.Module):
    """A recurrent layer whose state is zeroed wherever an episode begins.

    Args:
        rnn_layer: over (L, S, I).
    """

    def __init__(self, rnn_layer: nn.Module) -> None:
        super().__init__()
        self.rnn = rnn_layer

    def forward(
        self, input: Tensor, states: Any, done_masks: Tensor | None = None, bptt_len: int = 0
    ) -> tuple[Tensor, Any]:
        """Output (L, S, units) and the state after the last step.

        Args:
            input: (L, S, I).
            states: (layers, S, units), or a tuple of such.
            done_masks: (L, S, 1) or (L, S), 1 where an episode begins; None: nowhere.
            bptt_len: kept for clients.
        """
        if done_masks is None:
            return self.rnn(input, states)
        going_on = (1.0 - done_masks.float()).reshape(len(input), 1, -1, 1)
        begins = (going_on == 0.0).flatten(1).any(dim=1).nonzero().flatten().tolist()
        borders = [*sorted({0, *begins}), len(input)]
        outputs = []
        for start, end in pairwise(borders):
            output, states = self.rnn(input[start:end], multiply_hidden(states, going_on[start]))
            outputs.append(output)
        return torch.cat(outputs), states


class LSTMWithDones(RnnWithDones):
    """See ``torch.nn.LSTM`` for the arguments."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(nn.LSTM(*args, **kwargs))


class GRUWithDones(RnnWithDones):
    """See ``torch.nn.GRU`` for the arguments."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(nn.GRU(*args, **kwargs))
