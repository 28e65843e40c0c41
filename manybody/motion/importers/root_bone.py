"""Removes bones between the world and the hips, which MotionBuilder, Unity and Unreal write."""

from typing import NamedTuple

import numpy as np
import torch

from manybody.config.errors import shown
from manybody.functional.rotations import quat_multiply, quat_rotate
from manybody.motion.errors import MotionError, notice
from manybody.motion.joint_maps import joint_map

RIGID = 0.01
"""Maximum movement of a fixed joint relative to its parent, as a share of their distance."""
ROUNDED = 0.002
"""The same as a share of the longest bone, for bones as short as the last digits of the file."""
NOISE = 1e-4
"""The same for hips that can become the root, which is exact."""


class Figure(NamedTuple):
    """B joints in T frames, in the file's axes and units."""

    names: list[str]
    parents: list[int]
    positions: np.ndarray
    """(T, B, 3) of each joint in its parent's axes; the root's in the world."""
    rotations: np.ndarray
    """(T, B, 4) unit quaternions wxyz to the parent's axes; the root's to the world's."""


def rigid(figure: Figure, digit: float = 0.0) -> tuple[Figure, np.ndarray]:
    """Return ``figure`` without the bones above moving hips, and its offsets (B, 3).

    Hips that move relative to their parent are a root. If no other joint depends on the bones above them, the hips take
    over the motion of these bones, and every joint keeps its position in the world.

    Args:
        figure: the content of the file.
        digit: the value of one unit in the last digit of a position.

    Raises:
        MotionError: another joint moves relative to its parent.
    """
    middles, moved = _motion(figure)
    longest = np.linalg.norm(middles, axis=-1).max()
    free = np.flatnonzero(moved.max(axis=0) > max(2 * digit, NOISE * longest)).tolist()
    hips = next((body for body in free if _is_root(figure, body)), None)
    if hips is not None:
        figure = _from(figure, hips)
        middles, moved = _motion(figure)
    lengths = np.linalg.norm(middles, axis=-1)
    allowed = np.maximum(np.maximum(RIGID * lengths, ROUNDED * lengths.max()), 2 * digit)
    for body in np.flatnonzero(moved.max(axis=0) > allowed)[:1]:
        frame = int(moved[:, body].argmax())
        given = f"a bone that stretches by {moved[frame, body]:.4g} in frame {frame}"
        name = f"joint {shown(figure.names[body])}"
        raise MotionError(name, given, "rigid bones", "Export the motion without stretching.")
    return figure, middles


def _motion(figure: Figure) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean positions (B, 3) and the joints' distances (T, B) from them; zero for the root."""
    middles = figure.positions.mean(axis=0)
    moved = np.linalg.norm(figure.positions - middles, axis=-1)
    middles[0], moved[:, 0] = 0.0, 0.0
    return middles, moved


def _above(figure: Figure, body: int) -> list[int]:
    """Return the joints from the root down to ``body``, without it."""
    path: list[int] = []
    while (body := figure.parents[body]) >= 0:
        path.append(body)
    return path[::-1]


def _below(figure: Figure, body: int) -> list[int]:
    """Return ``body`` and all joints below it, in their order."""
    kept = [body]
    for other, parent in enumerate(figure.parents):
        if parent in kept:
            kept.append(other)
    return kept


def _is_root(figure: Figure, body: int) -> bool:
    """Return whether ``body`` carries the whole figure: all other joints, or all joints of a humanoid."""
    kept = _below(figure, body)
    if len(kept) + len(_above(figure, body)) == len(figure.names):
        return True
    try:  # Unreal has bones for inverse kinematics next to the hips
        joint_map([figure.names[other] for other in kept])
    except MotionError:
        return False
    return True


def _from(figure: Figure, hips: int) -> Figure:
    """Return ``figure`` with ``hips`` as its root."""
    kept = _below(figure, hips)
    positions, rotations = torch.from_numpy(figure.positions), torch.from_numpy(figure.rotations)
    position, turn = positions[:, 0], rotations[:, 0]
    for body in [*_above(figure, hips), hips][1:]:
        position = position + quat_rotate(turn, positions[:, body])
        turn = quat_multiply(turn, rotations[:, body])
    positions, rotations = positions[:, kept].clone(), rotations[:, kept].clone()
    positions[:, 0], rotations[:, 0] = position, turn
    names = [figure.names[body] for body in kept]
    parents = [-1, *(kept.index(figure.parents[body]) for body in kept[1:])]
    skipped = [name for body, name in enumerate(figure.names) if body not in kept]
    notice(f"{shown(names[0])} moves freely and is the root; skipped: {', '.join(map(shown, skipped))}")
    return Figure(names, parents, positions.numpy(), rotations.numpy())
