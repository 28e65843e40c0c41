"""Signals: stop with a checkpoint after the current epoch."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from types import FrameType
from typing import Any

from manybody.engine import console

Handler = Callable[[int, FrameType | None], None]


class StopRequest:
    """The signals received so far. Training reads it once per epoch."""

    def __init__(self) -> None:
        self.requested: int | None = None
        """SIGINT or SIGTERM once received."""
        self.save_requested = False
        """SIGUSR1 was received; set it to False after saving."""

    @property
    def exit_code(self) -> int:
        """128 + the signal's number: 130 after SIGINT, 143 after SIGTERM; 0 without one."""
        return 128 + self.requested if self.requested is not None else 0


@contextlib.contextmanager
def skip_on_interrupt() -> Iterator[Callable[[], bool]]:
    """Yield a function that returns whether Ctrl-C was pressed in the block; the block should then end.

    A second Ctrl-C calls the previous handler. Outside the main thread, where Python allows no handlers, the function
    returns False.
    """
    pressed = False

    def skip(number: int, _frame: FrameType | None) -> None:
        nonlocal pressed
        pressed = True
        signal.signal(number, previous[number])

    with _handlers({signal.SIGINT: skip}) as previous:
        yield lambda: pressed


@contextlib.contextmanager
def _handlers(new: Mapping[int, Handler]) -> Iterator[dict[int, Any]]:
    """Handle signals in the block; yield the previous handlers and restore them. Only in the main thread."""
    main = threading.current_thread() is threading.main_thread()
    previous = {number: signal.signal(number, handler) for number, handler in new.items()} if main else {}
    try:
        yield previous
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def graceful_stop() -> Iterator[StopRequest]:
    """Record SIGINT, SIGTERM and SIGUSR1 in the block; restore the previous handlers afterwards.

    The first SIGINT or SIGTERM sets ``requested``; a second one ends the process at once. Outside the main thread,
    where Python allows no handlers, nothing is recorded.
    """
    request = StopRequest()

    def stop(number: int, _frame: FrameType | None) -> None:
        if request.requested is not None:
            console.restore_cursor()
            os._exit(128 + number)
        request.requested = number
        name = signal.Signals(number).name
        console.notice(
            f"{name}: stopping after this epoch, with a checkpoint. A second signal stops at once, without it."
        )

    def save(_number: int, _frame: FrameType | None) -> None:
        request.save_requested = True

    handlers: dict[int, Handler] = {signal.SIGINT: stop, signal.SIGTERM: stop}
    if hasattr(signal, "SIGUSR1"):  # not on Windows
        handlers[signal.SIGUSR1] = save
    with _handlers(handlers):
        yield request
