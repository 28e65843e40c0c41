"""Learning curves: read ``metrics.jsonl``, draw the curves of one experiment, compare several."""

import itertools
import json
import math
import textwrap
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from manybody.config.errors import shown
from manybody.config.files import expanded, write_whole
from manybody.engine.console import warn
from manybody.engine.run_folder import RunFolder

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RETURN, LENGTH, TIME = "rewards/step", "episode_lengths/step", "time"
FPS, KL, LEARNING_RATE = "performance/step_inference_rl_update_fps", "info/kl", "info/last_lr"
ACTOR_LOSS, CRITIC_LOSS = "losses/a_loss", "losses/c_loss"

# Okabe and Ito's palette, suitable for all forms of colour blindness.
# Source: https://jfly.uni-koeln.de/color/
BLUE, ORANGE, GREEN, RED, PURPLE = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7"
PALETTE = (BLUE, ORANGE, GREEN, RED, PURPLE, "#56B4E9", "#F0E442")
GREY, INK = "#5B6470", "#1D232B"
STYLE: Any = {
    "font.family": "DejaVu Sans",
    **dict.fromkeys(("font.size", "axes.titlesize"), 9),
    **dict.fromkeys(("xtick.labelsize", "ytick.labelsize", "legend.fontsize"), 8),
    **dict.fromkeys(("axes.labelcolor", "xtick.color", "ytick.color"), GREY),
    **dict.fromkeys(("axes.spines.top", "axes.spines.right", "legend.frameon"), False),
    **dict.fromkeys(("axes.grid", "axes.axisbelow"), True),
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.edgecolor": "#9AA3AD",
    "grid.color": "#E6E9ED",
    "grid.linewidth": 0.8,
    "lines.solid_capstyle": "round",
}
CLOCK_STEPS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 28800, 86400, 172800, 604800)
"""Seconds between two ticks of the wall-clock axis; the first with at most six ticks is used."""

Metrics = dict[str, np.ndarray]
"""A float64 array ``(epochs,)`` for each key of a ``metrics.jsonl``."""


