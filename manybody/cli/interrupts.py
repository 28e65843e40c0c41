"""Handle Ctrl-C and SIGTERM outside training. Imported first, so it imports no large packages."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

NAMES = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}
_unfinished: set[Path] = set()
"""Files that are removed before the process ends."""


@contextlib.contextmanager
def exit_on_signal() -> Iterator[None]:
    """End the process on SIGINT and SIGTERM in the block, with one line and exit code 130 or 143.

    The handler raises no exception, because that could be caught, or turn into another error in an import (PyTorch).
    Training replaces these handlers and restores them at its end. Outside the main thread, where Python allows no
    handlers, this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {number: signal.signal(number, _end) for number in NAMES}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def removed_on_exit(path: Path) -> Iterator[Path]:
    """Remove the file ``path`` after the block, also if a signal ends the process inside."""
    _unfinished.add(path)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)
        _unfinished.discard(path)


def _end(number: int, _frame: FrameType | None) -> None:
    restore_cursor = getattr(sys.modules.get("manybody.engine.console"), "restore_cursor", None)
    if restore_cursor is not None:  # the console may not have been imported yet, or not to its end
        restore_cursor()
    for path in _unfinished:
        path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        os.write(2, f"error: {NAMES[signal.Signals(number)]}\n".encode())
    os._exit(128 + number)
