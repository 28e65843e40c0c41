"""``rl_games.algos_torch.d2rl``."""

from collections.abc import Sequence

from torch import nn

from manybody.nn import mlp


class D2RLNet(mlp.D2RLNet):
    """:class:`manybody.nn.mlp.D2RLNet` with one activation module for each layer."""

    def __init__(
        self,
        input_size: int,
        units: Sequence[int],
        activations: Sequence[nn.Module],
        norm_func_name: str | None = None,
    ) -> None:
        super().__init__(input_size, units, "None", norm_func_name)
        self.activations = nn.ModuleList(activations)
