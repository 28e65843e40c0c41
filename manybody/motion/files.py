"""Read motion files up to a size limit, and rotate them from y up to z up."""

import os
from pathlib import Path

import numpy as np

from manybody.motion.errors import MotionError

MAX_BYTES = 256 << 20
"""Maximum size of a file: four hours at 60 Hz of a skeleton of 15 bodies."""
NOT_STATED = "not stated in the imported file"
"""Licence of a clip whose format does not state one."""


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """Read a regular file.

    Raises:
        MotionError: it is missing, unreadable, not a regular file, empty or larger than :data:`MAX_BYTES`.
    """
    try:
        if not Path(path).is_file():  # before opening: a pipe would block
            given = "a folder or device" if Path(path).exists() else "no such file"
            raise MotionError("file", given, "a motion file", "Check the path.")
        with open(path, "rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise MotionError("file", error.strerror or str(error), "a readable file", "Check the path.") from None
    if not content:
        raise MotionError("file", "an empty file", "a motion file", "Download or write it again.")
    if len(content) > MAX_BYTES:
        raise MotionError("file", f"more than {MAX_BYTES} bytes", "at most that", "Cut it into clips.")
    return content


def decoded(content: bytes) -> str:
    """Decode UTF-8.

    Raises:
        MotionError: the content is not UTF-8; the message names the line.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        given = f"byte 0x{content[error.start]:02x} in line {line}"
        raise MotionError("file", given, "UTF-8 text", "Is it a text format? Save it as UTF-8.") from None


def z_up(vectors: np.ndarray) -> np.ndarray:
    """Rotate vectors (..., 3) from y up to z up, by a quarter turn about x: (x, y, z) becomes (x, -z, y)."""
    x, y, z = np.moveaxis(vectors, -1, 0)
    return np.stack((x, -z, y), axis=-1)


def quats_z_up(quats: np.ndarray) -> np.ndarray:
    """Rotate the axes of rotations (..., 4) wxyz as :func:`z_up` does."""
    return np.concatenate((quats[..., :1], z_up(quats[..., 1:])), axis=-1)
