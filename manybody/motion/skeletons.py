"""The AMP humanoid: its bodies, sizes and hinges, and the height of its soles in a clip."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from manybody.functional.kinematics import BodyPose, forward_kinematics
from manybody.functional.rotations import quat_rotate
from manybody.motion.clip import Clip
from manybody.motion.errors import MotionError

STANCE = 0.2
"""Share of the frames in which soles may be below the ground; less than the stance of any gait."""


def body_poses(clip: Clip) -> BodyPose:
    """Return positions (T, B, 3) and rotations (T, B, 4) of the bodies of ``clip`` in the world, float64.

    Raises:
        MotionError: the clip has no offsets.
    """
    if clip.offsets is None:
        raise MotionError("offsets", "none", "(B, 3) numbers", "Positions need the skeleton's size.")
    arrays = (clip.offsets, clip.root_translation, clip.local_rotations)
    return forward_kinematics(tuple(clip.parents), *(torch.tensor(x, dtype=torch.float64) for x in arrays))


@dataclass(frozen=True, eq=False)
class Skeleton:
    """B bodies, each with a joint to its parent, without masses or shapes.

    With all local rotations identity the figure stands upright, arms hanging; x is forward, y left, z up.
    """

    names: tuple[str, ...]
    """B names; the root comes first."""
    parents: tuple[int, ...]
    """-1 for the root, the index of an earlier body for every other body."""
    offsets: np.ndarray
    """(B, 3) each body's origin in its parent's axes, m; the root's is zero."""
    hinges: Mapping[str, tuple[float, float]]
    """By body, the lowest and highest angle of its hinge about y, rad. All other joints are balls."""
    feet: tuple[str, str]
    """Right and left."""
    sole_centre: np.ndarray
    """(3,) centre of the foot's box, in the foot's axes, m."""
    sole_half: np.ndarray
    """(3,) its half lengths along the foot's axes, m."""

    def fits(self, clip: Clip) -> bool:
        """Return whether ``clip`` has these bodies and parents; its proportions may differ."""
        return (tuple(clip.body_names), tuple(clip.parents)) == (self.names, self.parents)

    def sole_corners(self) -> np.ndarray:
        """Return the lower corners (4, 3) of a foot's box in its axes, m: heel right, left, toe right, left."""
        signs = np.array([[-1, -1, -1], [-1, 1, -1], [1, -1, -1], [1, 1, -1]])
        return self.sole_centre + signs * self.sole_half

    def soles(self, clip: Clip) -> Tensor:
        """Return the lower corners (T, 8, 3) of the right and the left sole in the world, m, float64."""
        positions, rotations = body_poses(clip)
        feet = [self.names.index(foot) for foot in self.feet]
        corners = quat_rotate(rotations[:, feet, None], torch.tensor(self.sole_corners()))
        return (positions[:, feet, None] + corners).flatten(1, 2)

    def ground(self, clip: Clip) -> tuple[float, bool]:
        """Return the height of the ground in a clip in m, and whether the figure always stands on its soles.

        The ground is the height below which the soles are in :data:`STANCE` of the frames. The lowest point would be
        too low, because captured toes dip briefly: IsaacGymEnvs' walk would be 6 cm above the ground half of the time.
        If another joint is below this height, such as the hands in a cartwheel, the figure does not always stand on its
        feet, and the ground is the lowest point of the clip.
        """
        heights = self.soles(clip)[..., 2].amin(dim=1)
        ground, sole = float(heights.quantile(STANCE)), float(heights.min())
        others = [index for index, name in enumerate(self.names) if name not in self.feet]
        joint = float(body_poses(clip).positions[:, others, 2].min())
        return (ground, True) if joint >= ground else (min(sole, joint), False)

    def grounded(self, clip: Clip) -> Clip:
        """Move a clip up or down until its :meth:`ground` is at height 0."""
        height, _ = self.ground(clip)
        return dataclasses.replace(clip, root_translation=clip.root_translation - np.array([0.0, 0.0, height]))


_KNEE, _ELBOW = (0.0, float(np.deg2rad(160))), (-float(np.deg2rad(160)), 0.0)

AMP_HUMANOID = Skeleton(
    names=(
        *("pelvis", "torso", "head"),
        *("right_upper_arm", "right_lower_arm", "right_hand"),
        *("left_upper_arm", "left_lower_arm", "left_hand"),
        *("right_thigh", "right_shin", "right_foot"),
        *("left_thigh", "left_shin", "left_foot"),
    ),
    parents=(-1, 0, 1, 1, 3, 4, 1, 6, 7, 0, 9, 10, 0, 12, 13),
    offsets=np.array(
        [
            *([0, 0, 0], [0, 0, 0.236151], [0, 0, 0.223894]),
            *([-0.02405, -0.18311, 0.2435], [0, 0, -0.274788], [0, 0, -0.258947]),
            *([-0.02405, 0.18311, 0.2435], [0, 0, -0.274788], [0, 0, -0.258947]),
            *([0, -0.084887, 0], [0, 0, -0.421546], [0, 0, -0.40987]),
            *([0, 0.084887, 0], [0, 0, -0.421546], [0, 0, -0.40987]),
        ]
    ),
    hinges={"right_lower_arm": _ELBOW, "left_lower_arm": _ELBOW, "right_shin": _KNEE, "left_shin": _KNEE},
    feet=("right_foot", "left_foot"),
    sole_centre=np.array([0.045, 0.0, -0.0225]),
    sole_half=np.array([0.0885, 0.045, 0.0275]),
)
"""The humanoid of AMP, 15 bodies: names, order, offsets and ranges as in IsaacGymEnvs' amp_humanoid.xml (BSD-3).

The hands have no joint in simulation. The sole is this project's: 0.05 m below the ankle, 0.177 m long.
"""
