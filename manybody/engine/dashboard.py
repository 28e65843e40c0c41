"""The live display of a training run, for a terminal of any size."""

import itertools
import time
from collections import Counter
from typing import TYPE_CHECKING

from rich.console import Console
from rich.control import Control
from rich.live import Live
from rich.panel import Panel
from rich.text import Text
from typing_extensions import override

if TYPE_CHECKING:
    from manybody.engine.console import EpochReport

_BLOCKS = " ▁▂▃▄▅▆▇█"
_CURVE = ("#2563eb", "#3b82f6", "#38bdf8", "#2dd4bf", "#4ade80", "#a3e635")
"""Colours of the curve, bottom to top."""
_PARTS = (("physics", "#3b82f6"), ("inference", "#c084fc"), ("learning", "#fbbf24"))
_LABELS = {
    "kl": "KL",
    "last_lr": "learning rate",
    "a_loss": "actor loss",
    "c_loss": "critic loss",
}
_SETTINGS = ("e_clip", "lr_mul", "entropy_coef", "cval_lr", "unstable_envs")
"""Scalars that are shown only after they have changed: most runs keep them constant."""
_VALUE_WIDTH = 9
"""Width of the value of a scalar."""
_NAME_WIDTHS = (25, 13)
"""Maximum widths of the name of a scalar; the first with which all scalars fit is used."""
_LABEL_WIDTH = 17
"""Width of a name and its value, left of the curve and of the bar."""
_RANGE_WIDTH = 10
"""Width of the curve's range, on its right."""


class Dashboard(Live):
    """The live display of a run, between ``start`` and ``stop``."""

    def __init__(self, title: str) -> None:
        console = Console(markup=False, emoji=False)
        self.title = title
        self.notice = ""
        """A line below everything else."""
        self._size = console.size
        self._reports: list[EpochReport] = []
        """The first and the latest report."""
        self._returns: list[float] = []
        self._changed: set[str] = set()
        self._began = time.monotonic()
        super().__init__(console=console, refresh_per_second=4)

    def add(self, report: "EpochReport") -> None:
        """Add the report of one epoch."""
        if report.reward is not None:
            self._returns.append(report.reward)
        self._reports = [*self._reports[:1], report]
        before, now = ({**shown.scalars, **shown.terms} for shown in (self._reports[0], report))
        self._changed |= {name for name, value in now.items() if before.get(name, 0) != value}

    def print(self, line: str, style: str | None = None) -> None:
        """Print a line above the display."""
        self.console.print(line, style=style, markup=False, highlight=False, soft_wrap=True)

    @override
    def get_renderable(self) -> Panel:
        if self.console.size != self._size:  # a narrower terminal has wrapped the previous frame
            self._size = self.console.size
            self.console.control(Control.clear(), Control.home())
        return self.render(self._size.width, self._size.height)

    def render(self, width: int, height: int) -> Panel:
        """Draw at most ``width`` columns and ``height`` rows; leave out blocks that do not fit."""
        inner, rows = max(1, width - 6), height - 3
        last = [Text(self.notice, style="bold yellow")] if self.notice else []
        lines = [*self._lines(inner, rows - len(last)), *last]
        for line in lines:
            line.truncate(inner, overflow="ellipsis")
        return Panel(
            Text("\n").join(lines[: max(1, rows)]),
            title=Text(f" {self.title} ", style="bold"),
            title_align="left",
            subtitle=Text(f" {_duration(time.monotonic() - self._began)} elapsed ", style="dim"),
            subtitle_align="right",
            border_style="#3b82f6",
            padding=(0, 2),
        )

    def _lines(self, width: int, height: int) -> list[Text]:
        """Return the lines of all blocks, without speed and progress if the other blocks need their rows."""
        if not self._reports:
            dots = "." * (int((time.monotonic() - self._began) * 4) % 4)
            return [Text(f"building the simulation and the networks {dots}", style="dim")]
        head = self._head(width, 12 if height >= 30 else 6 if height >= 16 else 3)
        speed, progress = _speed(self._reports[-1], width), self._progress(width)
        rows_left = height - sum(len(block) + 1 for block in (head, speed, progress))
        blocks = [head, speed, self._scalars(width, rows_left), progress]
        for block in (speed, progress):
            if sum(len(block) + 1 for block in blocks if block) - 1 > height:
                blocks.remove(block)
        return [line for block in blocks if block for line in (Text(), *block)][1:]

    def _head(self, width: int, rows: int) -> list[Text]:
        """Draw latest return, best return and episode length, next to the curve of returns."""
        report = self._reports[-1]
        figures = [
            ("return", _number(report.reward), "bold"),
            ("best", _number(report.best_reward), _CURVE[-1]),
            ("length", _number(report.episode_length), ""),
            ("", "", ""),
            ("epoch", f"{report.epoch:,}", ""),
            ("frames", _count(report.frame), ""),
        ]
        figures = (figures + [("", "", "")] * rows)[:rows]
        left = [Text.assemble((f"{name:<8}", "dim"), (f"{value:>9}", style)) for name, value, style in figures]
        columns = width - _LABEL_WIDTH - 4 - _RANGE_WIDTH
        if columns < 12:
            return left
        curve = _curve(self._returns, columns, rows)
        return [Text.assemble(label, "    ", line) for label, line in zip(left, curve, strict=True)]

    def _scalars(self, width: int, rows: int) -> list[Text]:
        """Draw the main scalars, the task's terms, then the other scalars, in at most ``rows`` lines."""
        report = self._reports[-1]
        scalars = {**report.scalars, **report.terms}
        order = dict.fromkeys([*_LABELS, *report.terms, *report.scalars])
        shown = [name for name in order if name in scalars and (name not in _SETTINGS or name in self._changed)]
        if not shown or rows < 1:
            return []
        last = {name: name.rpartition("/")[2] for name in shown}  # the label, if only one name ends with it
        count = Counter(last.values())
        labels = [_LABELS.get(x, (last[x] if count[last[x]] == 1 else x).replace("_", " ")) for x in shown]
        widest = max(map(len, labels))
        for limit in _NAME_WIDTHS:
            columns = min(widest + 1 if widest > _NAME_WIDTHS[-1] else _NAME_WIDTHS[-1], limit)
            capacity = rows * _per_row(width, columns + _VALUE_WIDTH)
            if capacity >= len(shown):
                break
        cells = []
        for name, text in zip(shown, labels, strict=True):
            label = Text(text)
            label.truncate(columns, overflow="ellipsis", pad=True)
            cells.append(Text.assemble((label.plain, "dim"), f"{_small(scalars[name]):>{_VALUE_WIDTH}}"))
        if capacity < len(cells):
            cells[capacity - 1 :] = [Text(f"+{len(cells) - capacity + 1} more", style="dim")]
        return _columns(cells, width, columns + _VALUE_WIDTH)

    def _progress(self, width: int) -> list[Text]:
        """Draw the progress to the limits, and the time left at this process's speed so far."""
        first, report = self._reports[0], self._reports[-1]
        limits = []
        if report.max_epochs > 0:
            limits.append(f"epoch {report.epoch:,} of {report.max_epochs:,}")
        if report.max_frames > 0:
            limits.append(f"frame {_count(report.frame)} of {_count(report.max_frames)}")
        if not limits:
            return [Text("no limit set; Ctrl-C stops with a checkpoint", style="dim")]
        covered = report.done - first.done
        taken = report.seconds - first.seconds
        left = f"{_duration(taken * (1.0 - report.done) / covered)} left" if covered > 0 else ""
        label = Text(f"{report.done:.0%}", style="bold")
        middle = f"   {' · '.join(limits)}"
        if label.cell_len + len(middle) + 2 + len(left) <= width:
            label = Text.assemble(label, (middle, "dim"))
        label = Text.assemble(label, " " * max(2, width - label.cell_len - len(left)), (left, "bold"))
        full = round(width * report.done)
        return [Text.assemble(("━" * full, "#4ade80"), ("━" * (width - full), "grey27")), label]


