"""The display of a training run, drawn for a terminal of any size."""

import itertools
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class EpochReport:
    """The figures of one epoch; times in seconds."""

    epoch: int
    max_epochs: int
    """-1: no limit."""
    frame: int
    max_frames: int
    """-1: no limit."""
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
    """The environment's metrics by key; those of episodes as ``Episode/<key>``."""

    @property
    def done(self) -> float:
        """Progress to the nearer limit, 0 to 1; 0 without limits."""
        epochs = self.epoch / self.max_epochs if self.max_epochs > 0 else 0.0
        frames = self.frame / self.max_frames if self.max_frames > 0 else 0.0
        return min(1.0, max(epochs, frames))


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
"""Scalars that are shown once they have changed: they are constant in most runs."""
_VALUE_WIDTH = 9
"""Width of the value of a scalar."""
_NAME_WIDTHS = (25, 13)
"""Maximum width of the name of a scalar: with and without enough room."""
_LABEL_WIDTH = 17
"""Width of a name and its value, left of the curve and of the bar."""
_RANGE_WIDTH = 10
"""Width of the curve's range, on its right."""


class Dashboard:
    """The figures of a run, drawn by ``render``."""

    def __init__(self, title: str) -> None:
        self.title = title
        self._first: EpochReport | None = None
        self._report: EpochReport | None = None
        self._rewards: list[float] = []
        self._changed: set[str] = set()
        self._began = time.monotonic()

    def update(self, report: EpochReport) -> None:
        """Add the figures of one epoch."""
        if report.reward is not None:
            self._rewards.append(report.reward)
        self._first = self._first or report
        first = {**self._first.scalars, **self._first.terms}
        self._changed |= {
            name for name, value in {**report.scalars, **report.terms}.items() if first.get(name, 0) != value
        }
        self._report = report

    def render(self, width: int, height: int, notice: str = "") -> Any:
        """Draw a rich panel of at most ``width`` columns and ``height`` rows, with ``notice`` as its last line.

        Blocks that do not fit are left out.
        """
        from rich.panel import Panel
        from rich.text import Text

        inner, rows = max(1, width - 6), height - 3
        last = [Text(notice, style="bold yellow")] if notice else []
        lines = (self._blocks(self._report, inner, rows - len(last)) if self._report else self._building()) + last
        for line in lines:
            line.no_wrap = True
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

    def _building(self) -> list[Any]:
        from rich.text import Text

        dots = "." * (int((time.monotonic() - self._began) * 4) % 4)
        return [Text(f"building the simulation and the networks {dots}", style="dim")]

    def _blocks(self, report: EpochReport, width: int, height: int) -> list[Any]:
        """The lines of all blocks; speed and progress are left out if the rest does not fit otherwise."""
        from rich.text import Text

        head = self._head(report, width, 12 if height >= 30 else 6 if height >= 16 else 3)
        speed, progress = _speed(report, width), _progress(report, width, self._seconds_left(report))
        room = height - sum(len(block) + 1 for block in (head, speed, progress))
        blocks = [head, speed, self._scalars(report, width, room), progress]
        for block in (speed, progress):
            if sum(len(block) + 1 for block in blocks if block) - 1 > height:
                blocks.remove(block)
        lines: list[Any] = []
        for block in filter(None, blocks):
            lines += ([Text()] if lines else []) + block
        return lines

    def _seconds_left(self, report: EpochReport) -> float | None:
        """Extrapolate the pace since the first report of this process."""
        assert self._first is not None
        covered = report.done - self._first.done
        return (report.seconds - self._first.seconds) * (1.0 - report.done) / covered if covered > 0 else None

    def _scalars(self, report: EpochReport, width: int, rows: int) -> list[Any]:
        """The main scalars, the task's terms, then the other scalars, in at most ``rows`` lines."""
        from rich.text import Text

        scalars = {**report.scalars, **report.terms}
        order = [*_LABELS, *report.terms, *report.scalars]
        shown = [name for name in dict.fromkeys(order) if name in scalars]
        shown = [name for name in shown if name not in _SETTINGS or name in self._changed]
        labels = _labels(shown)
        if not shown or rows < 1:
            return []
        widest = max(map(len, labels.values()))
        for limit in _NAME_WIDTHS:
            columns = min(widest + 1 if widest > _NAME_WIDTHS[-1] else _NAME_WIDTHS[-1], limit)
            room = rows * _per_row(width, columns + _VALUE_WIDTH)
            if room >= len(shown):
                break
        names = shown if room >= len(shown) else shown[: room - 1]
        cells = [
            Text.assemble((_cut(labels[name], columns), "dim"), f"{_small(scalars[name]):>{_VALUE_WIDTH}}")
            for name in names
        ]
        if len(names) < len(shown):
            cells.append(Text(f"+{len(shown) - len(names)} more", style="dim"))
        return _columns(cells, width, columns + _VALUE_WIDTH)

    def _head(self, report: EpochReport, width: int, rows: int) -> list[Any]:
        """Return, best and length, next to the curve of the return."""
        from rich.text import Text

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
        curve = _curve(self._rewards, columns, rows)
        return [Text.assemble(label, "    ", line) for label, line in zip(left, curve, strict=True)]


