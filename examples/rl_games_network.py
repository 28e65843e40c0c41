"""A custom network for RL Games 1.6 that runs unchanged on this library.

    python -m manybody.compat examples/rl_games_network.py

The network receives its section of the configuration unvalidated, including its own keys.
"""

from pathlib import Path

import torch
import yaml
from rl_games.algos_torch import model_builder
from rl_games.algos_torch.network_builder import A2CBuilder
from rl_games.torch_runner import Runner


class GatedBuilder(A2CBuilder):
    class Network(A2CBuilder.Network):
        """RL Games' network with gated observations."""

        def __init__(self, params, **kwargs):
            (size,) = kwargs["input_shape"]
            super().__init__(params, **kwargs)
            self.gate = torch.nn.Linear(size, size)
            torch.nn.init.constant_(self.gate.bias, params["gate"]["bias"])

        def forward(self, obs_dict):
            obs = obs_dict["obs"]
            return super().forward(obs_dict | {"obs": obs * torch.sigmoid(self.gate(obs))})

    def build(self, name, **kwargs):
        return GatedBuilder.Network(self.params, **kwargs)


model_builder.register_network("gated", GatedBuilder)
settings = yaml.safe_load(Path(__file__).with_name("rl_games_cartpole.yaml").read_text())
settings["params"]["network"] |= {"name": "gated", "gate": {"bias": 2.0}}
settings["params"]["config"] |= {"max_epochs": 3, "full_experiment_name": "gated"}
runner = Runner()
runner.load(settings)
runner.run({"train": True, "play": False})
