"""A network of your own: residual blocks instead of a plain MLP, with two configuration keys of its own.

You learn the three things a network owes the rest: a module that takes ``{'obs': (M, O), ...}`` and returns mean,
spread, value and state; a :class:`NetworkBuilder` whose ``Network`` names it; and ``register_network``, which makes it
a ``network.name``. Its section of the configuration reaches it as it was written, private keys included. (To have
them checked, give ``register_network`` a schema, as ``custom_agent.py`` does for an agent.)

    python examples/custom_network.py --epochs 30 --blocks 2
"""

import argparse
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

import manybody
from manybody.algos.network import BaseNetwork, ContinuousOutput


class ResidualBlock(nn.Module):
    """``x + W2 elu(W1 norm(x))``, widths as given; (M, width) to (M, width)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.ELU(), nn.Linear(width, width))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.inner(x)


class ResidualNetwork(BaseNetwork):
    """Actor and critic on one residual trunk.

    Args:
        params: the ``network`` section; ``width`` and ``blocks`` are this network's own keys.
        kwargs: ``input_shape`` of one observation, ``actions_num`` (A), ``value_size`` (V).
    """

    fixed_sigma = True

    def __init__(self, params: Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__()
        width, actions = params.get("width", 64), kwargs["actions_num"]
        blocks = [ResidualBlock(width) for _ in range(params["blocks"])]
        self.trunk = nn.Sequential(nn.Linear(*kwargs["input_shape"], width), *blocks, nn.ELU())
        self.mu = nn.Linear(width, actions)
        self.sigma = nn.Parameter(torch.zeros(actions))
        self.value = nn.Linear(width, kwargs.get("value_size", 1))

    def forward(self, input_dict: dict[str, Any]) -> ContinuousOutput:
        """Mean (M, A), logarithm of the deviation (M, A) and value (M, V); the model does the rest."""
        features = self.trunk(input_dict["obs"])
        mu = self.mu(features)
        return ContinuousOutput(mu, self.sigma.expand_as(mu), self.value(features), input_dict.get("rnn_states"))


class ResidualBuilder(manybody.NetworkBuilder):
    """``network.name: residual``."""

    Network = ResidualNetwork


manybody.register_network("residual", ResidualBuilder)


def train(epochs: int, num_envs: int, blocks: int, train_dir: str = "runs") -> manybody.A2CAgent:
    """Train Cartpole's own configuration with another network; the agent."""
    config = "train.params.config"
    tree = manybody.compose(
        [
            "task=Cartpole",
            f"num_envs={num_envs}",
            f"max_iterations={epochs}",
            f"{config}.env_name=Cartpole",
            f"{config}.minibatch_size={16 * num_envs}",
            f"{config}.train_dir={train_dir}",
        ]
    )
    params = {**tree["train"]["params"], "network": {"name": "residual", "width": 64, "blocks": blocks}}
    runner = manybody.build_runner()
    runner.load({"params": params})
    return runner.run({"train": True})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--num-envs", type=int, default=512)
    parser.add_argument("--blocks", type=int, default=2)
    train(**vars(parser.parse_args()))


if __name__ == "__main__":
    main()
