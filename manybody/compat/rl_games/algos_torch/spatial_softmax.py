"""Where the features of an image are: the spatial softmax (Levine et al. 2016, arXiv 1504.00702)."""

import torch
from torch import Tensor, nn


class SpatialSoftArgmax(nn.Module):
    """The mean place of each channel, weighted by the softmax of its pixels.

    Args:
        normalize: places from -1 to 1 instead of pixel numbers.
    """

    def __init__(self, normalize: bool = False) -> None:
        super().__init__()
        self.normalize = normalize

    def _places(self, size: int, x: Tensor) -> Tensor:
        ends = (-1.0, 1.0) if self.normalize else (0.0, size - 1.0)
        return torch.linspace(*ends, size, device=x.device, dtype=x.dtype)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 2 C) from (B, C, H, W), in RL Games' order: rows and columns of all B C channels behind one another."""
        batch, channels, height, width = x.shape
        weights = x.flatten(2).softmax(dim=-1).reshape(batch * channels, height, width)
        down = (weights.sum(dim=2) * self._places(height, x)).sum(dim=1, keepdim=True)
        across = (weights.sum(dim=1) * self._places(width, x)).sum(dim=1, keepdim=True)
        return torch.cat([down, across], dim=1).reshape(-1, channels * 2)
