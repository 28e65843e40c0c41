"""What one sees: a live display on a terminal, RL Games' lines elsewhere. The only place that prints."""

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

_live: Any = None
"""The rich ``Live`` that is on the screen, or None."""
_notice = ""
"""What a signal handler has to say; the display shows it with its next refresh."""


def say(line: str) -> None:
    """Print a line, above the live display if there is one."""
    if _live is not None:
        _live.console.print(line, markup=False, highlight=False, soft_wrap=True)
    else:
        _write(sys.stdout, line)


def log(line: str) -> None:
    """Print one of RL Games' lines where a script may read it; on a terminal it goes to the logger ``manybody``."""
    if is_terminal():
        LOGGER.info("%s", line)
    else:
        say(line)


def warn(line: str) -> None:
    """Print a warning: above the live display, or to standard error."""
    if _live is not None:
        _live.console.print(f"warning: {line}", style="yellow", markup=False, highlight=False, soft_wrap=True)
    else:
        _write(sys.stderr, f"warning: {line}")


def error(line: str) -> None:
    """Say on standard error why the command ends here."""
    _write(sys.stderr, f"error: {line}")


def notice(line: str) -> None:
    """Say something from inside a signal handler, where printing could interrupt another print."""
    global _notice
    _notice = line
    if _live is None:
        _raw(2, f"{line}\n")


def progress(line: str) -> None:
    """Show ``line`` in the place of the one before; an empty one leaves nothing. Only on a terminal."""
    if is_terminal():
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.write(f"\r\x1b[K{line}")
            sys.stdout.flush()


def restore_cursor() -> None:
    """Make the cursor visible again before the process ends without cleaning up."""
    if _live is not None:
        _raw(1, "\x1b[?25h\n")


def _write(stream: Any, line: str) -> None:
    """Training outlives its reader: a closed pipe or a full disk behind the stream is no reason to stop."""
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
    """Shows a training run. A context manager, so that the terminal comes back whatever happens.

    Args:
        print_stats: the configuration key; False shows nothing.
    """

    def __init__(self, print_stats: bool = True) -> None:
        self.print_stats = print_stats
        self._dashboard: Dashboard | None = None

    def __enter__(self) -> "Display":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, title: str) -> None:
        """Show something at once: the title, and that the run is being built."""
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
        """Leave the last picture on the screen and give the terminal back."""
        global _live
        self._dashboard = None
        live, _live = _live, None
        if live is not None:
            live.stop()
        atexit.unregister(self.stop)

    def _open(self, title: str) -> None:
        global _live, _notice
        from rich.console import Console
        from rich.control import Control
        from rich.live import Live

        console, dashboard = Console(markup=False, emoji=False), Dashboard(title)
        _notice = ""
        shown = console.size

        def picture() -> Any:
            nonlocal shown
            if console.size != shown:  # a narrowed terminal has wrapped the old picture
                shown = console.size
                console.control(Control.clear(), Control.home())
            return dashboard.render(console.size.width, console.size.height, _notice)

        self._dashboard = dashboard
        _live = Live(get_renderable=picture, console=console, refresh_per_second=4)
        atexit.register(self.stop)
        _live.start(refresh=True)


def is_terminal() -> bool:
    """Whether standard output is a screen on which lines can be drawn again."""
    try:
        return sys.stdout.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown")
    except (AttributeError, ValueError):
        return False
