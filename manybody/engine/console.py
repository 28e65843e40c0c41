"""What one sees while it runs: a live display on a terminal, RL Games' plain lines elsewhere. The only place that prints."""

import atexit
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

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


def warn(line: str) -> None:
    """Print a warning: above the live display, or to standard error."""
    if _live is not None:
        _live.console.print(f"warning: {line}", style="yellow", markup=False, highlight=False, soft_wrap=True)
    else:
        _write(sys.stderr, f"warning: {line}")


def notice(line: str) -> None:
    """Say something from inside a signal handler, where printing could interrupt another print."""
    global _notice
    _notice = line
    if _live is None:
        _raw(2, f"{line}\n")


def restore_cursor() -> None:
    """Make the cursor visible again before the process ends without cleaning up."""
    if _live is not None:
        _raw(1, "\x1b[?25h\n")


def _write(stream: Any, line: str) -> None:
    """Training outlives its reader: a closed pipe or a full disk behind the stream is no reason to stop."""
    try:
        try:
            print(line, file=stream, flush=True)
        except UnicodeEncodeError:
            print(line.encode("ascii", "backslashreplace").decode(), file=stream, flush=True)
    except (OSError, ValueError, AttributeError):
        pass


def _raw(descriptor: int, text: str) -> None:
    try:
        os.write(descriptor, text.encode())
    except OSError:
        pass


@dataclass(frozen=True)
class EpochReport:
    """One epoch in figures. Times in seconds, of this epoch unless said."""

    epoch: int
    max_epochs: int
    """-1: no limit."""
    frame: int
    max_frames: int
    """-1: no limit."""
    frames: int
    """Frames of this epoch: T x N."""
    seconds: float
    """Since training started."""
    physics_time: float
    inference_time: float
    update_time: float
    reward: float | None
    """Mean return of the latest episodes; None until one has ended."""
    episode_length: float | None
    best_reward: float | None
    scalars: dict[str, float] = field(default_factory=dict)
    """``kl``, ``last_lr``, ``a_loss``, ``c_loss``, ``entropy``, ``bounds_loss`` ..."""
    eta: float | None = None
    """Seconds left, as far as one can tell."""


def fps_line(report: EpochReport) -> str:
    """RL Games' line about one epoch, which scripts parse (1.6.5, ``common/a2c_common.py: print_statistics``)."""
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
        if _is_terminal():
            self._dashboard = Dashboard(title)
            self._dashboard.open()
        else:
            say(title)

    def epoch(self, report: EpochReport) -> None:
        """Show one finished epoch."""
        if self._dashboard is not None:
            self._dashboard.update(report)
        elif self.print_stats:
            say(fps_line(report))
            if report.reward is not None:
                length = (
                    f" episode length: {report.episode_length:.1f}"
                    if report.episode_length is not None
                    else ""
                )
                best = f" best: {report.best_reward:.2f}" if report.best_reward is not None else ""
                say(f"reward: {report.reward:.2f}{length}{best}")

    def stop(self) -> None:
        """Leave the last state on the screen and give the terminal back."""
        if self._dashboard is not None:
            self._dashboard.close()
            self._dashboard = None


def _is_terminal() -> bool:
    try:
        return sys.stdout.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown")
    except (AttributeError, ValueError):
        return False


_BLOCKS = " ▁▂▃▄▅▆▇█"
_ROW_COLOURS = ("#3b82f6", "#22a7c9", "#14b8a6", "#22c55e", "#84cc16", "#bef264")
"""From the bottom of the chart to its top."""
_PARTS = (("physics", "#3b82f6"), ("inference", "#a855f7"), ("learning", "#f59e0b"))
_LABELS = {
    "last_lr": "learning rate",
    "a_loss": "actor loss",
    "c_loss": "critic loss",
    "bounds_loss": "bounds loss",
    "kl": "KL",
}


