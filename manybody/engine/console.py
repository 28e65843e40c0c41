"""Output: a live display on a terminal, RL Games' lines elsewhere. No other module prints."""

import atexit
import contextlib
import logging
import os
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from manybody.engine.dashboard import Dashboard

LOGGER = logging.getLogger("manybody")

_dashboard: "Dashboard | None" = None
"""The dashboard on the terminal, or None."""


def say(line: str) -> None:
    """Print a line, above the live display if there is one."""
    if _dashboard is not None:
        _dashboard.print(line)
    else:
        _write(sys.stdout, line)


def log(line: str) -> None:
    """Print a line in RL Games' format, for scripts; on a terminal, send it to the logger ``manybody`` instead."""
    if is_terminal():
        LOGGER.info("%s", line)
    else:
        say(line)


def warn(line: str) -> None:
    """Print a warning above the live display, or to standard error."""
    if _dashboard is not None:
        _dashboard.print(f"warning: {line}", style="yellow")
    else:
        _write(sys.stderr, f"warning: {line}")


def error(line: str) -> None:
    """Print an error to standard error."""
    _write(sys.stderr, f"error: {line}")


def notice(line: str) -> None:
    """Show a line from a signal handler, at the display's next refresh: a handler must not interrupt another print."""
    if _dashboard is not None:
        _dashboard.notice = line
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
    if _dashboard is not None:
        _raw(1, "\x1b[?25h\n")


def is_terminal() -> bool:
    """Return whether standard output is a terminal that can redraw lines."""
    try:
        return sys.stdout.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown")
    except (AttributeError, ValueError):
        return False


def _write(stream: TextIO, line: str) -> None:
    """Print; a closed pipe or a full disk does not stop training."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        try:
            print(line, file=stream, flush=True)
        except UnicodeEncodeError:
            print(line.encode("ascii", "backslashreplace").decode(), file=stream, flush=True)


def _raw(descriptor: int, text: str) -> None:
    with contextlib.suppress(OSError):
        os.write(descriptor, text.encode())


@dataclass(frozen=True)
class EpochReport:
    """Measurements of one epoch; times are in seconds, a limit of -1 means none."""

    epoch: int
    max_epochs: int
    frame: int
    max_frames: int
    frames: int
    """Frames of this epoch: T x N."""
    seconds: float
    """Time since training started."""
    physics_time: float
    inference_time: float
    update_time: float
    reward: float | None
    """Mean return of the latest episodes; None until one has ended."""
    episode_length: float | None
    """Mean length of the latest episodes, steps."""
    best_reward: float | None
    scalars: dict[str, float] = field(default_factory=dict)
    """``kl``, ``last_lr``, ``a_loss``, ``c_loss``, ``entropy``, ``bounds_loss`` ..."""
    terms: dict[str, float] = field(default_factory=dict)
    """The environment's metrics by key; metrics of episodes are ``Episode/<key>``."""

    @property
    def done(self) -> float:
        """Progress to the nearer limit, from 0 to 1; 0 without limits."""
        epochs = self.epoch / self.max_epochs if self.max_epochs > 0 else 0.0
        frames = self.frame / self.max_frames if self.max_frames > 0 else 0.0
        return min(1.0, max(epochs, frames))


def fps_line(report: EpochReport) -> str:
    """Return RL Games' line about one epoch, which scripts parse (1.6.5, ``common/a2c_common.py``)."""
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
    """Shows a training run, unless ``print_stats`` is false; a context manager that restores the terminal."""

    def __init__(self, print_stats: bool = True) -> None:
        self.print_stats = print_stats
        self._dashboard: Dashboard | None = None

    def __enter__(self) -> "Display":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, title: str) -> None:
        """Show the title while the run is being built."""
        global _dashboard
        if self.print_stats and is_terminal():
            from manybody.engine.dashboard import Dashboard

            _dashboard = self._dashboard = Dashboard(title)
            atexit.register(self.stop)
            self._dashboard.start(refresh=True)
        elif self.print_stats:
            say(title)

    def epoch(self, report: EpochReport) -> None:
        """Show one finished epoch."""
        if self._dashboard is not None:
            self._dashboard.add(report)
        elif self.print_stats:
            say(fps_line(report))
            if report.reward is not None:
                length = f" episode length: {report.episode_length:.1f}" if report.episode_length is not None else ""
                best = f" best: {report.best_reward:.2f}" if report.best_reward is not None else ""
                say(f"reward: {report.reward:.2f}{length}{best}")

    def stop(self) -> None:
        """Stop the display, keep its last frame on the screen, and restore the terminal."""
        global _dashboard
        if self._dashboard is not None:
            dashboard, self._dashboard, _dashboard = self._dashboard, None, None
            dashboard.stop()
        atexit.unregister(self.stop)
