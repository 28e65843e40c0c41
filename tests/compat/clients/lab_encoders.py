"""A network with an encoder for each group of observations, each with a normaliser of its own in front."""

import torch
from rl_games.algos_torch.network_builder import A2CBuilder
from rl_games.algos_torch.running_mean_std import RunningMeanStd
from torch import nn


class A2CBuilderWithEncoders(A2CBuilder):
    """RL Games' actor-critic behind the encoders."""

    class Network(A2CBuilder.Network):
        """``kwargs['input_shape']`` is a dictionary of shapes, ``obs_dict['obs']`` one of tensors."""

        def __init__(self, params, **kwargs):
            shapes = kwargs["input_shape"]
            assert isinstance(shapes, dict)
            code = params["encoder"]["units"]
            super().__init__(params, **(kwargs | {"input_shape": (code * len(shapes),)}))
            self.encoders = nn.ModuleDict(
                {
                    name: nn.Sequential(
                        RunningMeanStd(shape),
                        nn.Linear(shape[0], code),
                        self.activations_factory.create(self.activation),
                    )
                    for name, shape in shapes.items()
                }
            )

        def forward(self, obs_dict):
            groups = obs_dict["obs"]
            assert isinstance(groups, dict)
            codes = [encoder(groups[name]) for name, encoder in self.encoders.items()]
            return super().forward({**obs_dict, "obs": torch.cat(codes, dim=-1)})

    def build(self, name, **kwargs):
        return A2CBuilderWithEncoders.Network(self.params, **kwargs)
