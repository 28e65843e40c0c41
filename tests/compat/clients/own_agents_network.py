"""An actor-critic over observations by name: puts them side by side."""

import torch
from rl_games.algos_torch import model_builder
from rl_games.algos_torch.network_builder import A2CBuilder


class DictBuilder(A2CBuilder):
    """RL Games' network behind a concatenation."""

    class Network(A2CBuilder.Network):
        """Takes a dictionary of shapes and of observations."""

        def __init__(self, params, **kwargs):
            shapes = kwargs.pop("input_shape")
            super().__init__(params, input_shape=(sum(shape[0] for shape in shapes.values()),), **kwargs)

        def forward(self, obs_dict):
            obs = torch.cat(list(obs_dict["obs"].values()), dim=-1)
            return super().forward({**obs_dict, "obs": obs})

    def build(self, name, **kwargs):
        return DictBuilder.Network(self.params, **kwargs)


def register_dict_network():
    model_builder.register_network("dictionary", lambda **kwargs: DictBuilder())
