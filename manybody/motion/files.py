"""Reads motion files whole within a limit, and writes them whole or not at all."""

import contextlib
import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from manybody.motion.errors import MotionError

MAX_BYTES = 256 << 20
"""Larger files are refused unread: four hours at 60 Hz of a skeleton of 15 bodies."""


def read_bytes(path: str | os.PathLike, limit: int = MAX_BYTES) -> bytes:
    """The content of a regular file.

    Raises:
        MotionError: it is missing, unreadable, no regular file, empty or larger than ``limit`` bytes.
    """
    try:
        if not Path(path).is_file():  # before opening: a pipe would block
            given = "no regular file" if Path(path).exists() else "nothing there"
            raise MotionError("file", given, "a motion file", "Check the path.", path)
        with open(path, "rb") as file:
            content = file.read(limit + 1)
    except (OSError, ValueError) as error:
        if isinstance(error, MotionError):
            raise
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise MotionError("file", reason, "a readable motion file", "Check the path.", path) from None
    if not content:
        raise MotionError("file", "an empty file", "a motion file", "Fetch or write it again.", path)
    if len(content) > limit:
        raise MotionError("file", f"more than {limit} bytes", "at most that", "Cut it into clips.", path)
    return content


def read_text(path: str | os.PathLike, limit: int = MAX_BYTES) -> str:
    """The content of a UTF-8 text file.

    Raises:
        MotionError: as :func:`read_bytes`; the text is not UTF-8.
    """
    content = read_bytes(path, limit)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        given = f"byte 0x{content[error.start]:02x} in line {line}"
        raise MotionError(
            "file", given, "UTF-8 text", "Is it a text format? Save it as UTF-8.", path
        ) from None


def write_whole(path: str | os.PathLike, write: Callable[[BinaryIO], object]) -> None:
    """Let ``write`` fill ``path`` so that at every instant the old or the new file is there, whole.

    The content goes to a temporary file in the same folder, reaches the disk and then takes the name.

    Raises:
        OSError: the disk is full, read-only, gone. The old file is intact and no temporary file stays.
    """
    path = Path(path)
    temporary = path.parent / f".saving-{uuid.uuid4().hex}"
    try:
        with open(temporary, "xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    with contextlib.suppress(OSError):  # some file systems cannot sync a folder; the rename has happened
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
