"""Learning curves: a run's ``metrics.jsonl`` as arrays, and as a picture for a paper or a README."""

import itertools
import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from manybody.config.files import expanded

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RETURN, LENGTH = "rewards/step", "episode_lengths/step"
FPS, KL, LEARNING_RATE = "performance/step_inference_rl_update_fps", "info/kl", "info/last_lr"
ACTOR_LOSS, CRITIC_LOSS = "losses/a_loss", "losses/c_loss"

# Okabe and Ito's palette, which people with any form of colour blindness can tell apart.
# Source: https://jfly.uni-koeln.de/color/
BLUE, ORANGE, GREEN, RED, PURPLE = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7"
PALETTE = (BLUE, ORANGE, GREEN, RED, PURPLE, "#56B4E9", "#F0E442")
GREY, INK = "#5B6470", "#1D232B"

STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#9AA3AD",
    "axes.labelcolor": GREY,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E6E9ED",
    "grid.linewidth": 0.8,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.6,
    "lines.solid_capstyle": "round",
}

Metrics = dict[str, np.ndarray]
"""One float64 array ``(epochs,)`` for each key of the file."""


def read_metrics(path: str | Path) -> Metrics:
    """Read a run's ``metrics.jsonl``.

    Args:
        path: the file, or the run folder that holds it.

    Returns:
        One array ``(epochs,)`` for each key of any line; NaN where a line lacks the key or holds null. A last
        line that is still being written is left out.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a line before the last is not a JSON object; the message names file and line.
    """
    file = Path(expanded(path))
    file = file / "metrics.jsonl" if file.is_dir() else file
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            if number == len(lines):
                break
            raise ValueError(f"{file}:{number}: a JSON object was expected: {error}") from error
        if not isinstance(row, dict):
            raise ValueError(f"{file}:{number}: a JSON object was expected, {type(row).__name__} given")
        rows.append(row)
    keys = dict.fromkeys(key for row in rows for key in row)
    return {key: np.array([_number(row.get(key)) for row in rows], np.float64) for key in keys}


def plot_curve(metrics_file: str | Path | Sequence[str | Path], path: str | Path, title: str | None = None) -> Path:
    """Draw what a run learned: the mean return large, and what explains it beside it.

    Args:
        metrics_file: one ``metrics.jsonl`` (or run folder), or several runs of one experiment with different
            seeds; these are drawn as thin lines under their mean, with a band from the lowest to the highest.
        path: the picture to write; its suffix (``.png``, ``.pdf``, ``.svg``) chooses the format.
        title: heading of the picture.

    Returns:
        ``path``.

    Raises:
        FileNotFoundError: a metrics file is missing.
        ValueError: a metrics file is damaged, or none was given.
        ImportError: matplotlib is missing; ``pip install 'manybody[media]'`` brings it.
    """
    files = [metrics_file] if isinstance(metrics_file, str | Path) else list(metrics_file)
    if not files:
        raise ValueError("plot_curve: no metrics file given; one or more were expected")
    runs = dict(zip(_run_names([Path(file) for file in files]), map(read_metrics, files), strict=True))
    # The object interface alone: pyplot would choose a display and keep global state.
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        figure = Figure(figsize=(10, 5.2), dpi=150, layout="constrained")
        FigureCanvasAgg(figure)
        grid = figure.add_gridspec(4, 2, width_ratios=(1.75, 1))
        main = figure.add_subplot(grid[:, 0])
        small = [figure.add_subplot(grid[i, 1], sharex=main) for i in range(4)]
        _plot_return(main, runs)
        _plot_panel(small[0], runs, LENGTH, "Episode length (steps)", BLUE)
        _plot_panel(small[1], runs, FPS, "Speed (frames/s)", GREEN)
        _plot_panel(small[2], runs, KL, "KL divergence", PURPLE)
        _plot_beside(small[2], runs, LEARNING_RATE, "Learning rate", ORANGE, log=True)
        _plot_panel(small[3], runs, ACTOR_LOSS, "Actor loss", BLUE)
        _plot_beside(small[3], runs, CRITIC_LOSS, "Critic loss", RED)
        main.set_xlim(left=0)
        _clock_axis(main, runs)
        for axes in small[:-1]:
            axes.tick_params(labelbottom=False)
        small[-1].set_xlabel("environment frames")
        if title:
            figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold", color=INK)
        return save_figure(figure, path)


