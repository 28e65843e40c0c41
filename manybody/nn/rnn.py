"""Recurrent layers over sequences in which episodes end."""

import math

import torch
from torch import Tensor, nn
from typing_extensions import override

States = tuple[Tensor, ...]
"""(layers, S, units) each: (h, c) of an LSTM, (h,) of a GRU."""


class RnnWithDones(nn.Module):
    """A recurrent layer whose state is zero at the start of each episode.

    Args:
        name: ``lstm`` (Hochreiter and Schmidhuber 1997) or ``gru`` (Cho et al. 2014, arXiv 1406.1078).
        input_size: I.
        units: width of the state and of the output.
        layers: number of stacked recurrent layers.
    """

    def __init__(self, name: str, input_size: int, units: int, layers: int) -> None:
        super().__init__()
        kind = nn.LSTM if name == "lstm" else nn.GRU
        self.rnn = kind(input_size, units, layers, batch_first=True)  # checkpoints contain the attribute's name
        self.num_states = 2 if name == "lstm" else 1

    def initial_states(self, num_seqs: int, device: torch.device) -> States:
        """Return zeros (layers, S, units), the state at the start of an episode."""
        shape = (self.rnn.num_layers, num_seqs, self.rnn.hidden_size)
        return tuple(torch.zeros(shape, device=device) for _ in range(self.num_states))

    def _run(self, x: Tensor, states: States) -> tuple[Tensor, States]:
        """Run the layer without resets."""
        output, after = self.rnn(x, states if self.num_states == 2 else states[0])
        return output, after if self.num_states == 2 else (after,)

    def forward(self, x: Tensor, states: States, dones: Tensor | None = None) -> tuple[Tensor, States]:
        """Return output (S, L, units) and final state; with ``dones`` the state is (), because training stores states.

        Args:
            x: (S, L, I), S sequences of L steps.
            states: the state before the first step.
            dones: (S, L), nonzero where an episode begins: the state is zeroed before that step. None: no resets.
        """
        if dones is None:
            return self._run(x, states)
        begins = dones.bool()
        # On the CPU, counting episodes does not wait for a device, and one call is several times faster than L calls.
        # Compiled code would be recompiled for every number of episodes.
        countable = x.device.type == "cpu" and not torch.compiler.is_compiling()
        if countable and (episodes := _Episodes(begins)).is_faster:
            output, _ = self._run(episodes.split(x), episodes.initial(states))
            return episodes.join(output), ()
        outputs = []
        for step in range(x.shape[1]):
            states = tuple(state.masked_fill(begins[:, step].unsqueeze(-1), 0.0) for state in states)
            output, states = self._run(x[:, step : step + 1], states)
            outputs.append(output)
        return torch.cat(outputs, dim=1), ()


class _Episodes:
    """The E pieces of episodes in S sequences of L steps, as E sequences padded at their ends.

    ``begins`` (S, L) is true where an episode begins.
    """

    def __init__(self, begins: Tensor) -> None:
        self.size = begins.shape
        first = begins.clone()
        first[:, 0] = True  # the end of an episode that began in an earlier sequence
        self.index = first.flatten().cumsum(0) - 1
        """(S L,) the index of each step's piece."""
        since = torch.arange(begins.shape[1]).expand(begins.shape)
        self.step = (since - torch.where(first, since, 0).cummax(dim=1).values).flatten()
        """(S L,) the number of earlier steps in each step's piece."""
        self.shape = int(self.index[-1]) + 1, int(self.step.max()) + 1
        self.heads = self.index.reshape(begins.shape)[:, 0]
        self.starting = begins[:, 0].unsqueeze(-1)

    @property
    def is_faster(self) -> bool:
        """Whether padding costs less than one call per step."""
        return math.prod(self.shape) <= 2 * math.prod(self.size)

    def split(self, x: Tensor) -> Tensor:
        """Return (E, longest, I) from (S, L, I); zeros after the end of a piece."""
        return x.new_zeros(*self.shape, x.shape[2]).index_put((self.index, self.step), x.flatten(0, 1))

    def initial(self, states: States) -> States:
        """Return (layers, E, units) from (layers, S, units): zeros where an episode begins."""
        return tuple(
            state.new_zeros(len(state), self.shape[0], state.shape[2]).index_copy(
                1, self.heads, state.masked_fill(self.starting, 0.0)
            )
            for state in states
        )

    def join(self, output: Tensor) -> Tensor:
        """Return the inverse of :meth:`split`."""
        return output[self.index, self.step].reshape(*self.size, -1)


class IdentityRNN(nn.Module):
    """The interface of a recurrent layer without recurrence: the output is the input.

    Raises:
        ValueError: ``units`` is not the width of the input.
    """

    def __init__(self, input_size: int, units: int, layers: int) -> None:
        super().__init__()
        if units != input_size:
            raise ValueError(f"units: got {units}; expected {input_size}, the width of the input, for 'identity'")
        self.layers = layers

    def initial_states(self, num_seqs: int, device: torch.device) -> States:
        """Return zeros of width 1."""
        return (torch.zeros((self.layers, num_seqs, 1), device=device),)

    @override
    def forward(self, x: Tensor, states: States, dones: Tensor | None = None) -> tuple[Tensor, States]:
        return x, states


def build_rnn(name: str, input_size: int, units: int, layers: int) -> RnnWithDones | IdentityRNN:
    """Create the recurrent layer ``name``: ``lstm``, ``gru`` or ``identity``."""
    if name == "identity":
        return IdentityRNN(input_size, units, layers)
    return RnnWithDones(name, input_size, units, layers)
