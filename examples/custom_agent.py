"""An agent of your own: PPO that keeps to a speed and acts smoothly, in four hooks and two configuration keys.

You learn where PPO can be changed without rewriting its loop:

* ``rollout_fields``: what to keep of each step besides the usual (here the speed that the task reports),
* ``shape_rewards``: what to learn from, given the whole rollout,
* ``extra_batch``: what every minibatch gets in addition (here the observation one step later),
* ``extra_losses``: what to add to the loss (here the change of the mean action from one step to the next, after
  Mysore et al. 2021, arXiv 2012.06644, eq. 3).

and how ``register_builder`` makes the agent an ``algo.name`` whose ``Config`` is checked like any built-in one.

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
    """PPO's keys and two more."""

    target_speed: Annotated[Number, Setting(ge=0)]
    """Speed to keep, m/s; deviations cost as much as they are large."""
    smoothness_coef: Annotated[Number, Setting(ge=0)] = 0.01
    """Weight of the squared change of the mean action from step to step."""


class PacedAgent(manybody.A2CAgent):
    """T steps of N environments are B = T*N samples, all steps of environment 0 first."""

    Config = PacedConfig

    def rollout_fields(self) -> dict[str, Field]:
        """``Step.extras['true_objective']`` (N,): Ant's and Humanoid's speed in m/s."""
        return {"true_objective": Field((), torch.float32)}

    def shape_rewards(self, rollout: Mapping[str, Tensor]) -> Tensor:
        """Rewards (T, N, 1) less the deviation from the wanted speed, in the units of ``reward_shaper``."""
        deviation = (rollout["true_objective"] - self.config.target_speed).abs()
        return rollout["rewards"] - self.config.reward_shaper.scale_value * deviation.unsqueeze(-1)

    def extra_batch(self, rollout: RolloutBatch) -> dict[str, Tensor]:
        """The next observation (B, O), or the same one where an episode or the rollout ends."""
        per_env = (self.rows, self.horizon_length)
        obs = rollout["obses"].unflatten(0, per_env)
        begins = rollout["dones"].unflatten(0, per_env)[:, 1:, None].bool()
        following = obs.clone()
        following[:, :-1] = torch.where(begins, obs[:, :-1], obs[:, 1:])
        return {"next_obs": following.flatten(0, 1)}

    def extra_losses(self, minibatch: TrainBatch, losses: dict[str, Tensor]) -> dict[str, Tensor]:
        """Adds ``losses['smoothness']``, which is logged as ``losses/smoothness``."""
        obs = torch.cat([minibatch["obs"], minibatch["next_obs"]])
        with eval_mode(self.model):  # these observations are in the running statistics already
            mu, _ = self.model.a2c_network.eval_actor(self.model.norm_obs(obs))
        now, later = mu.chunk(2)
        losses["smoothness"] = (now - later).square().sum(dim=1).mean()
        losses["loss"] = losses["loss"] + self.config.smoothness_coef * losses["smoothness"]
        return losses


def register(runner: manybody.Runner) -> None:
    """Make the agent an ``algo.name``; its policies are played like PPO's. ``import_modules`` calls this function."""
    runner.algo_factory.register_builder("paced", lambda **kwargs: PacedAgent(**kwargs), schema=PacedAgent.Config)
    runner.player_factory.register_builder("paced", lambda **kwargs: manybody.PpoPlayerContinuous(**kwargs))


def train(epochs: int, num_envs: int, target_speed: float, train_dir: str = "runs") -> manybody.A2CAgent:
    """Train Ant's own configuration with another algorithm; the agent."""
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
