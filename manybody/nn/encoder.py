"""Encoders of a dictionary of observations to one flat vector."""

import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from manybody.config.network import EncoderConfig
from manybody.nn.cnn import build_cnn
from manybody.nn.layers import initialize
from manybody.nn.mlp import build_mlp

Shape = tuple[int, ...]


class DictEncoder(nn.Module):
    """One encoder per key of an observation, from (M, *shape) to (M, F_key), concatenated in order."""

    def __init__(self, encoders: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.names: dict[str, str] = {}
        """Attribute name of each key's encoder: a key may not be a valid attribute name."""
        for key, encoder in encoders.items():
            self.names[key] = f"{key.replace('.', '_')}_encoder"
            self.add_module(self.names[key], encoder)

    def forward(self, obs: dict[str, Tensor]) -> Tensor:
        """Return features (M, F) from a dictionary of (M, *shape)."""
        return torch.cat([getattr(self, name)(obs[key]) for key, name in self.names.items()], dim=1)


def build_encoder(shape: Shape, settings: EncoderConfig, normalization: str | None = None) -> tuple[nn.Module, int]:
    """Build convolutions and hidden layers for observations of ``shape``; return also the number of features F.

    Raises:
        ValueError: the convolutions do not fit the shape.
    """
    cnn, mlp = settings.cnn, settings.mlp
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    if cnn is None:
        parts["flatten"], width = nn.Flatten(), math.prod(shape)
    else:
        parts["cnn"], width = build_cnn(cnn, shape, normalization)
    if mlp is not None:
        parts["mlp"] = build_mlp(width, mlp.units, mlp.activation, normalization, mlp.norm_only_first_layer, mlp.d2rl)
        initialize(parts["mlp"], mlp.initializer)
        width = mlp.units[-1] if mlp.units else width
    return nn.Sequential(parts), width


def build_dict_encoder(
    shapes: Mapping[str, Shape],
    encoders: Mapping[str, EncoderConfig] | None,
    normalization: str | None = None,
) -> tuple[DictEncoder, int]:
    """Build an encoder for every key; return also the total number of features F.

    Args:
        shapes: shape of one observation by key.
        encoders: the settings of each key's encoder; None flattens all keys, in the order of ``shapes``.
        normalization: None, ``layer_norm`` or ``batch_norm``, after each convolution and hidden layer.

    Raises:
        ValueError: the keys of both differ, an image has no encoder, or an encoder does not fit.
    """
    if encoders is None:
        _refuse_images(shapes)
        encoders = dict.fromkeys(shapes, EncoderConfig())
    if set(encoders) != set(shapes):
        raise ValueError(
            f"got {', '.join(encoders)}; expected one for each key of the observation: {', '.join(shapes)} "
            "(an empty block flattens its key)"
        )
    built: dict[str, nn.Module] = {}
    total = 0
    for key, settings in encoders.items():
        try:
            built[key], width = build_encoder(shapes[key], settings, normalization)
        except ValueError as error:
            raise ValueError(f"{key}: {error}") from error
        total += width
    return DictEncoder(built), total


def _refuse_images(shapes: Mapping[str, Sequence[int]]) -> None:
    """Raise ValueError, with the YAML to write, if an observation is an image."""
    images = [key for key, shape in shapes.items() if len(shape) == 3]
    if not images:
        return
    cnn = "{cnn: {type: conv2d, activation: relu, convs: [{filters: 32, kernel_size: 3, strides: 2, padding: 1}]}}"
    blocks = ", ".join(f"{key}: {cnn if key in images else '{}'}" for key in shapes)
    raise ValueError(
        f"missing for {', '.join(f'{key} {tuple(shapes[key])}' for key in images)}, which looks like an image; "
        f"write for example 'encoders: {{{blocks}}}' under network (an empty block flattens its key)"
    )
