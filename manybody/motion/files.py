"""Reads motion files whole, up to a size limit."""

import os
from pathlib import Path
from typing import Any

from manybody.config.errors import ConfigError
from manybody.config.yaml import load_yaml
from manybody.motion.errors import MotionError, plain

MAX_BYTES = 256 << 20
"""Larger files are not read: four hours at 60 Hz of a skeleton of 15 bodies."""


def read_bytes(path: str | os.PathLike) -> bytes:
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


def read_text(path: str | os.PathLike) -> str:
    """Read a UTF-8 text file.

    Raises:
        MotionError: as :func:`read_bytes`; the text is not UTF-8.
    """
    content = read_bytes(path)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        given = f"byte 0x{content[error.start]:02x} in line {line}"
        raise MotionError("file", given, "UTF-8 text", "Is it a text format? Save it as UTF-8.") from None


def read_yaml(path: str | os.PathLike) -> dict[str, Any]:
    """Read a YAML file with a mapping.

    Raises:
        MotionError: the file is missing or unreadable, or is not YAML.
    """
    try:
        return load_yaml(os.fspath(path))
    except ConfigError as error:
        (problem,) = error.problems
        wrong = MotionError("file", problem.message, "", path=problem.location)
        wrong.args = (plain(f"{problem.location}: {problem.message}"),)
        raise wrong from None
