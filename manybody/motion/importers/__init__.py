"""Readers of other programs' motion files, each in its module; :func:`read_motion` chooses by the file's ending."""

import os
from pathlib import Path

from manybody.motion import unsupported
from manybody.motion.clip import Clip, load_clip
from manybody.motion.errors import MotionError, read_from
from manybody.motion.files import read_bytes, read_text
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
        MotionError: the format is not one of these; names it where it is known. Whatever the reader finds wrong.
    """
    ending = Path(path).suffix.lower()
    reader = READERS.get(ending)
    if reader is not None:
        return reader(path)
    with read_from(path):
        if ending in (".pkl", ".pickle", ".p"):
            unsupported.refuse_pickle(read_bytes(path))
        if ending == ".csv":
            unsupported.refuse_table(read_text(path))
        said = f", {unsupported.ENDINGS[ending]}" if ending in unsupported.ENDINGS else ""
        given = f"the ending {Path(path).suffix!r}{said}"
        raise MotionError("file", given, unsupported.READABLE, "Convert the file.")
