"""DeepMimic's motion files: JSON text with 44 numbers a frame for its humanoid."""

import json
import math

import numpy as np
import torch

from manybody.config.errors import shown
from manybody.functional.rotations import quat_about
from manybody.motion.clip import Clip
from manybody.motion.errors import MotionError
from manybody.motion.files import NOT_STATED, quats_z_up, z_up
from manybody.motion.skeletons import AMP_HUMANOID

NUMBERS = 44
"""Numbers of a frame: duration in s, the root's position (3), then the rotations of :data:`BODIES`."""

_LEG = (("hip", "thigh", 4), ("knee", "shin", 1), ("ankle", "foot", 4))
_ARM = (("shoulder", "upper_arm", 4), ("elbow", "lower_arm", 1))
BODIES = (
    *(("root", "pelvis", 4), ("chest", "torso", 4), ("neck", "head", 4)),
    *((f"{side}_{joint}", f"{side}_{body}", size) for side in ("right", "left") for joint, body, size in _LEG + _ARM),
)
"""Joints of DeepMimic's humanoid in the order of the file, with the body of the AMP humanoid and the rotation's size.

Four numbers are a quaternion wxyz, one is an angle in rad about z. The two humanoids have the same size; in the file x
is forward, y up, z right."""

_RATE_TOLERANCE = 0.01
"""Maximum relative difference of the durations of a clip's frames, which are written with few digits."""


def parse_deepmimic(text: str) -> Clip:
    """Parse a motion of DeepMimic's humanoid (arXiv 1804.02717; format: the repository's README), turned to z up.

    ``Loop`` is ignored, because a clip does not state whether it repeats, and so is the last frame's duration.

    Raises:
        MotionError: the text is not such a motion, its frames differ in duration, or a number is invalid.
    """
    frames = _frames(text)
    rotations = torch.zeros(len(frames), len(BODIES), 4, dtype=torch.float64)
    column = 4
    for body, (_, _, size) in enumerate(BODIES):
        values = torch.from_numpy(frames[:, column : column + size])
        rotations[:, body] = values if size == 4 else quat_about(2, values[:, 0])
        column += size
    bodies = [AMP_HUMANOID.names.index(body) for _, body, _ in BODIES]
    return Clip(
        fps=_rate(frames[:-1, 0]),
        body_names=[joint for joint, _, _ in BODIES],
        parents=[-1, *(bodies.index(AMP_HUMANOID.parents[body]) for body in bodies[1:])],
        local_rotations=quats_z_up(rotations.numpy()),
        root_translation=z_up(frames[:, 1:4]),
        licence=NOT_STATED,
        offsets=AMP_HUMANOID.offsets[bodies],
    )


def _frames(text: str) -> np.ndarray:
    """Return the frames (T, 44), finite."""
    try:
        content = json.loads(text)
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
    usual = float(np.median(durations))  # not affected by one wrong frame
    for frame, duration in enumerate(durations):
        if not duration > 0 or not math.isclose(duration, usual, rel_tol=_RATE_TOLERANCE):
            expected = f"{usual:.6g} s, the usual duration" if duration > 0 else "a duration above 0"
            advice = "A clip has one frame rate: resample the motion."
            raise MotionError(f"Frames[{frame}][0]", f"{duration} s", expected, advice)
    return 1 / float(durations.mean())
