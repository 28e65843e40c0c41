"""The residual convolutions of IMPALA (Espeholt et al. 2018, arXiv 1802.01561, figure 3)."""

import math
from collections.abc import Sequence

from torch import Tensor, nn

from manybody.nn.activations import activation as make_activation
from manybody.nn.cnn import Cnn, channels_first


class ConvBlock(nn.Module):
    """A 3 x 3 convolution that keeps the size of the image; the attribute's name is part of every checkpoint."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1)
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(self.conv.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """(M, out_channels, H, W) from (M, in_channels, H, W)."""
        out: Tensor = self.conv(x)
        return out


class ResidualBlock(nn.Module):
    """``x + conv(relu(conv(relu(x))))``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = ConvBlock(channels, channels)
        self.conv2 = ConvBlock(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(M, C, H, W) from (M, C, H, W)."""
        residual: Tensor = self.conv2(self.conv1(x.relu()).relu())
        return x + residual


class ImpalaBlock(nn.Module):
    """A convolution, a pooling that halves height and width, and two residual blocks."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = ConvBlock(in_channels, out_channels)
        self.max_pool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        self.res_block1 = ResidualBlock(out_channels)
        self.res_block2 = ResidualBlock(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """(M, out_channels, ceil(H / 2), ceil(W / 2)) from (M, in_channels, H, W)."""
        out: Tensor = self.res_block2(self.res_block1(self.max_pool(self.conv(x))))
        return out


def build_impala(
    input_shape: Sequence[int], conv_depths: Sequence[int], activation: str, permute_input: bool = True
) -> tuple[Cnn, int]:
    """A block for each of ``conv_depths``, then ``activation``; and the number of features F.

    Args:
        input_shape: of one image: (H, W, C), or (C, H, W) without ``permute_input``.
        conv_depths: channels of each block.
        activation: RL Games' name of the function after the last block.
        permute_input: images are (H, W, C).

    Raises:
        ValueError: the input is no image.
    """
    if len(input_shape) != 3:
        raise ValueError(f"expected an image (height, width, channels); the observation has shape {tuple(input_shape)}")
    channels, *size = channels_first(input_shape) if permute_input else tuple(input_shape)
    depths = [channels, *conv_depths]
    blocks = [ImpalaBlock(depths[i], depths[i + 1]) for i in range(len(conv_depths))]
    for _ in blocks:
        size = [math.ceil(edge / 2) for edge in size]
    return Cnn([*blocks, make_activation(activation)], permute_input), depths[-1] * math.prod(size)
