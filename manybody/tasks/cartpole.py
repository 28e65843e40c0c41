"""Cartpole: push a cart to keep its pole upright (IsaacGymEnvs' Cartpole)."""

import math
from typing import ClassVar

import torch
from torch import Tensor
from typing_extensions import override

from manybody.config.task import CartpoleConfig, CartpoleEnvConfig
from manybody.tasks.base import MujocoTask
from manybody.tasks.terms import Block, Term, only_where

FAILURE_REWARD = -2.0
"""Reward of a failure: the cart leaves its range or the pole falls."""
FALLEN_ANGLE = math.pi / 2
"""Angle from upright above which the pole has fallen, rad."""
CART_SPEED_COST = 0.01
"""Cost per m/s."""
POLE_SPEED_COST = 0.005
"""Cost per rad/s."""
RESET_POSITION = 0.1
"""Half-width of the initial position (m) and angle (rad): the original's 0.2 (rand - 0.5)."""
RESET_VELOCITY = 0.25
"""Half-width of the initial velocity (m/s) and angular velocity (rad/s)."""


def balance_terms(angle: Tensor, cart_speed: Tensor, pole_speed: Tensor) -> dict[str, Tensor]:
    """Return the terms (N,) of 1 - angle^2 - speed costs; ``angle`` in rad from upright, speeds in m/s and rad/s."""
    return {
        "alive": torch.ones_like(angle),
        "angle": -angle.square(),
        "cart_speed": -CART_SPEED_COST * cart_speed.abs(),
        "pole_speed": -POLE_SPEED_COST * pole_speed.abs(),
    }


def failures(position: Tensor, angle: Tensor, reset_distance: float) -> dict[str, Tensor]:
    """Return whether the cart is over ``reset_distance`` m from the centre, and the pole below horizontal, (N,)."""
    return {"cart_left": position.abs() > reset_distance, "pole_fell": angle.abs() > FALLEN_ANGLE}


class Cartpole(MujocoTask):
    """4 observations, 1 action, 60 Hz."""

    Config = CartpoleConfig
    asset = "cartpole.xml"
    num_observations = 4
    num_actions = 1
    unstable_reward = FAILURE_REWARD
    observation_blocks = (
        Block("cart position", 1, "m"),
        Block("cart velocity", 1, "m/s"),
        Block("pole angle from upright", 1, "rad"),
        Block("pole angular velocity", 1, "rad/s"),
    )
    action_unit = "force on the cart, maxEffort (N) at 1"
    reward_terms: ClassVar[dict[str, Term]] = {
        "alive": Term("1", "per step without a failure"),
        "angle": Term("1", "minus squared angle, rad^2"),
        "cart_speed": Term(f"{CART_SPEED_COST}", "minus |cart velocity|, m/s"),
        "pole_speed": Term(f"{POLE_SPEED_COST}", "minus |pole angular velocity|, rad/s"),
        "failure": Term(f"{FAILURE_REWARD:g}", "instead of all others, in the step of a failure"),
    }
    terminations: ClassVar[dict[str, str]] = {
        "cart_left": "cart farther than resetDist from the centre",
        "pole_fell": "pole beyond horizontal",
    }

    env: CartpoleEnvConfig

    @override
    def prepare(self) -> None:
        self.reset()

    @override
    def pre_physics_step(self, actions: Tensor) -> None:
        torch.mul(actions, self.env.maxEffort, out=self.sim.ctrl)

    @override
    def compute_observations(self) -> Tensor:
        return torch.stack([self.sim.qpos, self.sim.qvel], dim=2).flatten(1)

    @override
    def compute_reward(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        position, angle = self.sim.qpos.unbind(dim=1)
        cart_speed, pole_speed = self.sim.qvel.unbind(dim=1)
        reasons = failures(position, angle, self.env.resetDist)
        failed = reasons["cart_left"] | reasons["pole_fell"]
        return only_where(failed, "failure", FAILURE_REWARD, balance_terms(angle, cart_speed, pole_speed)), reasons

    @override
    def reset_where(self, mask: Tensor) -> None:
        """Draw states uniformly around rest, upright in the centre."""
        qpos = self.uniform(-RESET_POSITION, RESET_POSITION, 2)
        qvel = self.uniform(-RESET_VELOCITY, RESET_VELOCITY, 2)
        self.sim.reset(mask, qpos, qvel)
