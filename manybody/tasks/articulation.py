"""Convert between MuJoCo's coordinates and the body rotations of motion clips."""

import torch
from torch import Tensor

from manybody.functional.kinematics import BodyPose, forward_kinematics
from manybody.motion.library import MotionState
from manybody.sim import mujoco

_FREE, _BALL, _HINGE = (
    int(kind) for kind in (mujoco.mjtJoint.mjJNT_FREE, mujoco.mjtJoint.mjJNT_BALL, mujoco.mjtJoint.mjJNT_HINGE)
)


class Articulation:
    """B bodies under one free joint, each with a ball joint, a hinge or no joint to its parent.

    With all joints at zero, every body's axes are parallel to the world's, and each joint is at its body's origin, as
    in a :class:`~manybody.motion.clip.Clip`.

    Args:
        model: the compiled model; body 1 is the root.
        device: the device of the tensors.

    Raises:
        ValueError: the model does not have this structure; the message names the body.
    """

    def __init__(self, model: mujoco.MjModel, device: torch.device) -> None:
        self.body_names = tuple(model.body(body).name for body in range(1, model.nbody))
        self.parents = tuple(int(parent) - 1 for parent in model.body_parentid[1:])
        self.offsets = torch.tensor(model.body_pos[1:], dtype=torch.float32, device=device)
        """(B, 3) each body's origin in its parent's axes, m; for the root, its initial position."""
        self.joints: dict[int, tuple[int, int, Tensor | None]] = {}
        """By body, in the order of ``qpos``: the joint's indices in ``qpos`` and ``qvel``, and the axis (3,) of a hinge
        or None for a ball."""
        for body in range(1, model.nbody):
            _check_body(model, body)
            for joint in range(model.body_jntadr[body], model.body_jntadr[body] + model.body_jntnum[body]):
                if body > 1:
                    axis = torch.tensor(model.jnt_axis[joint], dtype=torch.float32, device=device)
                    places = int(model.jnt_qposadr[joint]), int(model.jnt_dofadr[joint])
                    self.joints[body - 1] = (*places, axis if model.jnt_type[joint] == _HINGE else None)
        self.balls = [body for body, (_, _, axis) in self.joints.items() if axis is None]
        self._identity = torch.tensor([[1.0], [0.0], [0.0], [0.0]], device=device)

    def local_rotations(self, qpos: Tensor) -> Tensor:
        """Return unit quaternions (N, B, 4) wxyz of each body relative to its parent, from ``qpos`` (N, nq)."""
        columns = qpos.t().contiguous()  # one contiguous batch each, on which rotations are fast
        bodies = [columns[3:7]]
        for body in range(1, len(self.parents)):
            if body not in self.joints:
                bodies.append(self._identity.expand(4, len(qpos)))
                continue
            place, _, axis = self.joints[body]
            if axis is None:
                bodies.append(columns[place : place + 4])
            else:
                half = columns[place] / 2
                bodies.append(torch.cat((half.cos().unsqueeze(0), half.sin() * axis.unsqueeze(1))))
        return torch.stack(bodies).movedim(-1, 0)

    def pose(self, qpos: Tensor, local_rotations: Tensor) -> BodyPose:
        """Return the poses of all bodies from ``qpos`` (N, nq) and its :meth:`local_rotations`."""
        return forward_kinematics(self.parents, self.offsets, qpos[:, :3], local_rotations)

    def coordinates(self, state: MotionState) -> tuple[Tensor, Tensor]:
        """Return ``qpos`` (M, nq) and ``qvel`` (M, nv) of M poses of a clip of the same bodies.

        The angle of a hinge with axis a is the twist of its body's rotation (w, v) about a, 2 atan2(v.a, w)
        (swing-twist decomposition).
        """
        qpos = [state.root_position, state.local_rotations[:, 0]]
        qvel = [state.root_velocity, state.local_velocities[:, 0]]
        for body, (_, _, axis) in self.joints.items():
            rotation, velocity = state.local_rotations[:, body], state.local_velocities[:, body]
            if axis is None:
                qpos.append(rotation)
                qvel.append(velocity)
            else:
                angle = 2 * torch.atan2(rotation[:, 1:] @ axis, rotation[:, 0])
                qpos.append(torch.remainder(angle + torch.pi, 2 * torch.pi).sub(torch.pi).unsqueeze(1))
                qvel.append((velocity @ axis).unsqueeze(1))
        return torch.cat(qpos, dim=1), torch.cat(qvel, dim=1)


def _check_body(model: mujoco.MjModel, body: int) -> None:
    name = model.body(body).name
    joint, count = model.body_jntadr[body], model.body_jntnum[body]
    free = model.jnt_type[joint] == _FREE if count == 1 else False
    if body == 1 and not free:
        raise ValueError(f"body '{name}': expected a free joint, as it is the root")
    if body > 1 and (count > 1 or (count == 1 and model.jnt_type[joint] not in (_BALL, _HINGE))):
        raise ValueError(f"body '{name}': expected one ball joint, one hinge or no joint")
    if body > 1 and ((count == 1 and model.jnt_pos[joint].any()) or model.body_quat[body, 0] != 1):
        raise ValueError(f"body '{name}': expected its joint in its origin, and its axes those of its parent")
