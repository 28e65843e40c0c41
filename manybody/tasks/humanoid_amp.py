"""HumanoidAMP: a humanoid of 15 bodies imitates a motion clip (IsaacGymEnvs' HumanoidAMP)."""

import dataclasses
import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor
from typing_extensions import override

from manybody.config.task import HumanoidAMPConfig, HumanoidAMPEnvConfig, TaskConfig
from manybody.envs.base import EnvError, EnvSpec
from manybody.functional.kinematics import BodyPose
from manybody.functional.rotations import quat_about, quat_multiply, quat_rotate, quat_to_matrix
from manybody.motion.errors import chosen_by
from manybody.motion.library import MotionLib
from manybody.sim import mujoco
from manybody.tasks.articulation import Articulation
from manybody.tasks.base import MujocoTask
from manybody.tasks.terms import Block, Term

KEY_BODIES = ("right_hand", "left_hand", "right_foot", "left_foot")
"""Bodies whose positions are observed."""
BALL_SCALE = math.pi
"""Component of a ball joint's target rotation vector at action 1, rad."""
HINGE_SCALE = 1.4
"""Hinge target at action 1, from the middle of its range, as a share of half the range: mid +- 0.7 (hi - lo)."""
START_HEIGHT = 0.89
"""Height of the pelvis in a standing initial state, m."""
ARMS_OUT = {"right_shoulder": -math.pi / 2, "left_shoulder": math.pi / 2}
"""Angles of the shoulders about x in a standing initial state, rad."""
FIRST_STEPS = 1
"""Control steps at the start of an episode in which floor contact does not end it."""


def heading_inverse(rotation: Tensor) -> Tensor:
    """Return the rotation (N, 4) about z that turns the horizontal part of the x axis of ``rotation`` to world x."""
    w, x, y, z = rotation.unbind(-1)
    return quat_about(2, -torch.atan2(2 * (x * y + w * z), 1 - 2 * (y * y + z * z)))


def tan_norm(rotation: Tensor) -> Tensor:
    """Return the rotated x and z axes (..., 6) of quaternions ``rotation`` (..., 4): continuous, unlike angles."""
    matrix = quat_to_matrix(rotation)
    return torch.cat((matrix[..., 0], matrix[..., 2]), dim=-1)


def seen_from_root(pose: BodyPose) -> Tensor:
    """Return positions (N, B, 3) of all bodies relative to the root, in the frame of its heading, m."""
    heading = heading_inverse(pose.rotations[:, 0])
    return quat_rotate(heading.unsqueeze(1), pose.positions - pose.positions[:, :1])


def pose_observations(
    body: Articulation, qpos: Tensor, qvel: Tensor, key_bodies: Sequence[int], local_root: bool
) -> tuple[Tensor, BodyPose]:
    """Return observations (N, 105) for policy and discriminator from coordinates of simulator or clip, and body poses.

    The observation: root height (m); root rotation as ``tan_norm`` (6), relative to its heading with ``local_root``,
    else to the world; root velocity (m/s) and angular velocity (rad/s) in the heading frame, 3 each; ``tan_norm`` of
    each ball joint (6) and the angle of each hinge (1), in the order of ``qpos``; joint velocities (rad/s); key bodies
    relative to the root in the heading frame (m), 3 each.
    """
    local = body.local_rotations(qpos)
    pose = body.pose(qpos, local)
    root = local[:, 0]
    heading = heading_inverse(root)
    balls = iter(tan_norm(torch.stack([local[:, index] for index in body.balls])))
    joints = [next(balls) if axis is None else qpos[:, at : at + 1] for at, _, axis in body.joints.values()]
    seen_root = quat_multiply(heading, root) if local_root else root
    keys = [quat_rotate(heading, pose.positions[:, key] - qpos[:, :3]) for key in key_bodies]
    observation = torch.cat(
        [
            qpos[:, 2:3],
            tan_norm(seen_root),
            quat_rotate(heading, qvel[:, :3]),
            quat_rotate(heading, quat_rotate(root, qvel[:, 3:6])),
            *joints,
            qvel[:, 6:],
            *keys,
        ],
        dim=1,
    )
    return observation, pose


