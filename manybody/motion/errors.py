"""What a wrong motion file says."""

import contextlib
import os
import reprlib
import warnings
from collections.abc import Iterator


class MotionError(ValueError):
    """Motion data that cannot be used: file, field, what was found, what was expected, what to do."""

    def __init__(
        self, field: str, given: str, expected: str, advice: str = "", path: str | os.PathLike | None = None
    ) -> None:
        place = "" if path is None else f"{os.fspath(path)}: "
        super().__init__(plain(f"{place}{field}: got {given}; expected {expected}. {advice}".rstrip()))
        self.field, self.given, self.expected, self.advice = field, given, expected, advice
        self.path = path


class MotionNotice(UserWarning):
    """Something in a motion file that was passed over: file, and what."""


def notice(what: str) -> None:
    """Warn with a :class:`MotionNotice` about the file of the surrounding :func:`read_from`."""
    place = f"{_reading[-1]}: " if _reading else ""
    warnings.warn(plain(f"{place}{what}"), MotionNotice, stacklevel=2)


_reading: list[str] = []
"""The files that are being read; the last is the innermost."""


@contextlib.contextmanager
def read_from(path: str | os.PathLike) -> Iterator[None]:
    """Errors raised inside that name no file yet name ``path``, and so do notices."""
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
    """Errors raised inside name ``setting`` first, which says what to read; a missing file's error how to change it."""
    try:
        yield
    except MotionError as error:
        told = str(error).removeprefix("file: ")
        if error.field == "file" and error.given == "nothing there":
            told += f" Is the clip elsewhere now? Say where: {setting}=FILE, also beside play."
        error.args = (f"{setting}: {told}",)
        raise


def plain(text: str) -> str:
    """``text`` of a file on one line: control characters, which could forge lines or colours, as their escapes."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


_short = reprlib.Repr()
_short.maxlevel, _short.maxstring, _short.maxother = 2, 70, 70


def shown(value: object) -> str:
    """``value`` as it is quoted in an error: its repr, without control characters, cut to some 80 characters.

    The nested lists of a hostile file are not written out: their repr may not fit into the memory.
    """
    text = _short.repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
