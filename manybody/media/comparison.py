"""The picture of ``manybody compare``: one line with a band for each group of runs that differ in their seed alone."""

import itertools
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

from manybody.media.learning_curve import (
    GREY,
    INK,
    PALETTE,
    RETURN,
    STYLE,
    Metrics,
    band,
    line,
    save_figure,
    series,
    si,
)


def plot_groups(groups: Mapping[str, Sequence[Metrics]], path: str | Path, threshold: float | None = None) -> Path:
    """Draw mean returns over frames: each group's mean as a line, and a band from its lowest to its highest run.

    Args:
        groups: what the legend says, and the metrics of the group's runs.
        path: the picture to write; its suffix (``.png``, ``.pdf``, ``.svg``) chooses the format.
        threshold: a return that is marked.

    Returns:
        ``path``.

    Raises:
        ImportError: matplotlib is missing; ``pip install 'manybody[media]'`` brings it.
    """
    # The object interface alone: pyplot would choose a display and keep global state.
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

    with rc_context(STYLE):
        figure = Figure(figsize=(9, 5), dpi=150, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        axes.set_title("Mean return per episode", fontsize=10, color=INK)
        axes.set_xlabel("environment frames")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: si(value)))
        for (label, runs), color in zip(groups.items(), itertools.cycle(PALETTE)):
            several = {str(number): run for number, run in enumerate(runs)}
            grid, low, mean, high = band(several, RETURN)
            if len(runs) == 1:
                grid, mean = series(runs[0], RETURN)
            if not len(grid):
                continue
            seeds = f" ({len(runs)} runs)" if len(runs) > 1 else ""
            if len(runs) > 1:
                axes.fill_between(grid, low, high, color=color, alpha=0.2, linewidth=0)
            line(axes, grid, mean, color, width=1.8, label=f"{textwrap.shorten(label, 110)}{seeds}")
        if not axes.lines:
            axes.text(0.5, 0.5, "no episode has ended yet", transform=axes.transAxes, ha="center", color=GREY)
        else:
            figure.legend(loc="outside lower left", ncols=1)
            if threshold is not None:
                axes.axhline(threshold, color=GREY, linewidth=0.8, linestyle="--")
        axes.set_xlim(left=0)
        return save_figure(figure, path)
