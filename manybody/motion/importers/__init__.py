"""Readers of motion files of other programs; :func:`read_motion` selects one by the file's suffix."""

import os
from pathlib import Path

from manybody.motion import unsupported
from manybody.motion.clip import Clip, parse_clip
from manybody.motion.errors import MotionError, read_from
from manybody.motion.files import decoded, read_bytes
from manybody.motion.importers.bvh import parse_bvh
from manybody.motion.importers.deepmimic import parse_deepmimic
from manybody.motion.importers.skeleton_motion import parse_skeleton_motion

FORMATS = {
    ".npz": "motion clip of manybody",
    ".npy": "SkeletonMotion of IsaacGymEnvs (frames shown twice are read once)",
    ".txt": "DeepMimic",
    ".json": "DeepMimic",
    ".bvh": "BVH",
}
"""Names of the supported formats by suffix."""


def read_motion(path: str | os.PathLike[str], scale: float | None = None, up: str | None = None) -> Clip:
    """Read a clip of any known format.

    Args:
        path: the file.
        scale: for BVH files, metres in one unit of length; None: 1.
        up: for BVH files, the upward axis, ``y`` or ``z``; None: ``y``.

    Raises:
        MotionError: the format is not supported, or the file is invalid.
    """
    suffix = Path(path).suffix.lower()
    with read_from(path):
        for name, value in (("scale", scale), ("up", up)):
            if value is not None and suffix != ".bvh":
                raise MotionError(f"--{name}", f"a file {suffix!r}", "one of the format .bvh")
        match suffix:
            case ".npz":
                return parse_clip(read_bytes(path))
            case ".npy":
                return parse_skeleton_motion(read_bytes(path))
            case ".txt" | ".json":
                return parse_deepmimic(decoded(read_bytes(path)))
            case ".bvh":
                return parse_bvh(decoded(read_bytes(path)), 1.0 if scale is None else scale, up or "y")
            case ".pkl" | ".pickle" | ".p":
                unsupported.refuse_pickle(read_bytes(path))
            case ".csv":
                unsupported.refuse_table(decoded(read_bytes(path)))
        format_name = f", {unsupported.SUFFIXES[suffix]}" if suffix in unsupported.SUFFIXES else ""
        given = f"the ending {Path(path).suffix!r}{format_name}"
        raise MotionError("file", given, unsupported.READABLE, "Convert the file.")