def _speed(report: EpochReport, width: int) -> list[Any]:
    """Frames per second, total and of the three parts, with each part's share of the time."""
    from rich.text import Text

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


def _labels(names: Iterable[str]) -> dict[str, str]:
    """The labels of scalars: the last part of the name where it is unique."""
    last = {name: name.rpartition("/")[2] for name in names}
    count = Counter(last.values())
    return {
        name: _LABELS.get(name, (short if count[short] == 1 else name).replace("_", " "))
        for name, short in last.items()
    }


def _columns(cells: list[Any], width: int, cell: int) -> list[Any]:
    """Arrange ``cells`` in as many columns of ``cell`` characters as fit."""
    from rich.text import Text

    for text in cells:
        text.pad_right(max(0, cell - text.cell_len))
    count = _per_row(width, cell)
    return [Text("    ").join(cells[start : start + count]) for start in range(0, len(cells), count)]


def _per_row(width: int, cell: int) -> int:
    return max(1, (width + 4) // (cell + 4))


def _cut(name: str, columns: int) -> str:
    """Truncate or pad ``name`` to ``columns`` characters."""
    return f"{name if len(name) <= columns else name[: columns - 1] + '…':<{columns}}"


def _progress(report: EpochReport, width: int, seconds_left: float | None) -> list[Any]:
    """Progress to the limits and the time left."""
    from rich.text import Text

    limits = []
    if report.max_epochs > 0:
        limits.append(f"epoch {report.epoch:,} of {report.max_epochs:,}")
    if report.max_frames > 0:
        limits.append(f"frame {_count(report.frame)} of {_count(report.max_frames)}")
    if not limits:
        return [Text("no limit set: Ctrl-C stops, with a checkpoint", style="dim")]
    left = f"{_duration(seconds_left)} left" if seconds_left is not None else ""
    label = Text(f"{report.done:.0%}", style="bold")
    middle = f"   {' · '.join(limits)}"
    if label.cell_len + len(middle) + 2 + len(left) <= width:
        label = Text.assemble(label, (middle, "dim"))
    label = Text.assemble(label, " " * max(2, width - label.cell_len - len(left)), (left, "bold"))
    full = round(width * report.done)
    return [Text.assemble(("━" * full, "#4ade80"), ("━" * (width - full), "grey27")), label]


def _curve(values: list[float], width: int, rows: int) -> list[Any]:
    """Draw ``values`` in ``rows`` lines of ``width`` columns, with their range on the right.

    With more values than columns, a column shows a mean.
    """
    from rich.text import Text

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
