"""``rl_games.algos_torch.spatial_softmax``."""

import torch
from torch import Tensor
from typing_extensions import override

from manybody.nn import cnn


class SpatialSoftArgmax(cnn.SpatialSoftArgmax):
    """:class:`manybody.nn.cnn.SpatialSoftArgmax`; positions are pixel numbers unless ``normalize``."""

    def __init__(self, normalize: bool = False) -> None:
        super().__init__()
        self.normalize = normalize

    @override
    def forward(self, x: Tensor) -> Tensor:
        positions = super().forward(x)
        if self.normalize:
            return positions
        half_size = (torch.tensor(x.shape[2:], dtype=x.dtype, device=x.device) - 1.0) / 2.0
        return ((positions.unflatten(1, (-1, 2)) + 1.0) * half_size).flatten(1)
