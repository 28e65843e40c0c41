"""Retarget motions of other skeletons to the AMP humanoid."""

import dataclasses
import itertools
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from manybody.functional.kinematics import BodyPose
from manybody.functional.rotations import quat_about, quat_between, quat_conjugate, quat_multiply, quat_rotate
from manybody.motion.clip import Clip
from manybody.motion.errors import MotionError
from manybody.motion.joint_maps import LIMBS, check_anatomy, joint_map
from manybody.motion.skeletons import AMP_HUMANOID, body_poses

UPRIGHT = 0.8
"""Minimum height of the head above the hips at rest, as a share of their distance."""
STRAIGHT = 0.1
"""Sine of a hinge's angle below which its plane cannot be measured; the mean plane of the clip replaces it."""
BEYOND = 0.3
"""Sine of the angle up to which a limb that bends against its hinge is overstretched, not twisted."""
DOWN = torch.tensor([0.0, 0.0, -1.0], dtype=torch.float64)
"""Direction of a resting limb in its axes."""


def retarget(clip: Clip, names: Mapping[str, str] | None = None, rest_frame: int | None = None) -> Clip:
    """Transfer ``clip`` to :data:`~manybody.motion.skeletons.AMP_HUMANOID`, standing on the ground.

    The steps are those of IsaacGymEnvs' retargeting script: align the rest poses, map the joints, scale the path of the
    hips by the ratio of the leg lengths, make elbows and knees hinges, and put the clip on the ground at height 0. Each
    body has the world rotation of its joint since the rest pose, which includes joints in between (spine, collar
    bones). Arms and legs keep their directions: if an elbow or a knee bends out of its hinge's plane, the upper arm or
    thigh twists. Forward at rest becomes +x.

    Args:
        clip: a clip with ``offsets``; its unit of length does not matter.
        names: joint of ``clip`` by body of the humanoid, in addition to :data:`~manybody.motion.joint_maps.NAMES`.
        rest_frame: the frame in which the figure stands upright, feet flat on the ground, arms hanging or spread. None:
            all rotations are identity in this pose, as in most files.

    Raises:
        MotionError: a joint is not found, the clip has no offsets, or the figure is not upright in its rest pose.
    """
    joints = {body: clip.body_names.index(name) for body, name in joint_map(clip.body_names, names).items()}
    check_anatomy(clip.body_names, tuple(clip.parents), joints)
    positions, rotations = body_poses(clip)
    rest = _rest(clip, rest_frame)
    at_rest = {body: rest.positions[joint] for body, joint in joints.items()}
    home = quat_about(2, -_heading(at_rest))

    since_rest = quat_multiply(rotations, quat_conjugate(rest.rotations))
    world = {}
    for body, joint in joints.items():
        turned = quat_multiply(quat_multiply(home, since_rest[:, joint]), quat_conjugate(home))
        world[body] = quat_multiply(turned, _alignment(body, at_rest, home))
    for upper, lower, end in LIMBS:
        world[upper], world[lower] = _hinged(world[upper], world[lower], AMP_HUMANOID.hinges[lower])
        if end not in AMP_HUMANOID.feet:
            world[end] = world[lower]  # a hand has no joint

    local = [world[AMP_HUMANOID.names[0]]]
    for name, parent in zip(AMP_HUMANOID.names[1:], AMP_HUMANOID.parents[1:], strict=True):
        local.append(quat_multiply(quat_conjugate(world[AMP_HUMANOID.names[parent]]), world[name]))
    hips = positions[:, [joints["right_thigh"], joints["left_thigh"]]].mean(dim=1)
    thighs = [AMP_HUMANOID.names.index(name) for name in ("right_thigh", "left_thigh")]
    below = quat_rotate(local[0], torch.tensor(AMP_HUMANOID.offsets[thighs].mean(axis=0)))
    moved = Clip(
        fps=clip.fps,
        body_names=AMP_HUMANOID.names,
        parents=AMP_HUMANOID.parents,
        local_rotations=_continuous(torch.stack(local, dim=1)).numpy(),
        root_translation=(quat_rotate(home, hips) * _leg_ratio(at_rest) - below).numpy(),
        licence=clip.licence,
        offsets=AMP_HUMANOID.offsets,
    )
    return AMP_HUMANOID.grounded(moved)


