"""DeepMimic's motion files: JSON text with 44 numbers a frame for its humanoid."""

import json
import math
import os
from typing import NoReturn

import numpy as np
import torch

from manybody.config.errors import shown
from manybody.functional.rotations import quat_about
from manybody.motion.clip import Clip
from manybody.motion.errors import MotionError, read_from
from manybody.motion.files import read_text
from manybody.motion.importers.common import NOT_STATED, quats_z_up, z_up

NUMBERS = 44
"""Numbers of a frame: duration in s, the root's position (3), then the rotations of :data:`BODIES`."""

_LEG, _SHIN, _ARM, _FOREARM = (0.0, 0.0, 0.084887), (0.0, -0.421546, 0.0), 0.18311, (0.0, -0.274788, 0.0)
BODIES: tuple[tuple[str, int, int, tuple[float, float, float]], ...] = (
    ("root", -1, 4, (0.0, 0.0, 0.0)),
    ("chest", 0, 4, (0.0, 0.236151, 0.0)),
    ("neck", 1, 4, (0.0, 0.223894, 0.0)),
    ("right_hip", 0, 4, _LEG),
    ("right_knee", 3, 1, _SHIN),
    ("right_ankle", 4, 4, (0.0, -0.40987, 0.0)),
    ("right_shoulder", 1, 4, (-0.02405, 0.2435, _ARM)),
    ("right_elbow", 6, 1, _FOREARM),
    ("left_hip", 0, 4, (0.0, 0.0, -_LEG[2])),
    ("left_knee", 8, 1, _SHIN),
    ("left_ankle", 9, 4, (0.0, -0.40987, 0.0)),
    ("left_shoulder", 1, 4, (-0.02405, 0.2435, -_ARM)),
    ("left_elbow", 11, 1, _FOREARM),
)
"""Name, parent, numbers of the rotation and offset of each body of DeepMimic's humanoid (x forward, y up, z right, m).

Four numbers are a quaternion wxyz, one is an angle in rad about z. The file has the rotations in this order."""

_RATE_TOLERANCE = 0.01
"""How far, relatively, the durations of a clip's frames may differ: they are written with few digits."""


def load_deepmimic(path: str | os.PathLike, licence: str = NOT_STATED) -> Clip:
    """Read a motion of DeepMimic's humanoid (arXiv 1804.02717; format: the repository's README), turned to z up.

    ``Loop`` is dropped: a clip does not say whether it repeats. The last frame's duration has no meaning.

    Args:
        path: the text file.
        licence: who made the motion, and how it may be used; the file does not say.

    Raises:
        MotionError: the file is not JSON or not such a motion, its frames differ in duration, or a number is wrong.
    """
    with read_from(path):
        frames = _frames(read_text(path))
        rotations = torch.zeros(len(frames), len(BODIES), 4, dtype=torch.float64)
        column = 4
        for body, (_, _, size, _) in enumerate(BODIES):
            values = torch.from_numpy(frames[:, column : column + size])
            rotations[:, body] = values if size == 4 else quat_about(2, values[:, 0])
            column += size
        return Clip(
            fps=_rate(frames[:-1, 0]),
            body_names=[name for name, *_ in BODIES],
            parents=[parent for _, parent, *_ in BODIES],
            local_rotations=quats_z_up(rotations.numpy()),
            root_translation=z_up(frames[:, 1:4]),
            licence=licence,
            offsets=z_up(np.array([offset for *_, offset in BODIES])),
        )


def _frames(text: str) -> np.ndarray:
    """Return the frames (T, 44), finite."""
    try:
        content = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise MotionError("file", shown(str(error)), "JSON text", "Is it another format?") from None
    rows = content.get("Frames") if isinstance(content, dict) else None
    if not isinstance(rows, list) or len(rows) < 2:
        raise MotionError("Frames", shown(rows), "a list of at least 2 frames", "This is no DeepMimic motion.")
    for frame, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != NUMBERS:
            given = f"{len(row)} numbers" if isinstance(row, list) else shown(row)
            advice = "Only the motions of DeepMimic's humanoid are read."
            raise MotionError(f"Frames[{frame}]", given, f"{NUMBERS} numbers", advice)
        for column, value in enumerate(row):
            if type(value) not in (int, float) or not abs(value) < 1e30:  # an integer of JSON may overflow a float
                raise MotionError(f"Frames[{frame}][{column}]", shown(value), "a finite number")
    return np.array(rows, dtype=np.float64)


def _rate(durations: np.ndarray) -> float:
    """Return the frames per second of equally long frames."""
    usual = float(np.median(durations))  # which one odd frame does not move
    for frame, duration in enumerate(durations):
        if not duration > 0 or not math.isclose(duration, usual, rel_tol=_RATE_TOLERANCE):
            expected = f"{usual:.6g} s, the usual duration" if duration > 0 else "a duration above 0"
            advice = "A clip has one frame rate: resample the motion."
            raise MotionError(f"Frames[{frame}][0]", f"{duration} s", expected, advice)
    return 1 / float(durations.mean())


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number of JSON")
