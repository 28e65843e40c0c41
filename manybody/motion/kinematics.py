"""Where the bodies of a clip are, in NumPy: describing and converting clips does without the seconds PyTorch takes.

The formulas of :mod:`manybody.functional.rotations` and :mod:`manybody.functional.kinematics`; a test compares them.
"""

import dataclasses

import numpy as np

from manybody.motion.clip import Clip
from manybody.motion.errors import MotionError
from manybody.motion.skeletons import Skeleton


def multiply(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Hamilton's product (..., 4) of ``first`` and ``second`` (..., 4) wxyz: turn by ``second``, then ``first``.

    (a, u)(b, v) = (ab - u.v, a v + b u + u x v).
    """
    a, u, b, v = first[..., :1], first[..., 1:], second[..., :1], second[..., 1:]
    scalar = a * b - (u * v).sum(axis=-1, keepdims=True)
    return np.concatenate((scalar, a * v + b * u + np.cross(u, v)), axis=-1)


def conjugate(quats: np.ndarray) -> np.ndarray:
    """The inverse (..., 4) of unit quaternions ``quats`` (..., 4) wxyz."""
    return quats * np.array([1.0, -1.0, -1.0, -1.0])


def rotate(quats: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """``vectors`` (..., 3) turned by unit quaternions ``quats`` (..., 4) wxyz: v + w t + u x t with t = 2 u x v."""
    w, u = quats[..., :1], quats[..., 1:]
    t = 2 * np.cross(u, vectors)
    return vectors + w * t + np.cross(u, t)


def about(axis: int, angles: np.ndarray | float) -> np.ndarray:
    """Quaternions (..., 4) wxyz that turn by ``angles`` (...) in rad about the coordinate axis 0, 1 or 2."""
    half = np.asarray(angles)[..., None] / 2
    return np.concatenate((np.cos(half), np.sin(half) * np.eye(3)[axis]), axis=-1)


def between(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The shortest turn (4,), wxyz, of the direction ``first`` (3,) onto that of ``second`` (3,).

    (1 + a.b, a x b), made unit, for unit vectors a and b. Opposite directions: half a turn about y.
    """
    a, b = first / np.linalg.norm(first), second / np.linalg.norm(second)
    if a @ b < -1 + 1e-9:
        return about(1, np.pi)
    quat = np.concatenate(([1 + a @ b], np.cross(a, b)))
    return quat / np.linalg.norm(quat)


def body_poses(clip: Clip) -> tuple[np.ndarray, np.ndarray]:
    """Positions (T, B, 3) in m and rotations (T, B, 4) wxyz of the bodies of ``clip`` in the world, float64.

    R_i = R_p r_i and x_i = x_p + R_p o_i for body i with parent p.

    Raises:
        MotionError: the clip has no offsets.
    """
    if clip.offsets is None:
        raise MotionError(
            "offsets", "none", "(B, 3) numbers", "Without its skeleton's size nothing is anywhere."
        )
    local = clip.local_rotations.astype(np.float64)
    positions, rotations = np.empty((*local.shape[:2], 3)), local.copy()
    positions[:, 0] = clip.root_translation
    for body, parent in enumerate(clip.parents[1:], start=1):
        positions[:, body] = positions[:, parent] + rotate(
            rotations[:, parent], clip.offsets[body].astype(np.float64)
        )
        rotations[:, body] = multiply(rotations[:, parent], local[:, body])
    return positions, rotations


def is_of(clip: Clip, skeleton: Skeleton) -> bool:
    """Whether ``clip`` has the bodies and parents of ``skeleton``; its proportions may differ."""
    return (tuple(clip.body_names), tuple(clip.parents)) == (skeleton.names, skeleton.parents)


def lowest_sole(clip: Clip, skeleton: Skeleton) -> np.ndarray:
    """(T,) height in m of the lowest corner of both soles in each frame of a clip of ``skeleton``."""
    positions, rotations = body_poses(clip)
    corners = skeleton.sole_corners()
    feet = [skeleton.names.index(foot) for foot in skeleton.feet]
    places = positions[:, feet, None] + rotate(rotations[:, feet, None], corners[None, None])
    lowest: np.ndarray = places[..., 2].min(axis=(1, 2))
    return lowest


def grounded(clip: Clip, skeleton: Skeleton) -> Clip:
    """A clip of ``skeleton``, moved up or down so that the lowest point of its soles, over all frames, is at 0."""
    up = np.array([0.0, 0.0, lowest_sole(clip, skeleton).min()])
    return dataclasses.replace(clip, root_translation=clip.root_translation - up)