def _rest(clip: Clip, frame: int | None) -> BodyPose:
    """Return positions (B, 3) and rotations (B, 4) of the bodies at rest."""
    if frame is None:
        identity = np.tile([1.0, 0.0, 0.0, 0.0], (clip.frames, len(clip.parents), 1))
        clip, frame = dataclasses.replace(clip, local_rotations=identity), 0
    if not 0 <= frame < clip.frames:
        raise MotionError("rest frame", str(frame), f"0 to {clip.frames - 1}, the clip's frames")
    poses = body_poses(clip)
    return BodyPose(poses.positions[frame], poses.rotations[frame])


def _heading(rest: Mapping[str, Tensor]) -> Tensor:
    """Return the heading of the resting figure: angle () about z from +x in rad."""
    left = rest["left_thigh"] - rest["right_thigh"]
    up = rest["head"] - (rest["left_thigh"] + rest["right_thigh"]) / 2
    if up[2] < UPRIGHT * up.norm() or left[:2].norm() == 0:
        advice = "Name a frame in which the figure stands (--rest), or the file's upward axis (--up)."
        given = f"the head {up[2]:.3g} above the hips, {up.norm():.3g} away from them"
        raise MotionError("rest pose", given, "a figure that stands upright", advice)
    return torch.atan2(-left[0], left[1])


def _alignment(body: str, rest: Mapping[str, Tensor], home: Tensor) -> Tensor:
    """Return the rotation (4,) of a limb from hanging straight down to its direction in the rest pose of the clip.

    Trunk and feet have the same directions in both rest poses.
    """
    for upper, lower, end in LIMBS:
        if body in (upper, lower):
            first, second = (upper, lower) if body == upper or end not in rest else (lower, end)
            along = quat_rotate(home, rest[second] - rest[first])
            if along.norm() == 0:
                raise MotionError(f"joint of {second}", f"the position of {first}", "another one", "Map other joints.")
            return quat_between(DOWN, along)
    return home.new_tensor([1.0, 0.0, 0.0, 0.0])


def _hinged(upper: Tensor, lower: Tensor, limits: tuple[float, float]) -> tuple[Tensor, Tensor]:
    """Make the joint of a limb, ``upper`` and ``lower`` (T, 4), a hinge about y; both parts keep their directions.

    In the axes of the upper part, the lower part has the direction d. A twist of the upper part about its length
    rotates d into the plane y = 0, to the side to which the hinge bends; the remaining rotation is the hinge's angle,
    clamped to ``limits``. A slightly overstretched limb (:data:`BEYOND`) is straightened, as that twist would be half a
    turn.
    """
    seen = quat_multiply(quat_conjugate(upper), lower)
    side = -1.0 if limits[0] + limits[1] > 0 else 1.0
    aside = side * quat_rotate(seen, DOWN)[:, :2]  # as long as the sine of the hinge's angle
    bend = aside.norm(dim=1, keepdim=True)
    usual = (aside * bend).mean(dim=0)
    if usual.norm() == 0 or (usual[0] < 0 and usual.norm() < BEYOND**2):
        usual = usual.new_tensor([1.0, 0.0])
    usual = usual / usual.norm()
    back = (aside @ usual).clamp(max=0).unsqueeze(1) * (2 - bend / BEYOND).clamp(0, 1)
    plane = aside + (STRAIGHT - back) * usual
    twist = quat_about(2, torch.atan2(plane[:, 1], plane[:, 0]))
    along = quat_rotate(quat_multiply(quat_conjugate(twist), seen), DOWN)
    angles = torch.atan2(-along[:, 0], -along[:, 2])
    upper = quat_multiply(upper, twist)
    return upper, quat_multiply(upper, quat_about(1, angles.clamp(*limits)))


def _leg_ratio(rest: Mapping[str, Tensor]) -> float:
    """Return the ratio of the leg lengths of the humanoid and of the clip."""
    lengths = dict(zip(AMP_HUMANOID.names, np.linalg.norm(AMP_HUMANOID.offsets, axis=1), strict=True))
    bones = [bone for leg in LIMBS[2:] for bone in itertools.pairwise(leg)]
    clip_length = sum(float((rest[lower] - rest[upper]).norm()) for upper, lower in bones)
    return float(sum(lengths[lower] for _, lower in bones) / clip_length)


def _continuous(quats: Tensor) -> Tensor:
    """Choose the signs of ``quats`` (T, B, 4) so that consecutive ones are near each other."""
    flips = (quats[1:] * quats[:-1]).sum(dim=-1, keepdim=True) < 0
    signs = torch.cat((torch.ones_like(quats[:1, :, :1]), torch.where(flips, -1.0, 1.0)))
    return quats * signs.cumprod(dim=0)