def save_figure(figure: Any, path: str | Path) -> Path:
    """Write a matplotlib figure to ``path``, whole or not at all; returns the path."""
    target = Path(expanded(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.stem}.partial{target.suffix}")
    try:
        figure.savefig(partial)
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)
    return target


def _plot_return(axes: "Axes", runs: dict[str, Metrics]) -> None:
    """The large panel: return against frames."""
    from matplotlib.ticker import FuncFormatter

    several = len(runs) > 1
    axes.set_title("Mean return per episode", fontsize=10, color=INK)
    axes.set_xlabel("environment frames")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: si(value)))
    axes.yaxis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{value:,.0f}" if abs(value) >= 10 else f"{value:g}")
    )
    ended = False
    for (name, run), color in zip(runs.items(), itertools.cycle(PALETTE)):
        frames, returns = series(run, RETURN)
        if not len(returns):
            continue
        ended, best = True, int(returns.argmax())
        label = f"{name} (best {_number_text(returns[best])})"
        line(
            axes,
            frames,
            returns,
            color,
            alpha=0.55 if several else 1.0,
            width=1.0 if several else 2.2,
            label=label,
        )
        if not several:
            axes.plot(
                frames[best],
                returns[best],
                "o",
                color=ORANGE,
                markeredgecolor="white",
                markersize=8,
                zorder=5,
            )
            words = [f"best {_number_text(returns[best])}", f"{si(frames[best])} frames"]
            at, clock = series(run, "time")
            words += [_duration(float(np.interp(frames[best], at, clock)))] if len(at) else []
            axes.set_title(" · ".join(words), loc="right", fontweight="normal", color=GREY)
    if several and ended:
        grid, low, mean, high = band(runs, RETURN)
        axes.fill_between(grid, low, high, color=GREY, alpha=0.15, linewidth=0, label="lowest to highest")
        line(axes, grid, mean, INK, width=2.2, label="mean")
        axes.legend(loc="upper left")
    if not ended:
        axes.text(0.5, 0.5, "no episode has ended yet", transform=axes.transAxes, ha="center", color=GREY)


def _clock_axis(axes: "Axes", runs: dict[str, Metrics]) -> None:
    """Wall-clock time along the top of ``axes``, the mean over the runs."""
    frames, _, clock, _ = band(runs, "time")
    if len(frames) < 2 or not (np.diff(frames) > 0).all() or not (np.diff(clock) > 0).all():
        return
    top = axes.twiny()
    top.set_xlim(axes.get_xlim())
    top.grid(visible=False)
    span = float(clock[-1] - clock[0])
    step = next((seconds for seconds in CLOCK_STEPS if span / seconds <= 6), CLOCK_STEPS[-1])
    ticks = np.arange(math.ceil(clock[0] / step), math.floor(clock[-1] / step) + 1) * step
    top.set_xticks(np.interp(ticks, clock, frames), [_duration(seconds) for seconds in ticks])
    top.tick_params(length=0, pad=1)


CLOCK_STEPS = (
    1,
    2,
    5,
    10,
    20,
    30,
    60,
    120,
    300,
    600,
    1200,
    1800,
    3600,
    7200,
    14400,
    28800,
    86400,
    172800,
    604800,
)
"""Seconds between the marks of the wall clock, the finest that gives at most six marks."""


