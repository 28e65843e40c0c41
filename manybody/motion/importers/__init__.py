"""Readers of other programs' motion files, each in its module; :func:`read_motion` chooses by the file's ending."""

import os
from pathlib import Path

from manybody.motion.clip import Clip, load_clip
from manybody.motion.errors import MotionError
from manybody.motion.importers.bvh import load_bvh
from manybody.motion.importers.deepmimic import load_deepmimic
from manybody.motion.importers.skeleton_motion import load_skeleton_motion

READERS = {
    ".npz": load_clip,
    ".npy": load_skeleton_motion,
    ".txt": load_deepmimic,
    ".json": load_deepmimic,
    ".bvh": load_bvh,
}
"""Ending of a file's name to its reader."""


def read_motion(path: str | os.PathLike) -> Clip:
    """The clip in a file of any known format. A BVH file is taken to be in metres with y up.

    Raises:
        MotionError: the ending is unknown; whatever its reader finds wrong.
    """
    reader = READERS.get(Path(path).suffix.lower())
    if reader is None:
        given = f"the ending {Path(path).suffix!r}"
        raise MotionError("file", given, f"one of {', '.join(READERS)}", "Convert the file.", path)
    return reader(path)
