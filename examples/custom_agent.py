"""A custom agent: PPO with a target speed and smooth actions, in four hooks and two configuration keys.

This example shows the hooks that change PPO without rewriting its loop:

* ``rollout_fields``: additional values to store per step (here the speed that the task reports),
* ``shape_rewards``: the rewards to learn from, computed from the whole rollout,
* ``extra_batch``: additional entries of every minibatch (here the observation of the next step),
* ``extra_losses``: additional terms of the loss (here the change of the mean action from one step to the next, after
  Mysore et al. 2021, arXiv 2012.06644, eq. 3).

``register_builder`` registers the agent as an ``algo.name`` whose ``Config`` is validated like a built-in one.

    python examples/custom_agent.py --epochs 50 --target-speed 1.5

From the command line, in the folder of this file:

    manybody train task=Ant import_modules=[custom_agent] train.params.algo.name=paced
        train.params.config.target_speed=1.5
"""

import argparse
from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field as Setting
from torch import Tensor

import manybody
from manybody.algos.a2c.types import RolloutBatch, TrainBatch
from manybody.config import PPOConfig
from manybody.config.types import Number
from manybody.data.rollout import Field
from manybody.engine.accelerate import eval_mode


class PacedConfig(PPOConfig):
    """PPO's keys and two additional ones."""

    target_speed: Annotated[Number, Setting(ge=0)]
    """Target speed in m/s; the reward is reduced by the absolute speed error."""
    smoothness_coef: Annotated[Number, Setting(ge=0)] = 0.01
    """Weight of the squared change of the mean action between steps."""


class PacedAgent(manybody.A2CAgent):
    """T steps of N environments are B = T*N samples; the steps of environment 0 come first."""

    Config = PacedConfig

    def rollout_fields(self) -> dict[str, Field]:
        """Store ``Step.extras['true_objective']`` (N,): the speed of Ant and Humanoid in m/s."""
        return {"true_objective": Field((), torch.float32)}

    def shape_rewards(self, rollout: Mapping[str, Tensor]) -> Tensor:
        """Subtract the absolute speed error from the rewards (T, N, 1), scaled like ``reward_shaper``."""
        error = (rollout["true_objective"] - self.config.target_speed).abs()
        return rollout["rewards"] - self.config.reward_shaper.scale_value * error.unsqueeze(-1)

    def extra_batch(self, rollout: RolloutBatch) -> dict[str, Tensor]:
        """Add the next observation (B, O), or the same one where an episode or the rollout ends."""
        per_env = (self.rows, self.horizon_length)
        obs = rollout["obses"].unflatten(0, per_env)
        starts = rollout["dones"].unflatten(0, per_env)[:, 1:, None].bool()
        following = obs.clone()
        following[:, :-1] = torch.where(starts, obs[:, :-1], obs[:, 1:])
        return {"next_obs": following.flatten(0, 1)}

    def extra_losses(self, minibatch: TrainBatch, losses: dict[str, Tensor]) -> dict[str, Tensor]:
        """Add ``losses['smoothness']``, which is logged as ``losses/smoothness``."""
        obs = torch.cat([minibatch["obs"], minibatch["next_obs"]])
        with eval_mode(self.model):  # the running statistics include these observations already
            mu, _ = self.model.a2c_network.eval_actor(self.model.norm_obs(obs))
        now, later = mu.chunk(2)
        losses["smoothness"] = (now - later).square().sum(dim=1).mean()
        losses["loss"] = losses["loss"] + self.config.smoothness_coef * losses["smoothness"]
        return losses


def register(runner: manybody.Runner) -> None:
    """Register the agent and PPO's player as ``algo.name: paced``; ``import_modules`` calls this function."""
    runner.algo_factory.register_builder("paced", lambda **kwargs: PacedAgent(**kwargs), schema=PacedAgent.Config)
    runner.player_factory.register_builder("paced", lambda **kwargs: manybody.PpoPlayerContinuous(**kwargs))


def train(epochs: int, num_envs: int, target_speed: float, train_dir: str = "runs") -> manybody.A2CAgent:
    """Train with Ant's configuration and this algorithm; return the agent."""
    runner = manybody.build_runner()
    register(runner)
    config = "train.params.config"
    tree = manybody.compose(
        [
            "task=Ant",
            f"num_envs={num_envs}",
            f"max_iterations={epochs}",
            "train.params.algo.name=paced",
            f"{config}.name=Paced",
            f"{config}.env_name=Ant",
            f"{config}.target_speed={target_speed}",
            f"{config}.minibatch_size={8 * num_envs}",
            f"{config}.train_dir={train_dir}",
        ]
    )
    runner.load({"params": tree["train"]["params"]})
    return runner.run({"train": True})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--num-envs", type=int, default=512)
    parser.add_argument("--target-speed", type=float, default=1.5, help="m/s")
    train(**vars(parser.parse_args()))


if __name__ == "__main__":
    main()
