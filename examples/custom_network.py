"""A custom network: residual blocks instead of a plain MLP, with two additional configuration keys.

This example shows the three parts of a custom network: a module that takes ``{'obs': (M, O), ...}`` and returns mean,
log standard deviation, value and state; a :class:`NetworkBuilder` with this class as ``Network``; and
``register_network``, which registers it as a ``network.name``. The network receives its section of the configuration
unvalidated. (To validate it, pass a schema to ``register_network``, as ``custom_agent.py`` does for an agent.)

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
    """``x + W2 elu(W1 norm(x))``; (M, width) to (M, width)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.ELU(), nn.Linear(width, width))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.inner(x)


class ResidualNetwork(BaseNetwork):
    """Actor and critic with a shared residual trunk.

    Args:
        params: the ``network`` section; ``width`` and ``blocks`` are the additional keys.
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
        """Return mean (M, A), log standard deviation (M, A) and value (M, V)."""
        features = self.trunk(input_dict["obs"])
        mu = self.mu(features)
        return ContinuousOutput(mu, self.sigma.expand_as(mu), self.value(features), input_dict.get("rnn_states"))


class ResidualBuilder(manybody.NetworkBuilder):
    """``network.name: residual``."""

    Network = ResidualNetwork


manybody.register_network("residual", ResidualBuilder)


def train(epochs: int, num_envs: int, blocks: int, train_dir: str = "runs") -> manybody.A2CAgent:
    """Train with Cartpole's configuration and this network; return the agent."""
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
