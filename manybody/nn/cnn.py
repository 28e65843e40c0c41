"""Convolutions: an image or a signal in, flat features out."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import softmax

from manybody.config.network import ConvConfig
from manybody.nn.activations import activation as make_activation

TYPES = ("conv2d", "conv2d_flatten", "conv2d_spatial_softargmax", "coord_conv2d", "conv1d")


class Cnn(nn.Sequential):
    """Layers over an image or a signal, whose output is flattened.

    Args:
        layers: modules from (M, C, H, W) or (M, C, L).
        permute_input: images come as (M, H, W, C).
    """

    def __init__(self, layers: Sequence[nn.Module], permute_input: bool = False) -> None:
        super().__init__(*layers)
        self.permute_input = permute_input

    def forward(self, input: Tensor) -> Tensor:
        """Features (M, F)."""
        if self.permute_input and input.dim() == 4:
            input = input.permute(0, 3, 1, 2)
        for layer in self:
            input = layer(input)
        return input.flatten(1)


def channels_first(shape: Sequence[int]) -> tuple[int, ...]:
    """(C, H, W) of an image (H, W, C); other shapes stay as they are."""
    return (shape[2], shape[0], shape[1]) if len(shape) == 3 else tuple(shape)


def pixel_centres(size: int, like: Tensor) -> Tensor:
    """(size,) centres of the pixels of an edge from -1 to 1."""
    return (2.0 * torch.arange(size, dtype=like.dtype, device=like.device) + 1.0) / size - 1.0


class CoordConv2d(nn.Conv2d):
    """A convolution with the coordinates of each pixel as inputs, from -1 to 1 (Liu et al. 2018, arXiv 1807.03247)."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, padding: int = 0
    ) -> None:
        super().__init__(in_channels + 2, out_channels, kernel_size, stride, padding)

    def forward(self, input: Tensor) -> Tensor:
        """(M, out_channels, H', W') from (M, in_channels, H, W)."""
        rows, _, height, width = input.shape
        x = pixel_centres(width, input).expand(rows, 1, height, width)
        y = pixel_centres(height, input).unsqueeze(1).expand(rows, 1, height, width)
        return super().forward(torch.cat([input, x, y], dim=1))


class SpatialSoftArgmax(nn.Module):
    """The mean position of each channel under its softmax (Levine et al. 2016, arXiv 1504.00702).

    Positions run from -1 at the first to 1 at the last row and column.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(M, 2 C) from (M, C, H, W): row and column of each channel."""
        _, _, height, width = x.shape
        weight = softmax(x.flatten(2), dim=-1).unflatten(-1, (height, width))
        row = torch.linspace(-1.0, 1.0, height, dtype=x.dtype, device=x.device)
        column = torch.linspace(-1.0, 1.0, width, dtype=x.dtype, device=x.device)
        return torch.stack([weight.sum(dim=3) @ row, weight.sum(dim=2) @ column], dim=-1).flatten(1)


def _layer_norm(channels: int) -> nn.Module:
    """Over all channels and pixels of one sample, with a factor and an offset per channel.

    RL Games 1.6.5 computes the moments of each channel over the whole batch instead, so that the output for one
    observation depends on the rest of the batch.
    """
    return nn.GroupNorm(1, channels)


NORMALIZATIONS: dict[str, tuple[Callable[[int], nn.Module], Callable[[int], nn.Module]]] = {
    "layer_norm": (_layer_norm, _layer_norm),
    "batch_norm": (nn.BatchNorm1d, nn.BatchNorm2d),
}
"""By name: after one- and after two-dimensional convolutions."""


def build_cnn(
    kind: str,
    input_shape: Sequence[int],
    convs: Sequence[ConvConfig],
    activation: str,
    normalization: str | None = None,
    permute_input: bool = True,
) -> tuple[Cnn, int]:
    """Convolution, activation and normalisation for each of ``convs``, and the number of features F.

    Args:
        kind: RL Games' name of the type: one of :data:`TYPES`.
        input_shape: of one sample: (H, W, C), (C, H, W) without ``permute_input``, (C, L) for ``conv1d``.
        convs: the convolutions.
        activation: RL Games' name of the activation.
        normalization: None, ``layer_norm`` or ``batch_norm``; acts after the activation, as in RL Games.
        permute_input: images are (H, W, C).

    Raises:
        ValueError: a name is unknown, or the input has the wrong number of axes or is too small for the kernels.
    """
    if kind not in TYPES:
        raise ValueError(f"no convolution type {kind!r} (known: {', '.join(TYPES)})")
    if normalization not in (None, *NORMALIZATIONS):
        raise ValueError(f"no normalization {normalization!r} (known: {', '.join(NORMALIZATIONS)})")
    axes = 1 if kind == "conv1d" else 2
    if len(input_shape) != axes + 1:
        what = "a signal (channels, length)" if axes == 1 else "an image (height, width, channels)"
        raise ValueError(f"{kind} takes {what}; the observation has shape {tuple(input_shape)}")
    channels, *size = channels_first(input_shape) if permute_input else tuple(input_shape)
    convolution: Callable[..., nn.Module] = nn.Conv1d if axes == 1 else nn.Conv2d
    layers: list[nn.Module] = []
    for index, conv in enumerate(convs):
        first = CoordConv2d if kind == "coord_conv2d" and index == 0 else convolution
        layers += [
            first(channels, conv.filters, conv.kernel_size, conv.strides, conv.padding),
            make_activation(activation),
        ]
        if normalization is not None:
            layers.append(NORMALIZATIONS[normalization][axes - 1](conv.filters))
        channels, size = conv.filters, _size_after(size, conv, index, input_shape)
    if kind == "conv2d_spatial_softargmax":
        layers.append(SpatialSoftArgmax())
        size = [2]
    return Cnn(layers, permute_input), channels * math.prod(size)


def _size_after(size: list[int], conv: ConvConfig, index: int, input_shape: Sequence[int]) -> list[int]:
    """Height and width after a convolution."""
    if min(size) + 2 * conv.padding < conv.kernel_size:
        pixels = " x ".join(map(str, size))
        raise ValueError(
            f"convs[{index}]: kernel_size {conv.kernel_size} does not fit into its input of {pixels} with padding "
            f"{conv.padding}; an observation of shape {tuple(input_shape)} is too small for these convolutions: "
            "use smaller kernels or strides, or more padding"
        )
    return [(edge + 2 * conv.padding - conv.kernel_size) // conv.strides + 1 for edge in size]