def _plot_panel(
    axes: "Axes",
    runs: dict[str, Metrics],
    tag: str,
    heading: str,
    color: str,
    side: Literal["left", "right"] = "left",
) -> None:
    """One quantity in a small panel: a line for one run, mean and band for several."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.set_title(heading, loc=side, color=color)
    if axes.get_yscale() == "linear":
        axes.yaxis.set_major_locator(MaxNLocator(3))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: si(value)))
    grid, low, mean, high = band(runs, tag) if len(runs) > 1 else _single(runs, tag)
    if not len(grid):
        axes.text(0.5, 0.5, "no values", transform=axes.transAxes, ha="center", va="center", color=GREY, fontsize=8)
        axes.set_yticks([])
        return
    axes.fill_between(grid, low, high, color=color, alpha=0.2, linewidth=0)
    line(axes, grid, mean, color, width=1.2)


def _plot_beside(
    axes: "Axes", runs: dict[str, Metrics], tag: str, heading: str, color: str, *, log: bool = False
) -> None:
    """A second quantity in the panel ``axes``, on its own scale at the right; nothing where no run has it."""
    values = np.concatenate([series(run, tag)[1] for run in runs.values()])
    if not len(values):
        return
    right = axes.twinx()
    right.set_yscale("log" if log and (values > 0).all() else "linear")
    right.grid(visible=False)
    _plot_panel(right, runs, tag, heading, color, side="right")


def line(
    axes: "Axes",
    x: np.ndarray,
    y: np.ndarray,
    color: str,
    *,
    alpha: float = 1.0,
    width: float = 1.6,
    label: str = "",
) -> None:
    """A line; a single point, which a line would not show, gets a marker."""
    axes.plot(
        x,
        y,
        color=color,
        alpha=alpha,
        linewidth=width,
        label=label or None,
        marker="o" if len(x) == 1 else "",
    )


def series(run: Metrics, tag: str) -> tuple[np.ndarray, np.ndarray]:
    """Frames and values ``(points,)`` where both are known; frames fall back to epochs, then line numbers."""
    values = run.get(tag, np.empty(0))
    x = run.get("frame", run.get("epoch", np.arange(len(values), dtype=np.float64)))
    known = np.isfinite(values) & np.isfinite(x[: len(values)])
    return x[: len(values)][known], values[known]


def band(runs: dict[str, Metrics], tag: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Frames, lowest, mean and highest ``(points,)`` over the runs, where all of them have values."""
    known = [s for s in (series(run, tag) for run in runs.values()) if len(s[0])]
    if not known:
        return (np.empty(0),) * 4
    first, last = max(frames[0] for frames, _ in known), min(frames[-1] for frames, _ in known)
    grid = np.linspace(first, max(first, last), 400)
    table = np.stack([np.interp(grid, frames, values) for frames, values in known])
    return grid, table.min(axis=0), table.mean(axis=0), table.max(axis=0)


def _single(runs: dict[str, Metrics], tag: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """:func:`band` of the only run, at the frames it recorded."""
    frames, values = series(next(iter(runs.values())), tag)
    return frames, values, values, values


def _run_names(files: Sequence[Path]) -> list[str]:
    """What a legend calls the runs: their folders, or whole paths where folders share a name."""
    folders = [(file if file.is_dir() else file.parent).resolve() for file in files]
    names = [folder.name for folder in folders]
    return names if len(set(names)) == len(names) else [str(file) for file in files]


def _number(value: Any) -> float:
    """A JSON value as a float; NaN for null and for what is no number."""
    return float(value) if isinstance(value, int | float) else math.nan


def _number_text(value: float) -> str:
    """A return as a reader wants it: 6,201 or 0.124."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def si(value: float) -> str:
    """A number in few characters: 33.5M, 120k, 4.2, 0.008."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def _duration(seconds: float) -> str:
    """Seconds as people say them: 45 s, 6.1 min, 3.5 h, 2 d."""
    for size, unit in ((86400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= size:
            return f"{round(seconds / size, 1):g} {unit}"
    return f"{round(seconds, 1):g} s"
