"""Reads motion files whole within a limit."""

import os
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import yaml

from manybody.motion.errors import MotionError, shown

MAX_BYTES = 256 << 20
"""Larger files are refused unread: four hours at 60 Hz of a skeleton of 15 bodies."""


def read_bytes(path: str | os.PathLike, limit: int = MAX_BYTES, kind: str = "motion file") -> bytes:
    """The content of a regular file; ``kind`` is what errors say was expected.

    Raises:
        MotionError: it is missing, unreadable, no regular file, empty or larger than ``limit`` bytes.
    """
    try:
        if not Path(path).is_file():  # before opening: a pipe would block
            given = "no regular file" if Path(path).exists() else "nothing there"
            raise MotionError("file", given, f"a {kind}", "Check the path.", path)
        with open(path, "rb") as file:
            content = file.read(limit + 1)
    except (OSError, ValueError) as error:
        if isinstance(error, MotionError):
            raise
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise MotionError("file", reason, f"a readable {kind}", "Check the path.", path) from None
    if not content:
        raise MotionError("file", "an empty file", f"a {kind}", "Fetch or write it again.", path)
    if len(content) > limit:
        raise MotionError("file", f"more than {limit} bytes", "at most that", "Cut it into clips.", path)
    return content


def read_text(path: str | os.PathLike, limit: int = MAX_BYTES, kind: str = "motion file") -> str:
    """The content of a UTF-8 text file; ``kind`` is what errors say was expected.

    Raises:
        MotionError: as :func:`read_bytes`; the text is not UTF-8.
    """
    content = read_bytes(path, limit, kind)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        given = f"byte 0x{content[error.start]:02x} in line {line}"
        raise MotionError("file", given, "UTF-8 text", "Is it a text format? Save it as UTF-8.", path) from None


class _Once(yaml.SafeLoader):
    """Reads YAML whose blocks have every key once: of two, the first would be lost without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen = set()
        for key, _ in node.value:
            word = (key.tag, key.value) if isinstance(key, yaml.ScalarNode) else key
            if word in seen:
                line = key.start_mark.line + 1
                given = f"a second line of {shown(key.value)} in line {line}"
                raise MotionError("file", given, "each key once in a block", "Take one of them out.")
            seen.add(word)
        return super().construct_mapping(node, deep)


def read_yaml(path: str | os.PathLike, limit: int, kind: str) -> Any:
    """The content of a YAML file of plain values; ``kind`` is what errors say was expected.

    Raises:
        MotionError: as :func:`read_text`; the text is no YAML, or a key stands twice in a block.
    """
    text = read_text(path, limit, kind)
    try:
        return yaml.load(text, _Once)  # a SafeLoader
    except MotionError as error:
        raise MotionError(error.field, error.given, error.expected, error.advice, path) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise MotionError("file", shown(str(error)), "valid YAML", path=path) from None


def read_array_header(stream: BinaryIO, field: str, expected: str, advice: str) -> tuple[tuple, bool, np.dtype]:
    """Shape, order (True: Fortran's) and dtype of the ``.npy`` that ``stream`` begins with; it then stands at the data.

    Raises:
        MotionError: of ``field``, with ``expected`` and ``advice``: there is no such header.
    """
    try:
        version = np.lib.format.read_magic(stream)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        return read[version](stream)
    except Exception as error:  # numpy raises whatever its parser of Python literals raises
        raise MotionError(field, f"a broken header ({shown(str(error))})", expected, advice) from None
