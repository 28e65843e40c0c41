"""Errors and exit codes of the commands."""

import contextlib
import re
import warnings
from collections.abc import Iterator

from manybody.config.errors import ConfigWarning, ManybodyError
from manybody.engine import console

COLOURS = re.compile(r"\x1b\[[0-9;]*m")
"""Terminal codes, which Gymnasium's warnings contain."""


@contextlib.contextmanager
def exit_codes(*refused: type[Exception]) -> Iterator[None]:
    """Print errors without a traceback and exit with their code; print each warning once, in one line.

    Args:
        refused: exceptions besides the library's own that end the command with exit code 2.

    Raises:
        SystemExit: 2, the configuration or a file cannot be used, or playing met only non-finite values; 3, the guard
            stopped training; 130, interrupted outside training.
    """
    expected: tuple[type[Exception], ...] = (ManybodyError, *refused)
    printed = set()

    def show(message: Warning | str, *_: object, **__: object) -> None:
        text = COLOURS.sub("", str(message))
        if text not in printed:
            printed.add(text)
            console.warn(text)

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", ConfigWarning)
            warnings.showwarning = show
            yield
    except expected as error:
        code = error.exit_code if isinstance(error, ManybodyError) else 2
        console.error(f"training stopped: {error}" if code == 3 else str(error))
        raise SystemExit(code) from None
    except KeyboardInterrupt:
        console.error("interrupted")
        raise SystemExit(130) from None
