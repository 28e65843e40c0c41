"""Errors and exit codes of the commands."""

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any

from manybody.config.errors import ConfigWarning, ManybodyError
from manybody.engine import console


@contextlib.contextmanager
def exit_codes() -> Iterator[None]:
    """Print the library's errors without a traceback and exit with their code.

    Raises:
        SystemExit: 2, the configuration or a file cannot be used, or playing met only non-finite values; 3, the guard
            stopped training; 130, interrupted outside training.
    """
    try:
        with plain_notices():
            yield
    except ManybodyError as error:
        prefix = "training stopped: " if error.exit_code == 3 else ""
        console.error(f"{prefix}{error}")
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        console.error("interrupted")
        raise SystemExit(130) from None


@contextlib.contextmanager
def plain_notices() -> Iterator[None]:
    """Print each warning about a configuration once, in one line."""
    printed = set()

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        if str(message) not in printed:
            printed.add(str(message))
            console.warn(str(message))

    with warnings.catch_warnings():
        warnings.simplefilter("always", ConfigWarning)
        warnings.showwarning = show
        yield
