"""IsaacGymEnvs' ``SkeletonMotion`` files: a pickled dict of arrays in a ``.npy``."""

import contextlib
import io
import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from manybody.motion.clip import Clip, without_repeats
from manybody.motion.errors import MotionError, read_from, shown
from manybody.motion.files import read_array_header, read_bytes
from manybody.motion.importers.common import NOT_STATED
from manybody.motion.importers.pickled import UnpickledError, read_pickle
from manybody.motion.unsupported import refuse_keys, refuse_shape

_THEIRS = {
    "body_names": "skeleton_tree.node_names",
    "parents": "skeleton_tree.parent_indices",
    "local_rotations": "rotation",
    "offsets": "skeleton_tree.local_translation",
}
"""Field of a clip to its name in the file."""


def load_skeleton_motion(path: str | os.PathLike, licence: str = NOT_STATED) -> Clip:
    """Read a ``SkeletonMotion``: local rotations xyzw, z up, metres. No code in the file runs.

    The layout is that of IsaacGymEnvs' poselib, ``SkeletonMotion.to_file``. The velocities in the file are smoothed and
    not used: a library derives its own. Five of the six motions that IsaacGymEnvs ships show
    every frame twice, at 60 frames per second for 30; such a clip comes out at its true rate.

    Args:
        path: the ``.npy`` file.
        licence: who made the motion and what may be done with it; the file does not say.

    Raises:
        MotionError: the file is damaged, is something else, would run code, or a field makes no sense; names it.
    """
    content = read_bytes(path)
    with read_from(path):
        motion = _Fields("", _unpickled(content))
        if "skeleton_tree" not in motion.values:
            refuse_keys(sorted(motion.values))
        tree = _Fields("skeleton_tree.", motion["skeleton_tree"])
        if motion["is_local"] is not True:
            advice = "Save the motion with local rotations."
            raise MotionError("is_local", shown(motion["is_local"]), "True", advice)
        rotations = motion.array("rotation")
        if rotations.ndim != 3 or rotations.shape[-1] != 4:
            raise MotionError("rotation", f"shape {rotations.shape}", "(T, B, 4)")
        names = tree["node_names"]
        if not isinstance(names, list):
            raise MotionError("skeleton_tree.node_names", shown(names), "a list of names")
        with _their_words():
            clip = Clip(
                fps=motion["fps"],
                body_names=names,
                parents=tree.array("parent_indices"),
                local_rotations=np.roll(rotations, 1, axis=-1),
                root_translation=motion.array("root_translation"),
                licence=licence,
                offsets=tree.array("local_translation"),
            )
        return without_repeats(clip)


@contextlib.contextmanager
def _their_words() -> Iterator[None]:
    """Errors raised inside name the fields of the file, whose quaternions are xyzw."""
    try:
        yield
    except MotionError as error:
        name, bracket, place = error.field.partition("[")
        advice = error.advice.replace("wxyz", "xyzw")
        raise MotionError(_THEIRS.get(name, name) + bracket + place, error.given, error.expected, advice) from None


def _unpickled(content: bytes) -> Any:
    """What the pickle after the header of the ``.npy`` holds."""
    stream = io.BytesIO(content)
    shape, _, dtype = read_array_header(stream, "file", "a SkeletonMotion .npy", "Is it another format?")
    if dtype.kind != "O" or shape != ():
        refuse_shape(shape)
        given = f"an array of {dtype} with shape {shape}"
        raise MotionError("file", given, "a pickled dict", "This is no SkeletonMotion.")
    try:
        return read_pickle(content[stream.tell() :])
    except UnpickledError as error:
        advice = "Only arrays and plain containers are read; nothing in the file was run."
        raise MotionError("file", str(error), "an intact SkeletonMotion", advice) from None


class _Fields:
    """A dict of the file, whose missing keys are told by name."""

    def __init__(self, prefix: str, values: Any) -> None:
        self.prefix, self.values = prefix, values
        if not isinstance(values, dict):
            field = prefix.rstrip(".") or "file"
            raise MotionError(field, shown(values), "a dict of fields", "This is no SkeletonMotion.")

    def __getitem__(self, key: str) -> Any:
        if key not in self.values:
            given = f"only {', '.join(map(shown, list(self.values)[:12])) or 'an empty dict'}"
            raise MotionError(self.prefix + key, given, f"'{key}'", "Is it a SkeletonMotion?")
        return self.values[key]

    def array(self, key: str) -> np.ndarray:
        """The array of ``{"arr": ..., "context": ...}``, the form that poselib writes."""
        array = self[key]
        if isinstance(array, dict):
            array = array.get("arr")
        if not isinstance(array, np.ndarray):
            raise MotionError(self.prefix + key, shown(self[key]), "an array, or a dict with it as 'arr'")
        return array
