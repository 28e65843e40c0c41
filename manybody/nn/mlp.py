"""Multi-layer perceptrons."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from manybody.nn.layers import activation as make_activation
from manybody.nn.layers import normalization as make_normalization


class D2RLNet(nn.Module):
    """MLP in which every layer but the first also receives the input (Sinha et al. 2020, arXiv 2010.09163).

    As in RL Games, the first layer normalises after its activation and the others before it.
    """

    def __init__(
        self,
        input_size: int,
        units: Sequence[int],
        activation: str,
        normalization: str | None = None,
        norm_only_first_layer: bool = False,
        dense: Callable[[int, int], nn.Module] = nn.Linear,
    ) -> None:
        super().__init__()
        inputs = [input_size] + [width + input_size for width in units[:-1]]
        norms = [None if norm_only_first_layer and index > 0 else normalization for index in range(len(units))]
        self.linears = nn.ModuleList(dense(i, o) for i, o in zip(inputs, units, strict=True))
        self.activations = nn.ModuleList(make_activation(activation) for _ in units)
        self.norm_layers = nn.ModuleList(
            (make_normalization(norm, width) or [nn.Identity()])[0] for norm, width in zip(norms, units, strict=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return (M, units[-1]) from (M, input_size)."""
        out: Tensor = self.norm_layers[0](self.activations[0](self.linears[0](x)))
        for index in range(1, len(self.linears)):
            out = self.linears[index](torch.cat([out, x], dim=-1))
            out = self.activations[index](self.norm_layers[index](out))
        return out


def build_mlp(
    input_size: int,
    units: Sequence[int],
    activation: str,
    normalization: str | None = None,
    norm_only_first_layer: bool = False,
    d2rl: bool = False,
    dense: Callable[[int, int], nn.Module] = nn.Linear,
) -> nn.Module:
    """Build linear layer, activation and normalisation for each width in ``units``; the identity without widths.

    Activation and normalisation (after the activation, as in RL Games) are names in :mod:`manybody.nn.layers`. With
    ``d2rl`` every layer receives the input (:class:`D2RLNet`). ``dense`` creates the linear layers.
    """
    if d2rl and units:
        return D2RLNet(input_size, units, activation, normalization, norm_only_first_layer, dense)
    layers: list[nn.Module] = []
    for index, (inputs, width) in enumerate(zip([input_size, *units], units, strict=False)):
        layers += [dense(inputs, width), make_activation(activation)]
        if index == 0 or not norm_only_first_layer:
            layers += make_normalization(normalization, width)
    return nn.Sequential(*layers)