def _speed(report: "EpochReport", width: int) -> list[Text]:
    """Draw frames per second, in total and of the three parts, with each part's share of the time."""
    times = (report.physics_time, report.inference_time, report.update_time)
    total = max(sum(times), 1e-9)
    columns = max(0, width - _LABEL_WIDTH - 4)
    ends = [round(columns * part / total) for part in itertools.accumulate(times)]
    bar = Text.assemble(("frames/s", "dim"), (f"{report.frames / total:>9,.0f}", "bold"), "    ")
    legends = []
    for (name, colour), seconds, start, end in zip(_PARTS, times, [0, *ends], ends, strict=False):
        bar.append("━" * (end - start), style=colour)
        speed = _count(report.frames / max(seconds, 1e-9))
        legends.append(Text.assemble(("■ ", colour), (f"{name} ", "dim"), f"{speed}/s {seconds / total:.0%}"))
    return [bar, *_columns(legends, width, 22)]


def _columns(cells: list[Text], width: int, cell: int) -> list[Text]:
    """Arrange ``cells`` in as many columns of ``cell`` characters as fit."""
    for text in cells:
        text.pad_right(max(0, cell - text.cell_len))
    count = _per_row(width, cell)
    return [Text("    ").join(cells[start : start + count]) for start in range(0, len(cells), count)]


def _per_row(width: int, cell: int) -> int:
    return max(1, (width + 4) // (cell + 4))


def _curve(values: list[float], width: int, rows: int) -> list[Text]:
    """Draw ``values`` in ``rows`` lines of ``width`` columns, with their range on the right.

    With more values than columns, a column shows a mean.
    """
    if not values:
        return [Text("the first episode has not ended yet" if row == 0 else "", style="dim") for row in range(rows)]
    count = min(width, len(values))
    edges = [index * len(values) // count for index in range(count + 1)]
    points = [sum(values[start:end]) / (end - start) for start, end in itertools.pairwise(edges)]
    low, high = min(points), max(points)
    scale = (rows * 8 - 1) / (high - low) if high > low else 0.0
    levels = [1 + round((point - low) * scale) for point in points]
    lines = []
    for row in reversed(range(rows)):
        cells = "".join(_BLOCKS[min(8, max(0, level - 8 * row))] for level in levels)
        label = _number(high) if row == rows - 1 else _number(low) if row == 0 and high > low else ""
        colour = _CURVE[row * (len(_CURVE) - 1) // max(1, rows - 1)]
        lines.append(Text.assemble((cells.ljust(width), colour), (f"{label:>{_RANGE_WIDTH}}", "dim")))
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
            return f"{value / size:.0f}{unit}" if value >= 100 * size else f"{value / size:.1f}{unit}"
    return f"{value:.0f}"


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
