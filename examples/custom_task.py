"""A custom task: an arm that reaches for a point, in one file including the model.

This example shows the parts of a task (a MuJoCo model, a configuration with defaults, four methods on batches of
environments), how ``register_task`` registers it as an ``env_name``, and how ``Runner`` trains it.

    python examples/custom_task.py --epochs 60

From the command line, in the folder of this file, with the settings of cfg/train/PPO.yaml:

    manybody train task=custom_task:Reacher num_envs=256 max_iterations=60

All tensors have one row per environment: observations (N, O), actions (N, A).
"""

import argparse
import math
from typing import Any

import torch
from torch import Tensor

import manybody
from manybody.config.task import EnvConfig, SimConfig, TaskConfig

UPPER, LOWER = 0.12, 0.10
"""Lengths of the two links, m."""

MODEL = f"""
<mujoco model="reacher">
  <option integrator="implicitfast" gravity="0 0 0"><flag contact="disable"/></option>
  <visual><global offwidth="1280" offheight="720"/></visual>
  <default>
    <joint damping=".01"/>
    <geom type="capsule" size=".01" rgba=".2 .42 .66 1" density="1000"/>
  </default>
  <worldbody>
    <light pos="0 0 1"/>
    <geom type="plane" size=".4 .4 .01" pos="0 0 -.03" rgba=".3 .36 .42 1"/>
    <body>
      <joint name="shoulder" axis="0 0 1"/>
      <geom fromto="0 0 0 {UPPER} 0 0"/>
      <body pos="{UPPER} 0 0">
        <joint name="elbow" axis="0 0 1" limited="true" range="-160 160"/>
        <geom fromto="0 0 0 {LOWER} 0 0"/>
      </body>
    </body>
    <body>
      <joint name="target_x" type="slide" axis="1 0 0"/>
      <joint name="target_y" type="slide" axis="0 1 0"/>
      <geom type="sphere" size=".012" rgba=".93 .52 .16 1"/>
    </body>
  </worldbody>
  <actuator>
    <motor joint="shoulder" gear=".05"/>
    <motor joint="elbow" gear=".05"/>
  </actuator>
</mujoco>
"""
"""qpos: shoulder, elbow (rad), target x, y (m)."""


class ReacherEnvConfig(EnvConfig):
    """The keys of ``env``, each with a type and a default."""

    episodeLength: int = 100  # noqa: N815 (IsaacGymEnvs' spelling)
    actionCost: float = 0.01  # noqa: N815
    """Cost per squared action."""


class ReacherConfig(TaskConfig):
    name: str = "Reacher"
    env: ReacherEnvConfig = ReacherEnvConfig()
    sim: SimConfig = SimConfig(gravity=(0.0, 0.0, 0.0))


def fingertip(angles: Tensor) -> Tensor:
    """Return the position (N, 2) in m of the end of the arm for shoulder and elbow angles (N, 2) in rad."""
    shoulder, both = angles[:, 0], angles.sum(dim=1)
    x = UPPER * shoulder.cos() + LOWER * both.cos()
    y = UPPER * shoulder.sin() + LOWER * both.sin()
    return torch.stack([x, y], dim=1)


class Reacher(manybody.MujocoTask):
    """10 observations: cosine and sine of both angles, both angular velocities, target, and vector to the target."""

    Config = ReacherConfig
    asset = MODEL
    num_observations = 10
    num_actions = 2

    def pre_physics_step(self, actions: Tensor) -> None:
        self.sim.ctrl.copy_(actions)

    def compute_observations(self) -> Tensor:
        angles, target = self.sim.qpos[:, :2], self.sim.qpos[:, 2:]
        self.to_target = target - fingertip(angles)
        velocities = self.sim.qvel[:, :2]
        return torch.cat([angles.cos(), angles.sin(), 0.1 * velocities, 5 * target, 5 * self.to_target], dim=1)

    def compute_reward(self) -> tuple[dict[str, Tensor], Tensor]:
        """Return the reward terms: 1 at the target and 0 far from it, minus the effort; no state terminates an episode.

        The reward is their sum. Each term is logged by its name: ``Episode/reward_near``, ``Episode/reward_effort``.
        """
        distance = self.to_target.norm(dim=1)
        effort = self.cfg.env.actionCost * self.actions.square().sum(dim=1)
        terms = {"near": torch.exp(-10.0 * distance), "effort": -effort}
        return terms, torch.zeros_like(distance, dtype=torch.bool)

    def reset_where(self, mask: Tensor) -> None:
        """Draw shoulder angles, elbow angles within 2 rad, and a target that an arm with such angles reaches."""
        shoulders, elbows = self.uniform(-math.pi, math.pi, 2), self.uniform(-2.0, 2.0, 2)
        start, goal = torch.stack([shoulders, elbows], dim=2).unbind(dim=1)
        qpos = torch.cat([start, fingertip(goal)], dim=1)
        self.sim.reset(mask, qpos, torch.zeros_like(qpos))

    def extras(self) -> dict[str, Any]:
        """Return additional metrics for TensorBoard, metrics.jsonl and the screen.

        A tensor (N,) is averaged over the environments and steps of an epoch. In ``episode``, only the values of
        environments whose episode ends in this step count.
        """
        distance = self.to_target.norm(dim=1)
        return {"distance": distance, "episode": {"final_distance": distance}}


def params(epochs: int, num_envs: int) -> dict:
    """Return an RL Games configuration; docs/configuration.md lists the defaults."""
    init = {"mu_init": {"name": "default"}, "sigma_init": {"name": "const_initializer", "val": -0.5}}
    head = {"mu_activation": "None", "sigma_activation": "None", "fixed_sigma": True, **init}
    return {
        "seed": 0,
        "torch_threads": 1,  # more threads do not speed up a small network
        "algo": {"name": "a2c_continuous"},
        "model": {"name": "continuous_a2c_logstd"},
        "network": {
            "name": "actor_critic",
            "mlp": {"units": [64, 64], "activation": "elu"},
            "space": {"continuous": head},
        },
        "config": {
            "name": "Reacher",
            "env_name": "Reacher",
            "env_config": {"env": {"actionCost": 0.02}},
            "num_actors": num_envs,
            "horizon_length": 20,
            "minibatch_size": 5 * num_envs,
            "mini_epochs": 8,
            "gamma": 0.95,
            "tau": 0.95,
            "learning_rate": 1e-3,
            "lr_schedule": "adaptive",
            "kl_threshold": 0.01,
            "e_clip": 0.2,
            "clip_value": True,
            "critic_coef": 2,
            "entropy_coef": 0.0,
            "normalize_input": True,
            "normalize_value": True,
            "normalize_advantage": True,
            "max_epochs": epochs,
        },
    }


def train(epochs: int, num_envs: int, train_dir: str = "runs") -> manybody.A2CAgent:
    """Train and return the agent; its ``run.mean_reward`` is the last mean return."""
    manybody.register_task("Reacher", Reacher)
    settings = params(epochs, num_envs)
    settings["config"]["train_dir"] = train_dir
    runner = manybody.Runner(manybody.IsaacAlgoObserver())
    runner.load({"params": settings})
    return runner.run({"train": True})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--num-envs", type=int, default=256)
    train(**vars(parser.parse_args()))


if __name__ == "__main__":
    main()
