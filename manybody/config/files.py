"""Paths as people write them, and files written whole or not at all."""

import contextlib
import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

TEMPORARY = ".saving-"
"""How the names of unfinished files begin; a process that was killed leaves them behind."""


def expanded(path: str | os.PathLike[str]) -> str:
    """``path`` with ``~`` and environment variables replaced, as a shell does where no quotes stand in its way.

    The name of a file or folder that exists stays, although it has a ``$`` in it, and so does a new file's in such a
    folder.
    """
    text = os.path.expanduser(os.fspath(path))
    folder = os.path.dirname(text)
    literal = os.path.lexists(text) or ("$" in folder and os.path.lexists(folder))
    return text if literal else os.path.expandvars(text)


def write_whole(path: str | os.PathLike[str], write: Callable[[BinaryIO], object]) -> None:
    """Let ``write`` fill ``path`` so that at every instant the old or the new file is there, whole.

    The content goes to a temporary file in the same folder, reaches the disk (fsync) and then takes the name. A
    symbolic link at ``path`` is replaced, not followed.

    Args:
        path: the file.
        write: fills the open file, which it may read too. What it raises leaves the old file as it is.

    Raises:
        OSError: the disk is full, read-only, gone. The old file is intact and no temporary file stays.
    """
    path = Path(path)
    temporary = path.parent / f"{TEMPORARY}{uuid.uuid4().hex}"
    try:
        with open(temporary, "x+b") as file:
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
