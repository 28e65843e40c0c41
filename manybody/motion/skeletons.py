"""The skeleton of the AMP humanoid: bodies, sizes and hinges."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from manybody.motion.clip import Clip


@dataclass(frozen=True, eq=False)
class Skeleton:
    """B bodies, each with a joint to its parent, without masses or shapes.

    With all local rotations identity the figure stands upright, arms hanging; x is forward, y left, z up.
    """

    names: tuple[str, ...]
    """B names; the root comes first."""
    parents: tuple[int, ...]
    """-1 for the root, for every other body the index of an earlier one."""
    offsets: np.ndarray
    """(B, 3) each body's origin in its parent's axes, m; the root's is zero."""
    hinges: Mapping[str, tuple[float, float]]
    """Body to the lowest and highest angle of its joint, rad: a hinge about y. All other joints are balls."""
    feet: tuple[str, str]
    """Right and left."""
    sole_centre: np.ndarray
    """(3,) centre of the foot's box, in the foot's axes, m."""
    sole_half: np.ndarray
    """(3,) its half lengths along the foot's axes, m."""

    def fits(self, clip: Clip) -> bool:
        """Whether ``clip`` has these bodies and parents; its proportions may differ."""
        return (tuple(clip.body_names), tuple(clip.parents)) == (self.names, self.parents)

    def sole_corners(self) -> np.ndarray:
        """Return the lower corners (4, 3) of a foot's box in its axes, m: heel right, left, toe right, left."""
        signs = np.array([[-1, -1, -1], [-1, 1, -1], [1, -1, -1], [1, 1, -1]])
        return self.sole_centre + signs * self.sole_half


def _fixed(values: list) -> np.ndarray:
    array = np.array(values)
    array.setflags(write=False)
    return array


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
    offsets=_fixed(
        [
            *([0, 0, 0], [0, 0, 0.236151], [0, 0, 0.223894]),
            *([-0.02405, -0.18311, 0.2435], [0, 0, -0.274788], [0, 0, -0.258947]),
            *([-0.02405, 0.18311, 0.2435], [0, 0, -0.274788], [0, 0, -0.258947]),
            *([0, -0.084887, 0], [0, 0, -0.421546], [0, 0, -0.40987]),
            *([0, 0.084887, 0], [0, 0, -0.421546], [0, 0, -0.40987]),
        ]
    ),
    hinges=MappingProxyType(
        {"right_lower_arm": _ELBOW, "left_lower_arm": _ELBOW, "right_shin": _KNEE, "left_shin": _KNEE}
    ),
    feet=("right_foot", "left_foot"),
    sole_centre=_fixed([0.045, 0.0, -0.0225]),
    sole_half=_fixed([0.0885, 0.045, 0.0275]),
)
"""The humanoid of AMP, 15 bodies: names, order, offsets and ranges as in IsaacGymEnvs' amp_humanoid.xml (BSD-3).

The hands have no joint in simulation. The sole is this project's: 0.05 m below the ankle, 0.177 m long.
"""
