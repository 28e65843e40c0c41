"""Errors and warnings about motion files."""

import contextlib
import os
import warnings
from collections.abc import Iterator

from typing_extensions import override

from manybody.config.errors import ManybodyError


class MotionError(ManybodyError, ValueError):
    """Motion data that cannot be used: field, value found, value expected, advice."""

    def __init__(self, field: str, given: str, expected: str, advice: str = "") -> None:
        super().__init__(field, given, expected, advice)
        self.field, self.given, self.expected, self.advice = field, given, expected, advice
        self.setting = ""
        """The setting that names the file, or empty; see :func:`chosen_by`."""
        self.path: str | os.PathLike[str] = ""
        """The file, or empty; see :func:`read_from`."""

    @override
    def __str__(self) -> str:
        message = f"got {self.given}; expected {self.expected}. {self.advice}".rstrip()
        return plain(": ".join(filter(None, (self.setting, os.fspath(self.path), self.field, message))))


class MotionNotice(UserWarning):
    """A warning about a part of a motion file that was skipped."""


_reading: list[str] = []
"""The files that are being read; the last is the innermost."""


def notice(message: str) -> None:
    """Warn with a :class:`MotionNotice` about the file of the surrounding :func:`read_from`."""
    place = f"{_reading[-1]}: " if _reading else ""
    warnings.warn(plain(f"{place}{message}"), MotionNotice, stacklevel=2)


@contextlib.contextmanager
def read_from(path: str | os.PathLike[str]) -> Iterator[None]:
    """Add ``path`` to the notices of the block and to its errors without a file."""
    _reading.append(os.fspath(path))
    try:
        yield
    except MotionError as error:
        error.path = error.path or path
        raise
    finally:
        _reading.pop()


@contextlib.contextmanager
def chosen_by(setting: str) -> Iterator[None]:
    """Put ``setting``, which names the file, in front of the errors of the block."""
    try:
        yield
    except MotionError as error:
        if error.field == "file" and error.given == "no such file":
            error.advice += f" If the clip has moved, give its path: {setting}=FILE, also to play."
        if error.field == "file" and not error.path:
            error.field = ""
        error.setting = setting
        raise


def plain(text: str) -> str:
    """Escape control characters in text from a file: they could fake lines or colours on a terminal."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
