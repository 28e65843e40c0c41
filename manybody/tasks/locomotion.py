"""The common part of Ant and Humanoid: run upright towards a far target with little effort."""

from typing import ClassVar

import torch
from torch import Tensor
from typing_extensions import override

from manybody.config.task import LocomotionEnvConfig
from manybody.functional.rotations import matrix_to_euler, quat_to_matrix, to_body_frame, wrap_to_pi
from manybody.tasks.base import MujocoTask
from manybody.tasks.terms import Block, Term, only_where

TARGET = (1000.0, 0.0)
"""World x and y of the target, m."""
UPRIGHT = 0.93
"""Cosine of the torso's tilt above which it counts as upright (21.6 degrees)."""
FACING = 0.8
"""Cosine of the heading error below which the heading reward fades (36.9 degrees)."""
RESET_POSITION_NOISE = 0.2
"""rad, half-width of the uniform noise on initial joint angles."""
RESET_VELOCITY_NOISE = 0.1
"""rad/s, half-width of the uniform noise on initial joint velocities."""


def target_distance(position: Tensor) -> Tensor:
    """Return horizontal distance (N,) float64 in m from ``position`` (N, 3) to the target.

    The resolution of float32 at 1000 m, 61 um, would be 0.004 in progress per step.
    """
    return torch.hypot(TARGET[0] - position[:, 0].double(), TARGET[1] - position[:, 1].double())


def progress_reward(potential: Tensor, previous: Tensor) -> Tensor:
    """Return the speed towards the target (N,) in m/s: the increase of the potential -distance/dt in one step."""
    return (potential - previous).float()


def heading_reward(heading: Tensor, weight: float) -> Tensor:
    """Return ``weight``, decreasing linearly with the cosine ``heading`` (N,) of the heading error below FACING."""
    return torch.where(heading > FACING, weight, weight * heading / FACING)


def up_reward(up: Tensor, weight: float) -> Tensor:
    """Return ``weight`` where the cosine of the tilt ``up`` (N,) is above UPRIGHT, else 0."""
    return torch.where(up > UPRIGHT, weight, 0.0)


def action_cost(actions: Tensor, weight: float) -> Tensor:
    """Return ``weight`` times the sum of squared actions (N, A)."""
    return weight * actions.square().sum(dim=1)


def energy_cost(actions: Tensor, scaled_velocity: Tensor, effort: Tensor, weight: float) -> Tensor:
    """Return ``weight`` times the sum of |action x scaled joint velocity| (N, A), each times ``effort`` (A,)."""
    return weight * ((actions * scaled_velocity).abs() @ effort)


