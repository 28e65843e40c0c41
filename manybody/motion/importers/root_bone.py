"""Bones between the world and the hips: written by MotionBuilder, Unity and Unreal, of no use for a clip."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from manybody.functional.rotations import quat_multiply, quat_rotate
from manybody.motion.errors import MotionError, notice, shown
from manybody.motion.joint_maps import joint_map

RIGID = 0.01
"""How far a joint may move against its parent, as a part of its distance, and still count as fixed."""
ROUNDED = 0.002
"""The same as a part of the longest bone, for bones that are short against the digits of the file."""
NOISE = 1e-4
"""The same for hips that may be a root: they lose nothing by it."""


class Figure(NamedTuple):
    """B joints in T frames, in the file's axes and units."""

    names: list[str]
    parents: list[int]
    places: np.ndarray
    """(T, B, 3) of each joint in its parent's axes; the root's in the world."""
    rotations: np.ndarray
    """(T, B, 4) unit quaternions wxyz to the parent's axes; the root's to the world's."""


def rigid(figure: Figure, digit: float = 0.0) -> tuple[Figure, np.ndarray]:
    """``figure`` without the bones above its moving hips, and its offsets (B, 3).

    Hips that move against their parent are a root of their own: where the bones above them carry nothing else of the
    figure, the hips take over what those bones did, and every joint stays where it is in the world.

    Args:
        figure: as the file has it.
        digit: what one unit in the last digit of a place is worth.

    Raises:
        MotionError: another joint moves against its parent.
    """
    middles = figure.places.mean(axis=0)
    middles[0] = 0.0
    moved = np.linalg.norm(figure.places - middles, axis=-1)
    moved[:, 0] = 0.0  # the root is free
    lengths = np.linalg.norm(middles, axis=-1)
    noise = max(2 * digit, NOISE * lengths.max())
    free = np.flatnonzero(moved.max(axis=0) > noise)
    hips = next((int(body) for body in free if _is_root(figure, int(body))), None)
    if hips is not None:
        figure, kept = _from(figure, hips)
        middles, moved, lengths = middles[kept], moved[:, kept], lengths[kept]
        middles[0], moved[:, 0], lengths[0] = 0.0, 0.0, 0.0
    allowed = np.maximum(np.maximum(RIGID * lengths, ROUNDED * lengths.max()), 2 * digit)
    moving = moved.max(axis=0) > allowed
    for body in np.flatnonzero(moving)[:1]:
        frame = int(moved[:, body].argmax())
        given = f"a bone that stretches by {moved[frame, body]:.4g} in frame {frame}"
        name = f"joint {shown(figure.names[body])}"
        raise MotionError(name, given, "rigid bones", "Export the motion without stretching.")
    return figure, middles


def _above(figure: Figure, body: int) -> list[int]:
    """The joints from the root down to ``body``, without it."""
    path: list[int] = []
    while (body := figure.parents[body]) >= 0:
        path.insert(0, body)
    return path


def _below(figure: Figure, body: int) -> list[int]:
    """``body`` and all joints that hang on it, in their order."""
    kept = [body]
    for other, parent in enumerate(figure.parents):
        if parent in kept:
            kept.append(other)
    return kept


def _is_root(figure: Figure, body: int) -> bool:
    """Whether the whole figure hangs on ``body``: all other joints, or all that a humanoid has."""
    kept = _below(figure, body)
    if len(kept) + len(_above(figure, body)) == len(figure.names):
        return True
    try:  # Unreal has bones for inverse kinematics beside the hips
        joint_map([figure.names[other] for other in kept])
    except MotionError:
        return False
    return True


def _from(figure: Figure, hips: int) -> tuple[Figure, list[int]]:
    """``figure`` with ``hips`` as its root, and which of its joints are left."""
    path, kept = [*_above(figure, hips), hips], _below(figure, hips)
    places, rotations = torch.from_numpy(figure.places), torch.from_numpy(figure.rotations)
    place, turn = places[:, 0], rotations[:, 0]
    for body in path[1:]:
        place = place + quat_rotate(turn, places[:, body])
        turn = quat_multiply(turn, rotations[:, body])
    places, rotations = places[:, kept].clone(), rotations[:, kept].clone()
    places[:, 0], rotations[:, 0] = place, turn
    names = [figure.names[body] for body in kept]
    parents = [-1, *(kept.index(figure.parents[body]) for body in kept[1:])]
    over: Sequence[str] = [name for body, name in enumerate(figure.names) if body not in kept]
    notice(f"{shown(names[0])} moves freely and is the root; passed over: {', '.join(map(shown, over))}")
    return Figure(names, parents, places.numpy(), rotations.numpy()), kept
