"""Expanded paths, and files that are written completely or not at all."""

import contextlib
import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

TEMPORARY = ".saving-"
"""Prefix of unfinished files, which remain if the process is killed."""


def expanded(path: str | os.PathLike[str]) -> str:
    """``path`` with ``~`` and environment variables replaced.

    A file or folder that exists keeps a ``$`` in its name, and so does a new file in such a folder.
    """
    text = os.path.expanduser(os.fspath(path))
    folder = os.path.dirname(text)
    literal = os.path.lexists(text) or ("$" in folder and os.path.lexists(folder))
    return text if literal else os.path.expandvars(text)


def write_whole(path: str | os.PathLike[str], write: Callable[[BinaryIO], object]) -> None:
    """Replace the file at ``path`` atomically: ``write`` fills a temporary file, which is synced and renamed.

    A symbolic link at ``path`` is replaced, not followed. If ``write`` raises, the old file is unchanged.

    Raises:
        OSError: the disk is full or read-only. The old file is unchanged, and no temporary file remains.
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