def unscale(position: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """Scale joint angles (N, A) in rad from their limits (A,) to [-1, 1]."""
    return (2.0 * position - upper - lower) / (upper - lower)


def body_blocks(joints: int, *sensors: Block) -> tuple[Block, ...]:
    """Describe the observation of a robot with this many joints."""
    return (
        Block("torso height", 1, "m"),
        Block("torso velocity, body frame", 3, "m/s"),
        Block("torso angular velocity, body frame", 3, "rad/s x angularVelocityScale"),
        Block("yaw, roll, angle to target", 3, "rad"),
        Block("cosines of tilt and heading error", 2),
        Block("joint angles between limits", joints, "-1 .. 1"),
        Block("joint velocities", joints, "rad/s x dofVelocityScale"),
        *sensors,
        Block("last actions", joints),
    )


class Locomotion(MujocoTask):
    """A free-floating torso with one motor per joint that runs to TARGET.

    Observation: height (m), torso velocity in its own frame (m/s), torso angular velocity in its own frame
    (rad/s, scaled), yaw, roll, angle to the target (rad), cosine of tilt, cosine of heading error, joint
    angles between their limits, joint velocities (scaled), ``sensor_observations``, last actions.

    Two errors of IsaacGymEnvs' Ant are fixed: the angle to the target is measured in the horizontal
    plane (atan2 of y and x differences; the original uses the z difference, IsaacLab issue #4465), and yaw,
    roll and that angle are wrapped to [-pi, pi] (the original's angles jump from 0 to 2 pi when the robot
    faces its target).
    """

    state_buffers: ClassVar[tuple[str, ...]] = (*MujocoTask.state_buffers, "potentials", "prev_potentials")
    action_unit = "torque of each motor: its gear (N m) x powerScale at 1"
    reward_terms: ClassVar[dict[str, Term]] = {
        "progress": Term("1", "speed towards the target, m/s"),
        "alive": Term("aliveReward", "per step without a fall"),
        "up": Term("upWeight", "torso upright"),
        "heading": Term("headingWeight", "facing the target"),
        "actions": Term("actionsCost", "minus squared actions"),
        "energy": Term("energyCost", "minus |action x scaled joint velocity|"),
        "joint_limits": Term("jointsAtLimitCost", "minus joints at their limits"),
        "death": Term("deathCost", "instead of all others, in the step of a fall"),
    }
    terminations: ClassVar[dict[str, str]] = {"fall": "torso below terminationHeight"}
    start_height: ClassVar[float]
    """Torso height at the start of an episode, m."""

    env: LocomotionEnvConfig

    @override
    def prepare(self) -> None:
        self.unstable_reward = self.env.deathCost
        model = self.sim.model
        limits = torch.tensor(model.jnt_range[1:], dtype=torch.float32, device=self.device)
        self.dof_limits_lower, self.dof_limits_upper = limits.unbind(dim=1)
        self.joint_gears = torch.tensor(model.actuator_gear[:, 0], dtype=torch.float32, device=self.device)
        self.relative_effort = self.joint_gears / self.joint_gears.max()
        start = torch.zeros(model.nq, device=self.device)
        start[2], start[3] = self.start_height, 1.0
        # Zero, or the limit that is nearest to zero.
        start[7:] = torch.zeros_like(self.dof_limits_lower).clamp(self.dof_limits_lower, self.dof_limits_upper)
        self.start_qpos = start
        self.start_potential = -target_distance(start[None, :3]) / self.dt
        self.potentials = self.start_potential.repeat(self.num_envs)
        self.prev_potentials = self.potentials.clone()
        self.reset()

    def joints_at_limit_cost(self, unscaled: Tensor) -> Tensor:
        """Return the cost (N,) of joint angles ``unscaled`` (N, A) in [-1, 1] that are at their limits."""
        raise NotImplementedError

    def sensor_observations(self) -> tuple[Tensor, ...]:
        """Return the parts (N, .) between joint velocities and actions: all sensors, scaled by contactForceScale."""
        return (self.env.contactForceScale * self.sim.sensordata,)

    @override
    def pre_physics_step(self, actions: Tensor) -> None:
        torch.mul(actions, self.env.powerScale, out=self.sim.ctrl)

    @override
    def post_physics_step(self) -> tuple[Tensor, Tensor, Tensor]:
        self.prev_potentials = self.potentials
        self.potentials = -target_distance(self.sim.qpos[:, :3]) / self.dt
        return super().post_physics_step()

    @override
    def compute_observations(self) -> Tensor:
        qpos, qvel, env = self.sim.qpos, self.sim.qvel, self.env
        # Contiguous batches are twice as fast as columns of a row-major matrix.
        pose = qpos[:, :7].t().contiguous().t()
        rotation = quat_to_matrix(pose[:, 3:7])
        roll, _, yaw = matrix_to_euler(rotation)
        target_x, target_y = TARGET[0] - pose[:, 0], TARGET[1] - pose[:, 1]
        angle_to_target = wrap_to_pi(torch.atan2(target_y, target_x) - yaw)
        velocity = to_body_frame(rotation, qvel[:, :3])
        self.up_proj = rotation[:, 2, 2]
        ahead = rotation[:, 0, 0] * target_x + rotation[:, 1, 0] * target_y
        self.heading_proj = ahead / torch.hypot(target_x, target_y)
        self.dof_pos_scaled = unscale(qpos[:, 7:], self.dof_limits_lower, self.dof_limits_upper)
        self.dof_vel_scaled = env.dofVelocityScale * qvel[:, 6:]
        return torch.cat(
            [
                qpos[:, 2:3],
                velocity,
                env.angularVelocityScale * qvel[:, 3:6],
                torch.stack([yaw, roll, angle_to_target, self.up_proj, self.heading_proj], dim=1),
                self.dof_pos_scaled,
                self.dof_vel_scaled,
                *self.sensor_observations(),
                self.actions,
            ],
            dim=1,
        )

    @override
    def compute_reward(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        env = self.env
        terms = {
            "progress": progress_reward(self.potentials, self.prev_potentials),
            "alive": torch.full_like(self.up_proj, env.aliveReward),
            "up": up_reward(self.up_proj, env.upWeight),
            "heading": heading_reward(self.heading_proj, env.headingWeight),
            "actions": -action_cost(self.actions, env.actionsCost),
            "energy": -energy_cost(self.actions, self.dof_vel_scaled, self.relative_effort, env.energyCost),
            "joint_limits": -self.joints_at_limit_cost(self.dof_pos_scaled),
        }
        fallen = self.sim.qpos[:, 2] < env.terminationHeight
        return only_where(fallen, "death", env.deathCost, terms), {"fall": fallen}

    @override
    def reset_where(self, mask: Tensor) -> None:
        """Draw upright states at the origin: joint angles +- 0.2 rad around rest within limits, velocities +- 0.1."""
        noise = self.uniform(-1.0, 1.0, 2 * self.num_actions)
        angles = self.start_qpos[7:] + RESET_POSITION_NOISE * noise[:, : self.num_actions]
        angles = angles.clamp(self.dof_limits_lower, self.dof_limits_upper)
        qpos = torch.cat([self.start_qpos[:7].expand(self.num_envs, 7), angles], dim=1)
        qvel = torch.nn.functional.pad(RESET_VELOCITY_NOISE * noise[:, self.num_actions :], (6, 0))
        self.sim.reset(mask, qpos, qvel)
        # All environments start at the same distance.
        self.potentials = torch.where(mask, self.start_potential, self.potentials)
        self.prev_potentials = torch.where(mask, self.start_potential, self.prev_potentials)

    @override
    def extras(self) -> dict[str, Tensor]:
        """Return ``true_objective`` (N,): the torso's velocity along world x in m/s, before any reset."""
        return {"true_objective": self.sim.qvel[:, 0].clone()}