class FloorContact:
    """Detects bodies that touch the floor at z = 0, by the lowest points of their spheres and capsules.

    MuJoCo's contact sensors cannot be used: they describe the state before the last integration.

    Args:
        model: the compiled model.
        allowed: names of the bodies that may touch the floor.
        device: the device of the tensors.
    """

    def __init__(self, model: mujoco.MjModel, allowed: Sequence[str], device: torch.device) -> None:
        bodies: list[int] = []
        ends: list[np.ndarray] = []
        radii: list[float] = []
        for geom in range(model.ngeom):
            body, kind = model.geom_bodyid[geom], model.geom_type[geom]
            capsule = kind == mujoco.mjtGeom.mjGEOM_CAPSULE
            if body == 0 or model.body(body).name in allowed:
                continue
            if not capsule and kind != mujoco.mjtGeom.mjGEOM_SPHERE:
                continue
            axis = np.zeros(9)
            mujoco.mju_quat2Mat(axis, model.geom_quat[geom])
            half = axis.reshape(3, 3)[:, 2] * model.geom_size[geom, 1]
            for end in (half, -half) if capsule else (np.zeros(3),):
                bodies.append(int(body) - 1)
                ends.append(model.geom_pos[geom] + end)
                radii.append(float(model.geom_size[geom, 0]))
        self.bodies = torch.tensor(bodies, dtype=torch.long, device=device)
        """(P,) body of each of P points."""
        points = torch.tensor(np.reshape(ends, (-1, 3)), dtype=torch.float32, device=device)
        self.points = points.t().unsqueeze(2).contiguous()
        """(3, P, 1) points in their bodies' axes, m."""
        self.radii = torch.tensor(np.array(radii), dtype=torch.float32, device=device).unsqueeze(1)
        """(P, 1) m."""

    def fallen(self, pose: BodyPose, height: float) -> Tensor:
        """Return (N,) bool: a body that is not allowed touches the floor, with its origin below ``height`` m."""
        # The bodies are the first axis, as in forward kinematics, for contiguous batches. The height of a point needs
        # only the last row of its body's rotation matrix.
        w, x, y, z = pose.rotations.transpose(0, 1).unbind(-1)
        row = (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y))
        origin = pose.positions[..., 2].t()[self.bodies]
        lowest = origin - self.radii
        for entry, point in zip(row, self.points, strict=True):
            lowest = lowest + entry[self.bodies] * point
        return ((lowest <= 0) & (origin < height)).any(dim=0)


