"""RL Games' recurrent layers, time first: (L, S, I), L steps of S sequences."""

from typing import Any

import torch
from torch import Tensor, nn


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
            bptt_len: has no effect.
        """
        if done_masks is None:
            return self.rnn(input, states)
        outputs = []
        for step, begins in zip(input.split(1), done_masks.reshape(len(input), -1, 1).bool(), strict=True):
            several = not isinstance(states, Tensor)
            kept = [state.masked_fill(begins, 0.0) for state in (states if several else (states,))]
            output, states = self.rnn(step, tuple(kept) if several else kept[0])
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