def read_metrics(path: str | Path) -> Metrics:
    """Read a run's ``metrics.jsonl``.

    Args:
        path: the file, or the run folder that contains it.

    Returns:
        One array ``(epochs,)`` for each key; NaN if a line lacks the key or has null. An incomplete last line is
        skipped.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: a line before the last is not a JSON object; the message names file and line.
    """
    file = Path(expanded(path))
    file = file / "metrics.jsonl" if file.is_dir() else file
    text = file.read_text(encoding="utf-8", errors="replace")
    lines = [(number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
    rows: list[dict[str, object]] = []
    for number, line in lines:
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            row = None
        if isinstance(row, dict):
            rows.append(row)
        elif number < lines[-1][0]:
            raise ValueError(f"{file}:{number}: got {shown(line)}; expected a JSON object")
    keys = dict.fromkeys(key for row in rows for key in row)
    return {key: np.array([_number(row.get(key)) for row in rows], np.float64) for key in keys}


def series(run: Metrics, tag: str) -> tuple[np.ndarray, np.ndarray]:
    """Return frames and values ``(points,)`` that are finite. Without frames, return epochs or line numbers instead."""
    values = run.get(tag, np.empty(0))
    x = run.get("frame", run.get("epoch", np.arange(len(values), dtype=np.float64)))[: len(values)]
    known = np.isfinite(values) & np.isfinite(x)
    return x[known], values[known]


def band(runs: Collection[Metrics], tag: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return frames, lowest, mean and highest value ``(points,)`` in the range of frames that all runs cover."""
    known = [one for one in (series(run, tag) for run in runs) if len(one[0])]
    if not known:
        return (np.empty(0),) * 4
    if len(runs) == 1:
        frames, values = known[0]
        return frames, values, values, values
    first, last = max(frames[0] for frames, _ in known), min(frames[-1] for frames, _ in known)
    grid = np.linspace(first, max(first, last), 400)
    table = np.stack([np.interp(grid, frames, values) for frames, values in known])
    return grid, table.min(axis=0), table.mean(axis=0), table.max(axis=0)


def draw_curve(folder: RunFolder) -> Path | None:
    """Draw a run's ``curve.png``; warn and return None if that fails."""
    try:
        return plot_curve(folder.metrics_file, folder.curve_file)
    except (ImportError, OSError, ValueError) as error:
        warn(f"no learning curve: {error}")
        return None


def plot_curve(metrics_file: str | Path | Sequence[str | Path], path: str | Path, title: str | None = None) -> Path:
    """Draw the mean return of an experiment, with episode length, speed, KL divergence and losses in small panels.

    Args:
        metrics_file: a ``metrics.jsonl`` or a run folder. Several seeds are drawn as thin lines, with their mean and a
            band from the lowest to the highest.
        path: the picture; its suffix (``.png``, ``.pdf``, ``.svg``) selects the format.
        title: heading of the picture.

    Raises:
        FileNotFoundError: a metrics file is missing.
        ValueError: a metrics file is damaged, or the list is empty.
        ImportError: matplotlib is missing; ``pip install 'manybody[media]'`` installs it.
    """
    files = [metrics_file] if isinstance(metrics_file, str | Path) else list(metrics_file)
    if not files:
        raise ValueError("plot_curve: got no metrics file; expected one or more")
    runs = dict(zip(_run_names([Path(file) for file in files]), map(read_metrics, files), strict=True))
    with _figure(10, 5.2, path) as figure:
        grid = figure.add_gridspec(4, 2, width_ratios=(1.75, 1))
        main = figure.add_subplot(grid[:, 0])
        lengths, speed, step, losses = (figure.add_subplot(grid[i, 1], sharex=main) for i in range(4))
        _plot_return(main, runs)
        metrics = runs.values()
        _plot_panel(lengths, metrics, LENGTH, "Episode length (steps)", BLUE)
        _plot_panel(speed, metrics, FPS, "Speed (frames/s)", GREEN)
        _plot_panel(step, metrics, KL, "KL divergence", PURPLE)
        _plot_panel(step, metrics, LEARNING_RATE, "Learning rate", ORANGE, right=True, log=True)
        _plot_panel(losses, metrics, ACTOR_LOSS, "Actor loss", BLUE)
        _plot_panel(losses, metrics, CRITIC_LOSS, "Critic loss", RED, right=True)
        main.set_xlim(left=0)
        _plot_clock(main, metrics)
        for axes in (lengths, speed, step):
            axes.tick_params(labelbottom=False)
        losses.set_xlabel("environment frames")
        if title:
            figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold", color=INK)
    return Path(expanded(path))


def plot_groups(groups: Mapping[str, Sequence[Metrics]], path: str | Path, threshold: float | None = None) -> Path:
    """Draw the mean return of each group of runs, with a band from its lowest to its highest run.

    Args:
        groups: the metrics of the group's runs by label in the legend.
        path: the picture, as in :func:`plot_curve`.
        threshold: a return at which a dashed line is drawn.

    Raises:
        ImportError: matplotlib is missing; ``pip install 'manybody[media]'`` installs it.
    """
    with _figure(9, 5, path) as figure:
        axes = figure.add_subplot()
        _label_return(axes)
        for (label, runs), color in zip(groups.items(), itertools.cycle(PALETTE)):
            seeds = f" ({len(runs)} runs)" if len(runs) > 1 else ""
            _plot_mean(axes, runs, RETURN, color, 1.8, f"{textwrap.shorten(label, 110)}{seeds}")
        if not axes.lines:
            _note(axes, "no episode has ended yet")
        else:
            figure.legend(loc="outside lower left", ncols=1)
            if threshold is not None:
                axes.axhline(threshold, color=GREY, linewidth=0.8, linestyle="--")
        axes.set_xlim(left=0)
    return Path(expanded(path))


@contextmanager
def _figure(width: float, height: float, path: str | Path) -> Iterator["Figure"]:
    """Yield a figure of :data:`STYLE` and of this size in inches, and write it to ``path``."""
    # pyplot would select a display and have global state.
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
        yield figure
        target = Path(expanded(path))
        target.parent.mkdir(parents=True, exist_ok=True)
        write_whole(target, lambda file: figure.savefig(file, format=target.suffix.removeprefix(".") or "png"))


def _plot_return(axes: "Axes", runs: Mapping[str, Metrics]) -> None:
    """Fill the large panel: return against frames."""
    _label_return(axes)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}" if abs(value) >= 10 else f"{value:g}")
    several = len(runs) > 1
    for (name, run), color in zip(runs.items(), itertools.cycle(PALETTE)):
        frames, returns = series(run, RETURN)
        if not len(returns):
            continue
        best = int(returns.argmax())
        best_text = f"best {returns[best]:,.0f}" if abs(returns[best]) >= 100 else f"best {returns[best]:.3g}"
        alpha, width = (0.55, 1.0) if several else (1.0, 2.2)
        _plot_line(axes, frames, returns, color, width, f"{name} ({best_text})", alpha)
        if not several:
            axes.plot(frames[best], returns[best], "o", color=ORANGE, markeredgecolor="white", markersize=8, zorder=5)
            facts = [best_text, f"{si(frames[best])} frames"]
            clock_frames, clock = series(run, TIME)
            facts += [_duration(float(np.interp(frames[best], clock_frames, clock)))] if len(clock) else []
            axes.set_title(" · ".join(facts), loc="right", fontweight="normal", color=GREY)
    if not axes.lines:
        _note(axes, "no episode has ended yet")
    elif several:
        _plot_mean(axes, runs.values(), RETURN, INK, 2.2, "mean", "lowest to highest")
        axes.legend(loc="upper left")


def _label_return(axes: "Axes") -> None:
    axes.set_title("Mean return per episode", fontsize=10, color=INK)
    axes.set_xlabel("environment frames")
    axes.xaxis.set_major_formatter(si)


def _plot_clock(axes: "Axes", runs: Collection[Metrics]) -> None:
    """Add wall-clock time, the mean over the runs, at the top of ``axes``."""
    frames, _, clock, _ = band(runs, TIME)
    if len(frames) < 2 or not (np.diff(frames) > 0).all() or not (np.diff(clock) > 0).all():
        return
    top = axes.twiny()
    top.set_xlim(axes.get_xlim())
    top.grid(visible=False)
    step = next((seconds for seconds in CLOCK_STEPS if (clock[-1] - clock[0]) / seconds <= 6), CLOCK_STEPS[-1])
    ticks = np.arange(math.ceil(clock[0] / step), math.floor(clock[-1] / step) + 1) * step
    top.set_xticks(np.interp(ticks, clock, frames), [_duration(seconds) for seconds in ticks])
    top.tick_params(length=0, pad=1)


def _plot_panel(
    axes: "Axes", runs: Collection[Metrics], tag: str, heading: str, color: str, right: bool = False, log: bool = False
) -> None:
    """Draw one quantity in a small panel: a line for one run, mean and band for several.

    A second quantity at the ``right`` has its own scale, and is left out if it has no values.
    """
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

    values = np.concatenate([series(run, tag)[1] for run in runs])
    if right:
        if not len(values):
            return
        axes = axes.twinx()
        axes.grid(visible=False)
    axes.set_title(heading, loc="right" if right else "left", color=color)
    ratio = values.max() / values.min() if log and len(values) and values.min() > 0 else 0.0
    axes.set_yscale("log" if ratio else "linear")
    few = LogLocator(subs=(1, 3) if ratio < 100 else (1,), numticks=4) if ratio > 10 else MaxNLocator(3)
    axes.yaxis.set_major_locator(few)
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(si)
    _plot_mean(axes, runs, tag, color, 1.2)
    if not axes.lines:
        _note(axes, "no values", fontsize=8)
        axes.set_yticks([])


def _plot_mean(
    axes: "Axes", runs: Collection[Metrics], tag: str, color: str, width: float, label: str = "", band_label: str = ""
) -> None:
    """Draw the mean of the runs, if they have values, over a band from the lowest to the highest."""
    grid, low, mean, high = band(runs, tag)
    if len(grid):
        axes.fill_between(grid, low, high, color=color, alpha=0.2, linewidth=0, label=band_label or None)
        _plot_line(axes, grid, mean, color, width, label)


def _plot_line(
    axes: "Axes", x: np.ndarray, y: np.ndarray, color: str, width: float, label: str = "", alpha: float = 1.0
) -> None:
    marker = "o" if len(x) == 1 else ""  # a line would not show a single point
    axes.plot(x, y, color=color, alpha=alpha, linewidth=width, label=label or None, marker=marker)


def _note(axes: "Axes", text: str, fontsize: float = 9) -> None:
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=GREY, fontsize=fontsize)


def _run_names(files: Sequence[Path]) -> list[str]:
    """Name runs by their folders, or by whole paths if two folders have the same name."""
    names = [(file if file.is_dir() else file.parent).resolve().name for file in files]
    return names if len(set(names)) == len(names) else [str(file) for file in files]


def _number(value: object) -> float:
    """Convert a JSON value; anything but a number becomes NaN."""
    return float(value) if isinstance(value, int | float) else math.nan


def si(value: float, _: object = None) -> str:
    """Format a number in few characters: 33.5M, 120k, 4.2, 0.008. The second argument is for matplotlib."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def _duration(seconds: float) -> str:
    """Format seconds: 45 s, 6.1 min, 3.5 h, 2 d."""
    for size, unit in ((86400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= size:
            return f"{round(seconds / size, 1):g} {unit}"
    return f"{round(seconds, 1):g} s"
