"""Output: a live display on a terminal, RL Games' lines elsewhere. The only module that prints."""

import atexit
import contextlib
import logging
import os
import sys
from typing import Any

from manybody.engine.dashboard import Dashboard, EpochReport

__all__ = [
    "Display",
    "EpochReport",
    "error",
    "fps_line",
    "is_terminal",
    "log",
    "notice",
    "progress",
    "restore_cursor",
    "say",
    "warn",
]

LOGGER = logging.getLogger("manybody")

_display: "Display | None" = None
"""The display that is live on the terminal, or None."""


def say(line: str) -> None:
    """Print a line, above the live display if there is one."""
    if _display is not None:
        _display.print(line)
    else:
        _write(sys.stdout, line)


def log(line: str) -> None:
    """Print one of RL Games' lines for scripts; on a terminal it goes to the logger ``manybody`` instead."""
    if is_terminal():
        LOGGER.info("%s", line)
    else:
        say(line)


def warn(line: str) -> None:
    """Print a warning above the live display, or to standard error."""
    if _display is not None:
        _display.print(f"warning: {line}", style="yellow")
    else:
        _write(sys.stderr, f"warning: {line}")


def error(line: str) -> None:
    """Print an error to standard error."""
    _write(sys.stderr, f"error: {line}")


def notice(line: str) -> None:
    """Show a line from a signal handler, which must not interrupt another print: the display's next refresh has it."""
    if _display is not None:
        _display.notice = line
    else:
        _raw(2, f"{line}\n")


def progress(line: str) -> None:
    """Replace the last progress line by ``line``, which may be empty. Only on a terminal."""
    if is_terminal():
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.write(f"\r\x1b[K{line}")
            sys.stdout.flush()


def restore_cursor() -> None:
    """Show the cursor before the process ends without cleanup."""
    if _display is not None:
        _raw(1, "\x1b[?25h\n")


def _write(stream: Any, line: str) -> None:
    """Print; a closed pipe or a full disk does not stop training."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        try:
            print(line, file=stream, flush=True)
        except UnicodeEncodeError:
            print(line.encode("ascii", "backslashreplace").decode(), file=stream, flush=True)


def _raw(descriptor: int, text: str) -> None:
    with contextlib.suppress(OSError):
        os.write(descriptor, text.encode())


def fps_line(report: EpochReport) -> str:
    """RL Games' line about one epoch, which scripts parse (1.6.5, ``common/a2c_common.py``)."""
    physics = max(report.physics_time, 1e-9)
    play = physics + report.inference_time
    line = (
        f"fps step: {report.frames / physics:.0f} fps step and policy inference: {report.frames / play:.0f} "
        f"fps total: {report.frames / (play + report.update_time):.0f} epoch: {report.epoch:.0f}"
    )
    line += f"/{report.max_epochs:.0f}" if report.max_epochs != -1 else ""
    line += f" frames: {report.frame:.0f}"
    return line + (f"/{report.max_frames:.0f}" if report.max_frames != -1 else "")


class Display:
    """Shows a training run; a context manager that restores the terminal.

    Args:
        print_stats: the configuration key; False shows nothing.
    """

    def __init__(self, print_stats: bool = True) -> None:
        self.print_stats = print_stats
        self.notice = ""
        """A line below everything else."""
        self._dashboard: Dashboard | None = None
        self._live: Any = None

    def __enter__(self) -> "Display":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, title: str) -> None:
        """Show the title, and that the run is being built."""
        if not self.print_stats:
            return
        if is_terminal():
            self._open(title)
        else:
            say(title)

    def epoch(self, report: EpochReport) -> None:
        """Show one finished epoch."""
        if self._dashboard is not None:
            self._dashboard.update(report)
        elif self.print_stats:
            say(fps_line(report))
            if report.reward is not None:
                length = f" episode length: {report.episode_length:.1f}" if report.episode_length is not None else ""
                best = f" best: {report.best_reward:.2f}" if report.best_reward is not None else ""
                say(f"reward: {report.reward:.2f}{length}{best}")

    def stop(self) -> None:
        """Leave the last picture on the screen and restore the terminal."""
        global _display
        live, self._live, self._dashboard = self._live, None, None
        if live is not None:
            _display = None
            live.stop()
        atexit.unregister(self.stop)

    def print(self, line: str, style: str | None = None) -> None:
        """Print a line above the live display."""
        self._live.console.print(line, style=style, markup=False, highlight=False, soft_wrap=True)

    def _open(self, title: str) -> None:
        global _display
        from rich.console import Console
        from rich.control import Control
        from rich.live import Live

        console, dashboard = Console(markup=False, emoji=False), Dashboard(title)
        size = console.size

        def picture() -> Any:
            nonlocal size
            if console.size != size:  # a narrower terminal has wrapped the old picture
                size = console.size
                console.control(Control.clear(), Control.home())
            return dashboard.render(size.width, size.height, self.notice)

        self._dashboard = dashboard
        self._live = Live(get_renderable=picture, console=console, refresh_per_second=4)
        _display = self
        atexit.register(self.stop)
        self._live.start(refresh=True)


def is_terminal() -> bool:
    """Whether standard output is a terminal that can redraw lines."""
    try:
        return sys.stdout.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown")
    except (AttributeError, ValueError):
        return False
