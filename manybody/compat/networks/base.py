"""``BaseNetwork``: the tools with which RL Games' clients build networks of their own."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from manybody.algos import network
from manybody.compat.rl_games.algos_torch import torch_ext
from manybody.compat.rl_games.algos_torch.d2rl import D2RLNet
from manybody.compat.rl_games.algos_torch.layers import NoisyFactorizedLinear
from manybody.compat.rl_games.algos_torch.spatial_softmax import SpatialSoftArgmax
from manybody.compat.rl_games.common.layers.recurrent import GRUWithDones, LSTMWithDones
from manybody.compat.rl_games.common.layers.value import DefaultValue, TwoHotEncodedValue
from manybody.nn.layers import ACTIVATIONS, INITIALIZERS, keep
from manybody.registry import ObjectFactory

Layer = Callable[..., nn.Module]


class IdentityRNN(torch_ext.IdentityRNN):
    """No memory under the face of one, which is called as the others are."""

    def forward(self, x: Tensor, h: Any, *ends: Any) -> tuple[Tensor, Any]:
        """``x`` and ``h`` as they are, wherever episodes end."""
        return super().forward(x, h)


RNNS: dict[str, Layer] = {"lstm": LSTMWithDones, "gru": GRUWithDones}
VALUES: dict[str, Layer] = {
    "legacy": nn.Linear,
    "default": DefaultValue,
    "twohot_encoded": TwoHotEncodedValue,
}
CONVOLUTIONS: dict[str, dict[str, Any]] = {
    "conv2d": {},
    "conv2d_spatial_softargmax": {"add_spatial_softmax": True},
    "conv2d_flatten": {"add_flatten": True},
    "coord_conv2d": {"conv_func": torch_ext.CoordConv2d},
}
"""What each name means to :meth:`BaseNetwork._build_cnn2d`."""


def _create_initializer(func: Callable[..., Any], **kwargs: Any) -> Callable[[Tensor], Any]:
    """``func`` with its settings, as a function of the tensor that it fills."""
    return partial(func, **kwargs)


class BaseNetwork(network.BaseNetwork):
    """A network with factories of activations and initialisers, and methods that build its parts.

    What they build has the parameter names of RL Games 1.6.5.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.activations_factory = ObjectFactory("activation")
        for name, function in ACTIVATIONS.items():
            self.activations_factory.register_builder(name, function)
        self.init_factory = ObjectFactory("initializer")
        for name, draw in INITIALIZERS.items():
            self.init_factory.register_builder(name, partial(_create_initializer, draw))
        self.init_factory.register_builder("default", lambda **kwargs: keep)  # files give it a scale at times
        self.init_factory.register_builder(
            "variance_scaling_initializer",
            partial(_create_initializer, torch_ext.variance_scaling_initializer),
        )

    def _calc_input_size(self, input_shape: Sequence[int], cnn_layers: Any = None) -> int:
        """Width of what ``cnn_layers`` make of one observation of this shape; without layers, of a vector.

        Raises:
            ValueError: no layers are given, and the observation is no vector.
        """
        if cnn_layers is None:
            if len(input_shape) != 1:
                raise ValueError(f"input_shape: got {tuple(input_shape)}; expected (size,) without convolutions")
            return input_shape[0]
        with torch.no_grad():
            return nn.Sequential(*cnn_layers)(torch.zeros(1, *input_shape)).flatten(1).shape[1]

    def _noisy_dense(self, inputs: int, units: int) -> nn.Module:
        return NoisyFactorizedLinear(inputs, units)

    def _build_rnn(self, name: str, input: int, units: int, layers: int) -> nn.Module:
        """A layer over (L, S, input) that gives (L, S, units) and its state. Raises ValueError for other names."""
        if name == "identity":
            return IdentityRNN(input, units)
        return _known("recurrent layer", name, RNNS)(input_size=input, hidden_size=units, num_layers=layers)

    def _build_sequential_mlp(
        self,
        input_size: int,
        units: Sequence[int],
        activation: str,
        dense_func: Layer = nn.Linear,
        norm_only_first_layer: bool = False,
        norm_func_name: str | None = None,
    ) -> nn.Module:
        """``dense_func(in, out)``, activation and normalisation for each width in ``units``."""
        layers: list[nn.Module] = []
        width = input_size
        for index, unit in enumerate(units):
            layers += [dense_func(width, unit), self.activations_factory.create(activation)]
            if index == 0 or not norm_only_first_layer:
                layers += _norm(norm_func_name, unit, nn.LayerNorm, nn.BatchNorm1d)
            width = unit
        return nn.Sequential(*layers)

    def _build_mlp(
        self,
        input_size: int,
        units: Sequence[int],
        activation: str,
        dense_func: Layer = nn.Linear,
        norm_only_first_layer: bool = False,
        norm_func_name: str | None = None,
        d2rl: bool = False,
    ) -> nn.Module:
        """Hidden layers. ``norm_func_name`` acts with ``d2rl`` alone.

        RL Games 1.6.5 leaves it out elsewhere, and checkpoints that were written there have no such layers.
        """
        if d2rl:
            functions = [self.activations_factory.create(activation) for _ in units]
            return D2RLNet(input_size, units, functions, norm_func_name)
        return self._build_sequential_mlp(input_size, units, activation, dense_func)

    def _build_conv(self, ctype: str, **kwargs: Any) -> nn.Module:
        """Convolutions of the type that a configuration names. Raises ValueError for other names."""
        if ctype == "conv1d":
            return self._build_cnn1d(**kwargs)
        return self._build_cnn2d(**_known("convolution type", ctype, CONVOLUTIONS), **kwargs)

    def _build_cnn2d(
        self,
        input_shape: Sequence[int],
        convs: Sequence[Mapping[str, Any]],
        activation: str,
        conv_func: Layer = nn.Conv2d,
        norm_func_name: str | None = None,
        add_spatial_softmax: bool = False,
        add_flatten: bool = False,
    ) -> nn.Module:
        """From (M, C, H, W), ``input_shape`` (C, H, W); ``conv_func`` makes the first convolution.

        Each of ``convs`` has ``filters``, ``kernel_size``, ``strides`` and ``padding``.
        """
        layers = self._convolutions(
            [conv_func, *[nn.Conv2d] * len(convs)],
            input_shape[0],
            convs,
            activation,
            lambda channels: _norm(norm_func_name, channels, torch_ext.LayerNorm2d, nn.BatchNorm2d),
        )
        if add_spatial_softmax:
            layers.append(SpatialSoftArgmax(normalize=True))
        if add_flatten:
            layers.append(nn.Flatten())
        return nn.Sequential(*layers)

    def _build_cnn1d(
        self,
        input_shape: Sequence[int],
        convs: Sequence[Mapping[str, Any]],
        activation: str,
        norm_func_name: str | None = None,
    ) -> nn.Module:
        """From (M, C, L), ``input_shape`` (C, L); ``convs`` as for :meth:`_build_cnn2d`."""
        layers = self._convolutions(
            [nn.Conv1d] * len(convs),
            input_shape[0],
            convs,
            activation,
            lambda channels: _norm(norm_func_name, channels, nn.LayerNorm, nn.BatchNorm1d),
        )
        return nn.Sequential(*layers)

    def _convolutions(
        self,
        functions: Sequence[Layer],
        channels: int,
        convs: Sequence[Mapping[str, Any]],
        activation: str,
        norm: Callable[[int], list[nn.Module]],
    ) -> list[nn.Module]:
        layers: list[nn.Module] = []
        for function, conv in zip(functions, convs, strict=False):
            filters = conv["filters"]
            layers += [
                function(
                    in_channels=channels,
                    out_channels=filters,
                    kernel_size=conv["kernel_size"],
                    stride=conv["strides"],
                    padding=conv["padding"],
                ),
                self.activations_factory.create(activation),
                *norm(filters),
            ]
            channels = filters
        return layers

    def _build_value_layer(self, input_size: int, output_size: int, value_type: str = "legacy") -> nn.Module:
        """The critic's head: ``legacy``, ``default`` or ``twohot_encoded``. Raises ValueError for other names."""
        return _known("value type", value_type, VALUES)(input_size, output_size)

    def _initialize(self, dense: Callable[[Tensor], Any], conv: Callable[[Tensor], Any]) -> None:
        """Draw the weights of every linear layer by ``dense``, of every convolution by ``conv``; biases are zero."""
        for layer in self.modules():
            if isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d):
                (dense if isinstance(layer, nn.Linear) else conv)(layer.weight)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)


def _known(what: str, name: str, table: Mapping[str, Any]) -> Any:
    if name not in table:
        raise ValueError(f"no {what} {name!r} (known: {', '.join(table)})")
    return table[name]


def _norm(name: str | None, width: int, layer_norm: Layer, batch_norm: Layer) -> list[nn.Module]:
    """The layer of this name, as a list of one; empty for any other name."""
    return [table[name](width)] if name in (table := {"layer_norm": layer_norm, "batch_norm": batch_norm}) else []
