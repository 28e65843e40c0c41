"""IsaacGymEnvs' ``SkeletonMotion`` files: a pickled dict of arrays in a ``.npy``."""

import io
from typing import Any

import numpy as np

from manybody.config.errors import shown
from manybody.motion.clip import Clip, without_repeats
from manybody.motion.errors import MotionError
from manybody.motion.files import NOT_STATED
from manybody.motion.importers.pickled import read_pickle
from manybody.motion.unsupported import refuse_keys, refuse_shape

_FIELDS = {
    "body_names": "skeleton_tree.node_names",
    "parents": "skeleton_tree.parent_indices",
    "local_rotations": "rotation",
    "offsets": "skeleton_tree.local_translation",
}
"""Field of a clip to its name in the file."""


def parse_skeleton_motion(content: bytes) -> Clip:
    """Parse a ``SkeletonMotion``: local rotations xyzw, z up, metres. No code in the file runs.

    The layout is that of IsaacGymEnvs' poselib, ``SkeletonMotion.to_file``. The smoothed velocities in the file are not
    used. Five of the six motions of IsaacGymEnvs repeat every frame, at 60 instead of 30 frames per second; they are
    returned at their true rate.

    Raises:
        MotionError: the file is damaged, is of another format or would run code, or a field is wrong; names it.
    """
    motion = _unpickled(content)
    if isinstance(motion, dict) and "skeleton_tree" not in motion:
        refuse_keys(sorted(map(str, motion)))
    if _field(motion, "is_local") is not True:
        raise MotionError("is_local", shown(motion["is_local"]), "True", "Save the motion with local rotations.")
    rotations = _array(motion, "rotation")
    if rotations.ndim != 3 or rotations.shape[-1] != 4:
        raise MotionError("rotation", f"shape {rotations.shape}", "(T, B, 4)")
    try:
        clip = Clip(
            fps=_field(motion, "fps"),
            body_names=_field(motion, _FIELDS["body_names"]),
            parents=_array(motion, _FIELDS["parents"]),
            local_rotations=np.roll(rotations, 1, axis=-1),
            root_translation=_array(motion, "root_translation"),
            licence=NOT_STATED,
            offsets=_array(motion, _FIELDS["offsets"]),
        )
    except MotionError as error:  # about a clip's field, in wxyz
        name, bracket, place = error.field.partition("[")
        error.field = _FIELDS.get(name, name) + bracket + place
        error.advice = error.advice.replace("wxyz", "xyzw")
        raise
    return without_repeats(clip)


def _unpickled(content: bytes) -> Any:
    """Read the pickle after the header of the ``.npy``."""
    stream = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(stream)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        shape, _, dtype = read[version](stream)
    except Exception as error:  # numpy raises every type that its parser of Python literals raises
        given = f"a damaged header ({shown(str(error))})"
        raise MotionError("file", given, "a SkeletonMotion .npy", "Is it another format?") from None
    if dtype.kind != "O" or shape != ():
        refuse_shape(shape)
        given = f"an array of {dtype} with shape {shape}"
        raise MotionError("file", given, "a pickled dict", "This is no SkeletonMotion.")
    return read_pickle(content[stream.tell() :])


def _field(motion: object, path: str) -> Any:
    """Return the value at a dotted ``path``."""
    parent, _, key = path.rpartition(".")
    values = _field(motion, parent) if parent else motion
    if not isinstance(values, dict):
        raise MotionError(parent or "file", shown(values), "a dict of fields", "This is no SkeletonMotion.")
    if key not in values:
        given = f"only {', '.join(map(shown, list(values)[:12])) or 'an empty dict'}"
        raise MotionError(path, given, f"'{key}'", "Is it a SkeletonMotion?")
    return values[key]


def _array(motion: object, path: str) -> np.ndarray:
    """Return the array of ``{"arr": ..., "context": ...}``, the form that poselib writes."""
    value = _field(motion, path)
    array = value.get("arr") if isinstance(value, dict) else value
    if not isinstance(array, np.ndarray):
        raise MotionError(path, shown(value), "an array, or a dict with it as 'arr'")
    return array