class HumanoidAMP(MujocoTask):
    """105 observations, 28 actions, 30 Hz; the reward is 1 per step, in addition to the discriminator's.

    Observation: ``pose_observations``. Action: targets of PD drives, for ball joints a rotation vector, for hinges an
    angle. ``extras['amp_obs']`` (N, K x 105) is the discriminator's input: the observations of the last K steps,
    newest first. Termination: a body other than ``contactBodies`` touches the floor below ``terminationHeight``.
    """

    Config: ClassVar[type[TaskConfig]] = HumanoidAMPConfig
    asset = "humanoid_amp.xml"
    num_observations = 105
    num_actions = 28
    state_buffers: ClassVar[tuple[str, ...]] = (*MujocoTask.state_buffers, "history")
    observation_blocks: ClassVar[tuple[Block, ...]] = (
        Block("pelvis height", 1, "m"),
        Block("pelvis x and z axes", 6),
        Block("pelvis velocity, heading frame", 3, "m/s"),
        Block("pelvis angular velocity, heading frame", 3, "rad/s"),
        Block("8 ball joints (x and z axes), 4 hinges (angle)", 52, "rad"),
        Block("joint velocities", 28, "rad/s"),
        Block("hands and feet from the pelvis, heading frame", 12, "m"),
    )
    action_unit = "PD targets: rotation vectors of ball joints, angles of hinges"
    reward_terms: ClassVar[dict[str, Term]] = {"alive": Term("1", "per step; the style reward is the discriminator's")}
    terminations: ClassVar[dict[str, str]] = {"fall": "a body other than contactBodies touches the floor"}

    env: HumanoidAMPEnvConfig

    @override
    def prepare(self) -> None:
        model = self.sim.model
        self.body = Articulation(model, self.device)
        names = self.body.body_names
        if unknown := sorted(set(self.env.contactBodies) - set(names)):
            raise EnvError(f"task.env.contactBodies: no body '{unknown[0]}'; the bodies are {', '.join(names)}")
        self.key_bodies = [names.index(name) for name in KEY_BODIES]
        self.floor = FloorContact(model, self.env.contactBodies, self.device)
        with chosen_by("task.env.motion_file"):
            self.motions = MotionLib.load(self.env.motion_file, self.device)
            self.motions.check_skeleton(names, self.body.parents)
            self.motions.check_size(self.body.offsets)
        self.targets = PDTargets(model, self.device)
        start = torch.tensor(model.qpos0, dtype=torch.float32, device=self.device)
        start[2] = START_HEIGHT
        for joint, angle in ARMS_OUT.items():
            place = int(model.joint(joint).qposadr[0])
            start[place : place + 4] = quat_about(0, torch.tensor(angle))
        self.start_qpos = start
        self.steps_back = torch.arange(self.env.numAMPObsSteps, device=self.device) * self.dt
        """(K,) age of the frames of an AMP observation, s."""
        self.oldest = (self.env.numAMPObsSteps - 1) * self.dt
        """Age of the oldest frame, s; times drawn from a clip are at least this late."""
        if self.motions.lengths.min() < self.oldest:
            raise EnvError(
                f"task.env.numAMPObsSteps: {self.env.numAMPObsSteps} observations span {self.oldest:.3g} s, but the "
                f"shortest clip lasts {self.motions.lengths.min():.3g} s; expected at most "
                f"{int(self.motions.lengths.min() / self.dt) + 1}"
            )
        self.make_buffers()
        self.reset()

    def make_buffers(self) -> None:
        """Allocate the tensors that are kept between steps."""
        frames = (self.num_envs, self.env.numAMPObsSteps, HumanoidAMP.num_observations)
        self.history = torch.zeros(frames, device=self.device)
        """(N, K, 105) the last observations, newest first."""

    # --- imitation ---------------------------------------------------------------------------------------------------

    @override
    @classmethod
    def spec_of(cls, cfg: TaskConfig) -> EnvSpec:
        assert isinstance(cfg.env, HumanoidAMPEnvConfig)
        size = cfg.env.numAMPObsSteps * HumanoidAMP.num_observations
        seen = spaces.Box(-math.inf, math.inf, (size,), np.float32)  # by the discriminator
        return dataclasses.replace(super().spec_of(cfg), extra={"amp_observation_space": seen})

    def reference_positions(self) -> list[Tensor]:
        """Return :func:`seen_from_root` (R, B, 3) of each clip at this task's rate, m."""
        clips = []
        for clip, length in enumerate(self.motions.lengths.tolist()):
            times = torch.arange(0.0, length, self.dt, device=self.device)
            state = self.motions.state(torch.full((len(times),), clip, device=self.device), times)
            qpos, _ = self.body.coordinates(state)
            clips.append(seen_from_root(self.body.pose(qpos, self.body.local_rotations(qpos))))
        return clips

    def fetch_amp_obs_demo(self, count: int) -> Tensor:
        """Return AMP observations (count, K x 105) of the clips at random times."""
        motions, times = self.motions.sample(count, self.generator, self.oldest)
        return self._reference(motions, times)[0].flatten(1)

    # --- MujocoTask --------------------------------------------------------------------------------------------------

    @override
    def pre_physics_step(self, actions: Tensor) -> None:
        self.sim.ctrl.copy_(self.targets(actions))

    @override
    def post_physics_step(self) -> tuple[Tensor, Tensor, Tensor]:
        outcome = super().post_physics_step()
        newest = torch.where(self.sim.finite.unsqueeze(1), self.frame, self.history[:, 0])
        self.history = torch.cat((newest.unsqueeze(1), self.history[:, :-1]), dim=1)
        return outcome

    @override
    def compute_observations(self) -> Tensor:
        self.frame, self.pose = self._frames(self.sim.qpos, self.sim.qvel)
        return self.frame

    @override
    def compute_reward(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        fallen = self.floor.fallen(self.pose, self.env.terminationHeight)
        fallen &= (self.progress_buf > FIRST_STEPS) & self.env.enableEarlyTermination
        return {"alive": torch.ones(self.num_envs, device=self.device)}, {"fall": fallen}

    @override
    def extras(self) -> dict[str, Tensor]:
        """Return ``amp_obs`` (N, K x 105), and ``body_positions`` (N, B, 3) as :func:`seen_from_root` (m)."""
        return {"amp_obs": self.history.flatten(1), "body_positions": seen_from_root(self.pose)}

    @override
    def reset_where(self, mask: Tensor) -> None:
        """Start standing or at a pose of a clip (``stateInit``), with the clip's past as history."""
        # Reading the rows is free on the CPU; on other devices it would wait.
        everyone = torch.arange(self.num_envs, device=self.device)
        rows = mask.nonzero().squeeze(1) if self.device.type == "cpu" else everyone
        count = len(rows)
        if count == 0:
            return
        motions, times = self.motions.sample(count, self.generator, self.oldest)
        if self.env.stateInit == "Start":
            times = torch.zeros_like(times)
        frames, qpos, qvel = self._reference(motions, times)
        if self.env.stateInit in ("Default", "Hybrid"):
            share = self.env.hybridInitProb if self.env.stateInit == "Hybrid" else 0.0
            drawn = torch.rand(count, 1, generator=self.generator, device=self.device)
            qpos = torch.where(drawn < share, qpos, self.start_qpos)
            qvel = torch.where(drawn < share, qvel, 0.0)
            standing, _ = self._frames(qpos, qvel)
            frames = torch.where((drawn < share).unsqueeze(2), frames, standing.unsqueeze(1))
        self.sim.reset(mask, self.sim.qpos.index_copy(0, rows, qpos), self.sim.qvel.index_copy(0, rows, qvel))
        frames = torch.where(mask[rows][:, None, None], frames, self.history[rows])
        self.history = self.history.index_copy(0, rows, frames)

    @override
    def first_observations(self) -> Tensor:
        return self.history[:, 0]

    def _reference(self, motions: Tensor, times: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return observations (M, K, 105), newest first, ``qpos`` (M, nq) and ``qvel`` (M, nv) of clips.

        Args:
            motions: (M,) indices of clips.
            times: (M,) times of the newest observation, s.
        """
        steps = len(self.steps_back)
        past = (times - self.steps_back.unsqueeze(1)).flatten()  # (K M)
        qpos, qvel = self.body.coordinates(self.motions.state(motions.repeat(steps), past))
        frames = self._frames(qpos, qvel)[0].unflatten(0, (steps, -1)).transpose(0, 1)
        return frames, qpos[: len(times)], qvel[: len(times)]

    def _frames(self, qpos: Tensor, qvel: Tensor) -> tuple[Tensor, BodyPose]:
        return pose_observations(self.body, qpos, qvel, self.key_bodies, self.env.localRootObs)


class PDTargets:
    """A function from actions (N, A) to targets of the position actuators (N, A), rad.

    The target of a hinge is mid + 0.7 (hi - lo) a, that of a ball joint the rotation vector pi a, shortened to the
    largest angle that the joint can reach: beyond half a turn it would be another rotation.
    """

    def __init__(self, model: mujoco.MjModel, device: torch.device) -> None:
        joints = model.actuator_trnid[:, 0]
        lower, upper = (torch.tensor(model.jnt_range[joints, end], dtype=torch.float32) for end in (0, 1))
        hinge = torch.tensor(model.jnt_type[joints] == mujoco.mjtJoint.mjJNT_HINGE)
        self.scale = torch.where(hinge, HINGE_SCALE * (upper - lower) / 2, BALL_SCALE).to(device)
        self.offset = torch.where(hinge, (upper + lower) / 2, 0.0).to(device)
        each, joint = np.unique(joints, return_inverse=True)
        self.same = torch.nn.functional.one_hot(torch.tensor(joint)).float().to(device)
        """(A, J) 1 where the actuator belongs to the joint."""
        reach = torch.tensor(model.jnt_range[each, 1], dtype=torch.float32)
        balls = torch.tensor(model.jnt_type[each] == mujoco.mjtJoint.mjJNT_BALL)
        self.reach = torch.where(balls, reach, math.inf).to(device)
        """(J,) maximum length of the rotation vector, rad."""

    def __call__(self, actions: Tensor) -> Tensor:
        """Return the targets (N, A) of ``actions`` (N, A)."""
        targets = self.offset + self.scale * actions
        length = (targets.square() @ self.same).sqrt()
        return targets * ((self.reach / length.clamp_min(1e-6)).clamp_max(1.0) @ self.same.t())
