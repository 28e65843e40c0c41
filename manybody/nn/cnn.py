"""Convolutions: an image or a signal in, flat features out."""

import itertools
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import softmax

from manybody.config.network import CnnConfig, ConvConfig, ImpalaConfig
from manybody.nn.layers import activation, initialize, normalization


class Cnn(nn.Sequential):
    """Layers that process images or signals, with a flattened output.

    Args:
        layers: modules from (M, C, H, W) or (M, C, L).
        permute_input: the input is (M, H, W, C).
    """

    def __init__(self, layers: Sequence[nn.Module], permute_input: bool = False) -> None:
        super().__init__(*layers)
        self.permute_input = permute_input

    def forward(self, input: Tensor) -> Tensor:
        """Return features (M, F)."""
        if self.permute_input and input.dim() == 4:
            input = input.permute(0, 3, 1, 2)
        for layer in self:
            input = layer(input)
        return input.flatten(1)


def _channels_first(shape: Sequence[int], axes: int, kind: str, permute_input: bool) -> tuple[int, list[int]]:
    """Return C and the other sizes of one sample: (H, W, C) with ``permute_input``, (C, H, W) without, or (C, L)."""
    if len(shape) != axes + 1:
        what = "a signal (channels, length)" if axes == 1 else "an image (height, width, channels)"
        raise ValueError(f"{kind} takes {what}; the observation has shape {tuple(shape)}")
    return (shape[2], list(shape[:2])) if axes == 2 and permute_input else (shape[0], list(shape[1:]))


def _pixel_centres(size: int, like: Tensor) -> Tensor:
    """Return the centres (size,) of the pixels of an edge from -1 to 1."""
    return (2.0 * torch.arange(size, dtype=like.dtype, device=like.device) + 1.0) / size - 1.0


class CoordConv2d(nn.Conv2d):
    """A convolution with the coordinates of each pixel as inputs, from -1 to 1 (Liu et al. 2018, arXiv 1807.03247)."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, padding: int = 0
    ) -> None:
        super().__init__(in_channels + 2, out_channels, kernel_size, stride, padding)

    def forward(self, input: Tensor) -> Tensor:
        """Return (M, out_channels, H', W') from (M, in_channels, H, W)."""
        rows, _, height, width = input.shape
        x = _pixel_centres(width, input).expand(rows, 1, height, width)
        y = _pixel_centres(height, input).unsqueeze(1).expand(rows, 1, height, width)
        return super().forward(torch.cat([input, x, y], dim=1))


class SpatialSoftArgmax(nn.Module):
    """The mean position of each channel under its softmax (Levine et al. 2016, arXiv 1504.00702), from -1 to 1."""

    def forward(self, x: Tensor) -> Tensor:
        """Return (M, 2 C) from (M, C, H, W): row and column of each channel."""
        _, _, height, width = x.shape
        weight = softmax(x.flatten(2), dim=-1).unflatten(-1, (height, width))
        row = torch.linspace(-1.0, 1.0, height, dtype=x.dtype, device=x.device)
        column = torch.linspace(-1.0, 1.0, width, dtype=x.dtype, device=x.device)
        return torch.stack([weight.sum(dim=3) @ row, weight.sum(dim=2) @ column], dim=-1).flatten(1)


def build_cnn(settings: CnnConfig, input_shape: Sequence[int], norm: str | None = None) -> tuple[Cnn, int]:
    """Build convolution, activation and normalisation for each of ``settings.convs``; return also the features F.

    Args:
        settings: the convolutions and the initializer of their weights.
        input_shape: shape of one sample: (H, W, C), (C, H, W) without ``permute_input``, (C, L) for ``conv1d``.
        norm: None, ``layer_norm`` or ``batch_norm``, after the activation, as in RL Games.

    Raises:
        ValueError: the input has the wrong number of axes or is too small for the kernels.
    """
    axes = 1 if settings.type == "conv1d" else 2
    channels, size = _channels_first(input_shape, axes, settings.type, settings.permute_input)
    convolution: Callable[..., nn.Module] = nn.Conv1d if axes == 1 else nn.Conv2d
    layers: list[nn.Module] = []
    for index, conv in enumerate(settings.convs):
        first = CoordConv2d if settings.type == "coord_conv2d" and index == 0 else convolution
        layers += [
            first(channels, conv.filters, conv.kernel_size, conv.strides, conv.padding),
            activation(settings.activation),
            *normalization(norm, conv.filters, axes),
        ]
        channels, size = conv.filters, _size_after(size, conv, index, input_shape)
    if settings.type == "conv2d_spatial_softargmax":
        layers.append(SpatialSoftArgmax())
        size = [2]
    cnn = Cnn(layers, settings.permute_input)
    initialize(cnn, settings.initializer)
    return cnn, channels * math.prod(size)


def _size_after(size: list[int], conv: ConvConfig, index: int, input_shape: Sequence[int]) -> list[int]:
    """Return height and width after a convolution."""
    if min(size) + 2 * conv.padding < conv.kernel_size:
        pixels = " x ".join(map(str, size))
        raise ValueError(
            f"convs[{index}]: kernel_size {conv.kernel_size} does not fit into its input of {pixels} with padding "
            f"{conv.padding}; an observation of shape {tuple(input_shape)} is too small for these convolutions: "
            "use smaller kernels or strides, or more padding"
        )
    return [(edge + 2 * conv.padding - conv.kernel_size) // conv.strides + 1 for edge in size]


class ConvBlock(nn.Module):
    """A 3 x 3 convolution that keeps the size of the image; checkpoints contain the attribute's name."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1)
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(self.conv.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """Return (M, out_channels, H, W) from (M, in_channels, H, W)."""
        out: Tensor = self.conv(x)
        return out


class ResidualBlock(nn.Module):
    """``x + conv(relu(conv(relu(x))))``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = ConvBlock(channels, channels)
        self.conv2 = ConvBlock(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return (M, C, H, W) from (M, C, H, W)."""
        residual: Tensor = self.conv2(self.conv1(x.relu()).relu())
        return x + residual


class ImpalaBlock(nn.Module):
    """A convolution, a pooling that halves height and width, and two residual blocks (arXiv 1802.01561, figure 3)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = ConvBlock(in_channels, out_channels)
        self.max_pool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        self.res_block1 = ResidualBlock(out_channels)
        self.res_block2 = ResidualBlock(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return (M, out_channels, ceil(H / 2), ceil(W / 2)) from (M, in_channels, H, W)."""
        out: Tensor = self.res_block2(self.res_block1(self.max_pool(self.conv(x))))
        return out


def build_impala(settings: ImpalaConfig, input_shape: Sequence[int], last_activation: str) -> tuple[Cnn, int]:
    """Build a block for each of ``settings.conv_depths``, then an activation; return also the features F.

    Raises:
        ValueError: the input is not an image, (H, W, C) or without ``permute_input`` (C, H, W).
    """
    channels, size = _channels_first(input_shape, 2, "resnet_actor_critic", settings.permute_input)
    depths = [channels, *settings.conv_depths]
    blocks = [ImpalaBlock(*pair) for pair in itertools.pairwise(depths)]
    for _ in blocks:
        size = [math.ceil(edge / 2) for edge in size]
    return Cnn([*blocks, activation(last_activation)], settings.permute_input), depths[-1] * math.prod(size)
