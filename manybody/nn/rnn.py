"""Recurrent layers over sequences in which episodes end."""

from typing import Any

import torch
from torch import Tensor, nn

States = tuple[Tensor, ...]
"""(layers, S, units) each: (h, c) of an LSTM, (h,) of a GRU."""


class RnnWithDones(nn.Module):
    """A recurrent layer whose state starts at zero wherever an episode begins.

    Args:
        rnn: the layer over (S, L, I); the name is part of every checkpoint.
    """

    num_states: int
    """Tensors in the state."""

    def __init__(self, rnn: nn.RNNBase) -> None:
        super().__init__()
        self.rnn = rnn

    def initial_states(self, num_seqs: int, device: torch.device) -> States:
        """Zeros (layers, S, units), the state an episode starts with."""
        shape = (self.rnn.num_layers, num_seqs, self.rnn.hidden_size)
        return tuple(torch.zeros(shape, device=device) for _ in range(self.num_states))

    def _run(self, x: Tensor, states: States) -> tuple[Tensor, States]:
        """The bare layer."""
        raise NotImplementedError

    def forward(self, x: Tensor, states: States, dones: Tensor | None = None) -> tuple[Tensor, States]:
        """Output (S, L, units) and final state.

        Args:
            x: (S, L, I), S sequences of L steps.
            states: the state before the first step.
            dones: (S, L), nonzero where an episode begins: the state is zeroed before that step. None: nowhere.
        """
        # Looking at a tensor of the CPU waits for nothing, and one call for the whole sequence is quicker.
        if dones is None or (x.device.type == "cpu" and not dones.any()):
            return self._run(x, states)
        begins = dones.bool().unsqueeze(-1)
        outputs = []
        for step in range(x.shape[1]):
            states = tuple(state.masked_fill(begins[:, step], 0.0) for state in states)
            output, states = self._run(x[:, step : step + 1], states)
            outputs.append(output)
        return torch.cat(outputs, dim=1), states


class LSTMWithDones(RnnWithDones):
    """Long short-term memory (Hochreiter and Schmidhuber 1997), as ``torch.nn.LSTM``."""

    num_states = 2

    def __init__(self, input_size: int, units: int, layers: int) -> None:
        super().__init__(nn.LSTM(input_size, units, layers, batch_first=True))

    def _run(self, x: Tensor, states: States) -> tuple[Tensor, States]:
        return self.rnn(x, states)


class GRUWithDones(RnnWithDones):
    """Gated recurrent unit (Cho et al. 2014, arXiv 1406.1078), as ``torch.nn.GRU``."""

    num_states = 1

    def __init__(self, input_size: int, units: int, layers: int) -> None:
        super().__init__(nn.GRU(input_size, units, layers, batch_first=True))

    def _run(self, x: Tensor, states: States) -> tuple[Tensor, States]:
        output, state = self.rnn(x, states[0])
        return output, (state,)


class IdentityRNN(nn.Module):
    """No memory under the face of one: the input comes out, the state (layers, S, 1) stays.

    Raises:
        ValueError: ``units`` is not the width of the input.
    """

    def __init__(self, input_size: int, units: int, layers: int) -> None:
        super().__init__()
        if units != input_size:
            raise ValueError(
                f"units: {units} given; 'identity' passes its input through, whose width is {input_size}"
            )
        self.layers = layers

    def initial_states(self, num_seqs: int, device: torch.device) -> States:
        """See :class:`RnnWithDones`."""
        return (torch.zeros((self.layers, num_seqs, 1), device=device),)

    def forward(self, x: Tensor, states: States, dones: Tensor | None = None) -> tuple[Tensor, States]:
        """See :class:`RnnWithDones`."""
        return x, states


RNNS: dict[str, Any] = {"lstm": LSTMWithDones, "gru": GRUWithDones, "identity": IdentityRNN}


def build_rnn(name: str, input_size: int, units: int, layers: int) -> nn.Module:
    """The recurrent layer ``name``. Raises ValueError listing the known names."""
    if name not in RNNS:
        raise ValueError(f"no recurrent layer {name!r} (known: {', '.join(RNNS)})")
    layer: nn.Module = RNNS[name](input_size, units, layers)
    return layer
