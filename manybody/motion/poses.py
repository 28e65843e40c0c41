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
"""Share of the frames whose soles may be below the ground: shorter than the stance of any gait."""


def body_poses(clip: Clip) -> BodyPose:
    """Return positions (T, B, 3) and rotations (T, B, 4) of the bodies of ``clip`` in the world, float64.

    Raises:
        MotionError: the clip has no offsets.
    """
    if clip.offsets is None:
        advice = "Positions need the skeleton's size."
        raise MotionError("offsets", "none", "(B, 3) numbers", advice)
    arrays = (clip.offsets, clip.root_translation, clip.local_rotations)
    return forward_kinematics(tuple(clip.parents), *(torch.tensor(x, dtype=torch.float64) for x in arrays))


def soles(clip: Clip, skeleton: Skeleton) -> Tensor:
    """Return the lower corners (T, 8, 3) of the right and the left sole in the world, m, float64."""
    positions, rotations = body_poses(clip)
    feet = [skeleton.names.index(foot) for foot in skeleton.feet]
    corners = quat_rotate(rotations[:, feet, None], torch.tensor(skeleton.sole_corners()))
    return (positions[:, feet, None] + corners).flatten(1, 2)


def lowest_sole(clip: Clip, skeleton: Skeleton) -> Tensor:
    """Return the height (T,) in m of the lowest corner of both soles in each frame."""
    return soles(clip, skeleton)[..., 2].amin(dim=1)


def ground_of(clip: Clip, skeleton: Skeleton) -> tuple[float, bool]:
    """Return the height of the ground under a clip in m, and whether the figure stands on its soles all the time.

    The ground is the height below which the soles are in :data:`STANCE` of the frames. The lowest point would be too
    low: a captured foot dips for a moment, toe first, and IsaacGymEnvs' walk would hover 6 cm above the ground half of
    the time. If another joint would be below the ground, such as the hands in a cartwheel, the figure is not on its
    feet all the time, and the lowest point of the clip is the ground.
    """
    heights = lowest_sole(clip, skeleton)
    ground, sole = float(heights.quantile(STANCE)), float(heights.min())
    others = [place for place, name in enumerate(skeleton.names) if name not in skeleton.feet]
    joint = float(body_poses(clip).positions[:, others, 2].min())
    return (ground, True) if joint >= ground else (min(sole, joint), False)


def grounded(clip: Clip, skeleton: Skeleton) -> Clip:
    """Move a clip up or down until :func:`ground_of` it is 0."""
    ground, _ = ground_of(clip, skeleton)
    return dataclasses.replace(clip, root_translation=clip.root_translation - np.array([0.0, 0.0, ground]))
