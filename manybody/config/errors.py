"""Errors of configurations: all problems at once, each with its key path, file and line, and a suggestion."""

import contextlib
import difflib
import reprlib
import sys
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import FrameType


class ManybodyError(Exception):
    """Base of the library's exceptions: the message says what is wrong and what to do."""

    exit_code = 2
    """Of a command that ends with this error."""


class ConfigWarning(UserWarning):
    """A key that has an old name or no effect."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a configuration."""

    path: str
    """Dotted key path, such as ``params.config.gamma``; empty when the file as a whole is meant."""
    message: str
    """``got X; expected Y. <what to do>``."""
    location: str | None = None
    """``file:line``, where the text came from a file."""

    def __str__(self) -> str:
        place = f"({self.location})" if self.path and self.location else self.location or ""
        return ": ".join(filter(None, [" ".join(filter(None, [self.path, place])), self.message]))


class ConfigError(ManybodyError, ValueError):
    """A configuration that cannot be used, with all its ``problems``. The command line exits with 2."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        if len(self.problems) == 1:
            return f"configuration: {self.problems[0]}"
        lines = "\n".join(f"  - {problem}" for problem in self.problems)
        return f"configuration: {len(self.problems)} problems\n{lines}"


class Problems(list[Problem]):
    """The problems found so far, to be raised all at once."""

    def __init__(self, problems: Iterable[Problem] = ()) -> None:
        super().__init__(problems)
        self.aliases: dict[str, str] = {}
        """Key path to the key that its author wrote instead."""

    def add(self, path: str, message: str, location: str | None = None) -> None:
        """Add one problem."""
        self.append(Problem(path, message, location))

    @contextlib.contextmanager
    def collect(self) -> Iterator[None]:
        """Add the problems of a ConfigError that the block raises; execution continues after the block."""
        try:
            yield
        except ConfigError as error:
            self += error.problems

    def refuse(self) -> None:
        """Raise ConfigError with the problems, if there are any."""
        if self:
            raise ConfigError(self)


def dotted(path: Iterable[str | int]) -> str:
    """``('config', 'units', 1)`` as ``config.units[1]``."""
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path).removeprefix(".")


def notify(message: str) -> None:
    """Warn with a ``ConfigWarning`` that points at the first line outside this package: the author's own."""
    frame: FrameType | None = sys._getframe(1)
    level = 2
    while frame is not None and frame.f_globals.get("__name__", "").startswith("manybody."):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, ConfigWarning, stacklevel=level)


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The most similar known word, or None; case does not count."""
    by_lower = {name.lower(): name for name in known}
    matches = difflib.get_close_matches(str(word).lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[matches[0]] if matches else None


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """``; did you mean 'x'?``, or nothing if no known word is similar."""
    match = nearest(str(word), known)
    return f"; did you mean '{match}'?" if match else ""


_short = reprlib.Repr()
_short.maxlevel, _short.maxdict, _short.maxlist, _short.maxtuple, _short.maxstring, _short.maxother = 3, 9, 9, 9, 99, 99
"""Writes only the first entries: nested lists may not fit into the memory."""


def shown(value: object) -> str:
    """Quote ``value`` in an error: its repr, at most 80 characters; of a longer block its keys."""
    text = _short.repr(value)
    if len(text) > 80 and isinstance(value, dict):
        text = f"a block with {', '.join(map(str, value))}"
    return text if len(text) <= 80 else f"{text[:77]}..."
