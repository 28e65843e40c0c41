"""``rl_games.algos_torch.d2rl``."""

from collections.abc import Sequence

from torch import nn

from manybody.nn import layers, mlp


class D2RLNet(mlp.D2RLNet):
    """Hidden layers that each see the input again; see :class:`manybody.nn.mlp.D2RLNet`.

    Args:
        input_size: width of the input.
        units: width of each layer.
        activations: one module for each layer.
        norm_func_name: ``layer_norm`` or ``batch_norm``; anything else normalises nothing.
    """

    def __init__(
        self,
        input_size: int,
        units: Sequence[int],
        activations: Sequence[nn.Module],
        norm_func_name: str | None = None,
    ) -> None:
        known = norm_func_name if norm_func_name in layers.NORMALIZATIONS else None
        super().__init__(input_size, units, "None", known)
        self.activations = nn.ModuleList(activations)
        self.num_layers = len(units)
