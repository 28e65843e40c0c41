"""Readers of other programs' motion files; :func:`read_motion` chooses one by the file's suffix."""

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


def read_motion(path: str | os.PathLike) -> Clip:
    """Read a clip of any known format. A BVH file is taken to be in metres with y up.

    Raises:
        MotionError: the format is not one of these (names it where it is known), or the file is wrong.
    """
    suffix = Path(path).suffix.lower()
    if suffix in READERS:
        return READERS[suffix](path)
    with read_from(path):
        if suffix in (".pkl", ".pickle", ".p"):
            unsupported.refuse_pickle(read_bytes(path))
        if suffix == ".csv":
            unsupported.refuse_table(read_text(path))
        format_name = f", {unsupported.SUFFIXES[suffix]}" if suffix in unsupported.SUFFIXES else ""
        given = f"the ending {Path(path).suffix!r}{format_name}"
        raise MotionError("file", given, unsupported.READABLE, "Convert the file.")
