"""Errors and warnings about motion files."""

import contextlib
import os
import warnings
from collections.abc import Iterator

from manybody.config.errors import ManybodyError


class MotionError(ManybodyError, ValueError):
    """Motion data that cannot be used: file, field, what was found, what was expected, what to do."""

    def __init__(
        self, field: str, given: str, expected: str, advice: str = "", path: str | os.PathLike | None = None
    ) -> None:
        place = "" if path is None else f"{os.fspath(path)}: "
        super().__init__(plain(f"{place}{field}: got {given}; expected {expected}. {advice}".rstrip()))
        self.field, self.given, self.expected, self.advice = field, given, expected, advice
        self.path = path


class MotionNotice(UserWarning):
    """Something in a motion file that was skipped: file, and what."""


_reading: list[str] = []
"""The files that are being read; the last is the innermost."""


def notice(message: str) -> None:
    """Warn with a :class:`MotionNotice` about the file of the surrounding :func:`read_from`."""
    place = f"{_reading[-1]}: " if _reading else ""
    warnings.warn(plain(f"{place}{message}"), MotionNotice, stacklevel=2)


@contextlib.contextmanager
def read_from(path: str | os.PathLike) -> Iterator[None]:
    """Add ``path`` to errors without a file, and to notices, that are raised inside."""
    _reading.append(os.fspath(path))
    try:
        yield
    except MotionError as error:
        if error.path is not None:
            raise
        raise MotionError(error.field, error.given, error.expected, error.advice, path) from None
    finally:
        _reading.pop()


@contextlib.contextmanager
def chosen_by(setting: str) -> Iterator[None]:
    """Put ``setting``, which names the file, in front of errors raised inside."""
    try:
        yield
    except MotionError as error:
        text = str(error).removeprefix("file: ")
        if error.field == "file" and error.given == "no such file":
            text += f" If the clip has moved, give its path: {setting}=FILE, also to play."
        error.args = (f"{setting}: {text}",)
        raise


def plain(text: str) -> str:
    """Escape control characters of a file's text, which could forge lines or colours."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
