"""Cartpole: push a cart to keep its pole upright (IsaacGymEnvs' Cartpole)."""

import math

import torch
from torch import Tensor

from manybody.config.task import CartpoleConfig, CartpoleEnvConfig, TaskConfig
from manybody.tasks.base import MujocoTask

FAILURE_REWARD = -2.0
"""Reward of the step in which the cart leaves or the pole falls."""
FALLEN_ANGLE = math.pi / 2
"""rad from upright at which the pole has fallen."""
CART_SPEED_COST = 0.01
"""Cost per m/s."""
POLE_SPEED_COST = 0.005
"""Cost per rad/s."""
RESET_POSITION = 0.1
"""Half-width of the initial position (m) and angle (rad): the original's 0.2 (rand - 0.5)."""
RESET_VELOCITY = 0.25
"""Half-width of the initial velocity (m/s) and angular velocity (rad/s)."""


def balance_reward(angle: Tensor, cart_speed: Tensor, pole_speed: Tensor) -> Tensor:
    """1 - angle^2 - costs of speed (N,), for ``angle`` in rad from upright."""
    return 1.0 - angle.square() - CART_SPEED_COST * cart_speed.abs() - POLE_SPEED_COST * pole_speed.abs()


def failed(position: Tensor, angle: Tensor, reset_distance: float) -> Tensor:
    """(N,) bool: the cart is farther than ``reset_distance`` m from the centre, or the pole beyond
    horizontal.
    """
    return (position.abs() > reset_distance) | (angle.abs() > FALLEN_ANGLE)


class Cartpole(MujocoTask):
    """4 observations, 1 action, 60 Hz.

    Observation: cart position (m), cart velocity (m/s), pole angle (rad), pole angular velocity (rad/s).
    Action: force on the cart, maxEffort newtons at 1. Termination: ``failed``.
    """

    Config = CartpoleConfig
    asset = "cartpole.xml"
    num_observations = 4
    num_actions = 1
    unstable_reward = FAILURE_REWARD

    def __init__(self, cfg: TaskConfig, *args: object, **kwargs: object) -> None:
        super().__init__(cfg, *args, **kwargs)  # type: ignore[arg-type]
        assert isinstance(cfg.env, CartpoleEnvConfig)
        self.env = cfg.env
        self.reset()

    def pre_physics_step(self, actions: Tensor) -> None:
        """Force on the cart in N."""
        torch.mul(actions, self.env.maxEffort, out=self.sim.ctrl)

    def compute_observations(self) -> Tensor:
        """See the class docstring."""
        return torch.stack([self.sim.qpos, self.sim.qvel], dim=2).flatten(1)

    def compute_reward(self) -> tuple[Tensor, Tensor]:
        """``balance_reward``, or FAILURE_REWARD in the step of a failure."""
        position, angle = self.sim.qpos.unbind(dim=1)
        cart_speed, pole_speed = self.sim.qvel.unbind(dim=1)
        terminated = failed(position, angle, self.env.resetDist)
        return torch.where(terminated, FAILURE_REWARD, balance_reward(angle, cart_speed, pole_speed)), terminated

    def reset_where(self, mask: Tensor) -> None:
        """Everything uniform around rest, upright in the centre."""
        qpos = self.uniform(-RESET_POSITION, RESET_POSITION, 2)
        qvel = self.uniform(-RESET_VELOCITY, RESET_VELOCITY, 2)
        self.sim.reset(mask, qpos, qvel)