class Dashboard:
    """The live display. Draws itself four times a second from what ``update`` was told last."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.report: EpochReport | None = None
        self.rewards: list[float] = []
        self.began = time.monotonic()
        self._size: tuple[int, int] | None = None

    def open(self) -> None:
        """Put it on the screen."""
        global _live, _notice
        from rich.console import Console
        from rich.live import Live

        _notice = ""
        self.console = Console(file=sys.stdout)
        _live = Live(
            get_renderable=self.render, console=self.console, refresh_per_second=4, vertical_overflow="crop"
        )
        _live.start(refresh=True)
        atexit.register(self.close)

    def update(self, report: EpochReport) -> None:
        """Take over the figures of one epoch."""
        if report.reward is not None:
            self.rewards.append(report.reward)
        self.report = report

    def close(self) -> None:
        """Leave the last picture and the cursor."""
        global _live
        live, _live = _live, None
        if live is not None:
            live.stop()
        atexit.unregister(self.close)

    def render(self) -> Any:
        """The panel for the present size of the terminal."""
        from rich.control import Control
        from rich.panel import Panel
        from rich.text import Text

        size = (self.console.size.width, self.console.size.height)
        if self._size is not None and size != self._size:
            self.console.control(
                Control.clear(), Control.home()
            )  # a narrowed terminal has wrapped the old picture
        self._size = size
        width, height = size[0] - 6, size[1] - 3
        lines = self._building(width) if self.report is None else self._running(self.report, width, height)
        if _notice:
            lines.append(Text(_notice, style="bold yellow"))
        for line in lines:
            line.truncate(max(1, width), overflow="ellipsis")
        return Panel(
            Text("\n").join(lines[: max(1, height)]),
            title=Text(f" {self.title} ", style="bold"),
            title_align="left",
            subtitle=Text(f" {_duration(time.monotonic() - self.began)} ", style="dim"),
            subtitle_align="right",
            border_style="#3b82f6",
            padding=(0, 2),
        )

    def _building(self, width: int) -> list[Any]:
        from rich.text import Text

        position = int((time.monotonic() - self.began) * 4) % 4
        return [Text("building the simulation and the networks " + "." * position, style="dim")]

    def _running(self, report: EpochReport, width: int, height: int) -> list[Any]:
        """All blocks that fit, the dispensable ones left out first."""
        from rich.text import Text

        head = self._head(report, width, 6 if height >= 17 else 4)
        blocks: list[tuple[int, Callable[[], list[Any]]]] = [
            (0, lambda: head),
            (2, lambda: self._speed(report, width)),
            (3, lambda: self._scalars(report, width)),
            (1, lambda: self._progress(report, width)),
        ]
        drawn = [(rank, draw()) for rank, draw in blocks]
        while len(drawn) > 1 and sum(len(lines) + 1 for _, lines in drawn) - 1 > height:
            drawn.remove(max(drawn, key=lambda block: block[0]))
        lines: list[Any] = []
        for _, block in drawn:
            lines += ([Text()] if lines else []) + block
        return lines

    def _head(self, report: EpochReport, width: int, rows: int) -> list[Any]:
        """Return, best and length beside the curve of the return."""
        from rich.text import Text

        figures = [
            ("return", _number(report.reward), "bold white"),
            ("best", _number(report.best_reward), "#84cc16"),
            ("length", _number(report.episode_length), "white"),
            ("", "", ""),
            ("epoch", f"{report.epoch:,}", "white"),
            ("frames", _count(report.frame), "white"),
        ]
        if rows < 6:
            del figures[3:]
            rows = 3
        left = [
            Text.assemble((f"{name:<8}", "dim"), (f"{value:>9}", style)) for name, value, style in figures
        ]
        chart = width - 17 - 4
        if chart < 12:
            return left
        curve = _chart(self.rewards, chart - 9, rows)
        return [Text.assemble(label, "    ", line) for label, line in zip(left, curve, strict=True)]

    def _speed(self, report: EpochReport, width: int) -> list[Any]:
        """Frames per second, whole and in its three parts, with each part's share of the time."""
        from rich.text import Text

        times = (report.physics_time, report.inference_time, report.update_time)
        total = max(sum(times), 1e-9)
        bar_width = max(0, width - 21)
        bar, drawn = Text(), 0
        legend = Text()
        for (name, colour), seconds in zip(_PARTS, times, strict=True):
            end = drawn + round(bar_width * seconds / total)
            if name == _PARTS[-1][0]:
                end = bar_width
            bar.append("━" * (end - drawn), style=colour)
            drawn = end
            legend.append("■ ", style=colour)
            legend.append(f"{name} ", style="dim")
            legend.append(f"{_count(report.frames / max(seconds, 1e-9))}/s {seconds / total:.0%}   ")
        first = Text.assemble(
            ("frames/s", "dim"), (f"{report.frames / total:>9,.0f}", "bold white"), "    ", bar
        )
        return [first, legend]

    def _scalars(self, report: EpochReport, width: int) -> list[Any]:
        """Losses, KL, learning rate, in as many columns as fit."""
        from rich.text import Text

        columns = max(1, (width + 3) // 26)
        cells = [
            Text.assemble((f"{_LABELS.get(name, name.replace('_', ' ')):<13}", "dim"), f"{_small(value):>10}")
            for name, value in report.scalars.items()
        ]
        return [Text("   ").join(cells[start : start + columns]) for start in range(0, len(cells), columns)]

    def _progress(self, report: EpochReport, width: int) -> list[Any]:
        """How far it is, and how long it still takes."""
        from rich.text import Text

        done = max(
            report.epoch / report.max_epochs if report.max_epochs > 0 else 0.0,
            report.frame / report.max_frames if report.max_frames > 0 else 0.0,
        )
        left = f"{_duration(report.eta)} left" if report.eta is not None else ""
        if not done:
            return [Text(left or "no limit set: Ctrl-C stops after a checkpoint", style="dim")]
        limits = []
        if report.max_epochs > 0:
            limits.append(f"epoch {report.epoch}/{report.max_epochs}")
        if report.max_frames > 0:
            limits.append(f"frame {_count(report.frame)}/{_count(report.max_frames)}")
        full = round(width * min(done, 1.0))
        bar = Text.assemble(("━" * full, "#22c55e"), ("━" * (width - full), "grey27"))
        label = Text.assemble((" · ".join(limits), "dim"), f"  {done:.0%}")
        label.append(" " * max(2, width - label.cell_len - len(left)))
        label.append(left, style="bold white")
        return [bar, label]


def _chart(values: list[float], width: int, rows: int) -> list[Any]:
    """A curve of ``values`` drawn in ``rows`` lines of ``width`` columns, with its range at the right."""
    from rich.text import Text

    if not values:
        return [
            Text("waiting for the first episode to end" if row == rows // 2 else "", style="dim")
            for row in range(rows)
        ]
    # more values than columns: each column shows the mean of its share
    count = min(width, len(values))
    edges = [index * len(values) // count for index in range(count + 1)]
    points = [sum(values[a:b]) / (b - a) for a, b in zip(edges, edges[1:], strict=False)]
    low, high = min(points), max(points)
    scale = (rows * 8 - 1) / (high - low) if high > low else 0.0
    levels = [1 + round((point - low) * scale) for point in points]
    lines = []
    for row in range(rows - 1, -1, -1):
        colour = _ROW_COLOURS[row * (len(_ROW_COLOURS) - 1) // max(1, rows - 1)]
        cells = "".join(_BLOCKS[min(8, max(0, level - 8 * row))] for level in levels)
        label = (
            f" {_number(high)}" if row == rows - 1 else f" {_number(low)}" if row == 0 and high > low else ""
        )
        lines.append(Text.assemble((cells.ljust(width), colour), (label, "dim")))
    return lines


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _small(value: float) -> str:
    return f"{value:.2e}" if value and not 1e-3 <= abs(value) < 1e4 else f"{value:.4f}"


def _count(value: float) -> str:
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{unit}" if value < 100 * size else f"{value / size:.0f}{unit}"
    return f"{value:.0f}"


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
