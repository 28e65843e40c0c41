"""Humanoid: a human-like body with 21 motors runs to a far target (IsaacGymEnvs' Humanoid)."""

from torch import Tensor
from typing_extensions import override

from manybody.config.task import HumanoidConfig
from manybody.tasks.locomotion import Locomotion, body_blocks
from manybody.tasks.terms import Block

NEAR_LIMIT = 0.98
"""Joint angle, scaled to [-1, 1], above which the limit cost grows linearly to its weight at the limit."""


def near_limit_cost(unscaled: Tensor, effort: Tensor, weight: float) -> Tensor:
    """Return the cost (N,) of joints (N, A) beyond +-NEAR_LIMIT, weighted by relative ``effort`` (A,)."""
    excess = (unscaled.abs() - NEAR_LIMIT).clamp(min=0.0) / (1.0 - NEAR_LIMIT)
    return weight * (excess @ effort)


def joint_torque(action_torque: Tensor, limit_torque: Tensor, unscaled: Tensor) -> Tensor:
    """Return the torque (N, A) in N m of motor and joint limit on each joint.

    ``limit_torque`` (N, A) is a magnitude; it acts away from the limit that is nearer to ``unscaled`` (N, A).
    """
    return action_torque - unscaled.sign() * limit_torque


class Humanoid(Locomotion):
    """108 observations, 21 actions, 60 Hz. Termination: torso below 0.8 m.

    Energy and limit costs are weighted by each motor's gear relative to the largest.
    """

    Config = HumanoidConfig
    asset = "humanoid.xml"
    num_observations = 108
    num_actions = 21
    start_height = 1.34
    observation_blocks = body_blocks(
        21,
        Block("joint torques of motor and limit", 21, "N m x contactForceScale"),
        Block("force and torque in each ankle", 12, "N, N m x contactForceScale"),
    )

    @override
    def joints_at_limit_cost(self, unscaled: Tensor) -> Tensor:
        return near_limit_cost(unscaled, self.relative_effort, self.env.jointsAtLimitCost)

    @override
    def sensor_observations(self) -> tuple[Tensor, ...]:
        """Return joint torques (N, 21) and foot load cells (N, 12), both scaled by contactForceScale."""
        limit_torque, feet = self.sim.sensordata.split([self.num_actions, 12], dim=1)
        motor_torque = self.actions * self.joint_gears * self.env.powerScale
        torque = joint_torque(motor_torque, limit_torque, self.dof_pos_scaled)
        return self.env.contactForceScale * torque, self.env.contactForceScale * feet
