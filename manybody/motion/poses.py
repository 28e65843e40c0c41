"""Where the bodies of a clip are, and how high its soles stand above the ground."""

import dataclasses

import numpy as np
import torch
from torch import Tensor

from manybody.functional.kinematics import BodyPose, forward_kinematics
from manybody.functional.rotations import quat_rotate
from manybody.motion.clip import Clip
from manybody.motion.errors import MotionError
from manybody.motion.skeletons import Skeleton

STANCE = 0.2
"""Share of the frames whose soles may be below the ground: less than a stance of any gait lasts."""


def body_poses(clip: Clip) -> BodyPose:
    """Positions (T, B, 3) and rotations (T, B, 4) of the bodies of ``clip`` in the world, float64.

    Raises:
        MotionError: the clip has no offsets.
    """
    if clip.offsets is None:
        advice = "Without its skeleton's size nothing is anywhere."
        raise MotionError("offsets", "none", "(B, 3) numbers", advice)
    arrays = (clip.offsets, clip.root_translation, clip.local_rotations)
    return forward_kinematics(tuple(clip.parents), *(torch.tensor(x, dtype=torch.float64) for x in arrays))


def soles(clip: Clip, skeleton: Skeleton) -> Tensor:
    """(T, 8, 3) lower corners of the right and the left sole of a clip of ``skeleton`` in the world, m, float64."""
    positions, rotations = body_poses(clip)
    feet = [skeleton.names.index(foot) for foot in skeleton.feet]
    corners = quat_rotate(rotations[:, feet, None], torch.tensor(skeleton.sole_corners()))
    return (positions[:, feet, None] + corners).flatten(1, 2)


def lowest_sole(clip: Clip, skeleton: Skeleton) -> Tensor:
    """(T,) height in m of the lowest corner of both soles in each frame of a clip of ``skeleton``."""
    return soles(clip, skeleton)[..., 2].amin(dim=1)


def ground_of(clip: Clip, skeleton: Skeleton) -> tuple[float, bool]:
    """Height in m of the ground under a clip of ``skeleton``, and whether its soles tell where that is.

    They do where they are lowest in :data:`STANCE` of the frames or less. A captured foot dips deepest for a moment,
    toe first: with that moment on the ground, IsaacGymEnvs' walk hovers 6 cm above it half of the time, and a policy
    is shown a height that it cannot have. Where another joint would then lie in the ground, as the hands of a
    cartwheel, the figure is not on its feet all the time, and the lowest point of the clip is the ground.
    """
    heights = lowest_sole(clip, skeleton)
    ground, sole = float(heights.quantile(STANCE)), float(heights.min())
    others = [place for place, name in enumerate(skeleton.names) if name not in skeleton.feet]
    joint = float(body_poses(clip).positions[:, others, 2].min())
    return (ground, True) if joint >= ground else (min(sole, joint), False)


def grounded(clip: Clip, skeleton: Skeleton) -> Clip:
    """A clip of ``skeleton``, moved up or down until it stands on the ground, :func:`ground_of` it at 0."""
    ground, _ = ground_of(clip, skeleton)
    return dataclasses.replace(clip, root_translation=clip.root_translation - np.array([0.0, 0.0, ground]))
