"""``manybody compare``: the settings in which runs differ, what they reached and how fast, and one picture of all."""

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from manybody.config import ConfigError, Problem
from manybody.config.files import expanded
from manybody.engine.console import say, warn
from manybody.engine.run_folder import RunFolder, RunFolderError
from manybody.launch.overrides import raw_values
from manybody.launch.saved_run import load_saved, settings_of
from manybody.media.learning_curve import RETURN, Metrics, plot_groups, read_metrics, series

OWN = ("name", "full_experiment_name", "train_dir", "load_path", "load_checkpoint")
"""Settings that say how a run is called, not what it trains."""
SEED = "seed"
MOST_COLUMNS = 4
"""Differing settings that the table and the legend show."""


@dataclass
class Compared:
    """One run, as ``manybody compare`` reads it."""

    folder: Path
    settings: dict[str, Any]
    """Key path to value: ``params``, the task's section and the task's name."""
    metrics: Metrics
    differing: dict[str, Any] = field(default_factory=dict)
    """Of the settings, those in which the compared runs differ, by their short names; without the seed."""

    @property
    def returns(self) -> np.ndarray:
        """Mean returns ``(points,)``, where episodes had ended."""
        return series(self.metrics, RETURN)[1]

    @property
    def best(self) -> float:
        """The highest mean return; -inf before the first episode ended."""
        return float(self.returns.max(initial=-np.inf))

    def reaches(self, threshold: float) -> tuple[float, float] | None:
        """Frames and seconds at which the mean return first was ``threshold``; None: it never was."""
        frames, returns = series(self.metrics, RETURN)
        above = np.flatnonzero(returns >= threshold)
        if not len(above):
            return None
        clock_frames, clock = series(self.metrics, "time")
        at = float(frames[above[0]])
        return at, float(np.interp(at, clock_frames, clock)) if len(clock) else float("nan")


def compare(runs: Sequence[str], threshold: float | None = None, picture: str | Path | None = None) -> Path | None:
    """Print a table of runs and draw their returns.

    Args:
        runs: run folders, or folders of sweeps, which hold several.
        threshold: a return; the table says when each run reached it. None: the highest that all of them reached.
        picture: the file to draw; None: ``compare.png`` in the folder that holds all runs.

    Returns:
        The picture, or None when it could not be drawn (which was said).

    Raises:
        ConfigError: a path that holds no run.
    """
    compared = [_read(folder) for path in runs for folder in run_folders(path)]
    _set_differing(compared)
    reached = [run.best for run in compared if run.best > -np.inf]
    if threshold is None and reached:
        threshold = min(reached)
    for line in table(compared, threshold):
        say(line)
    parent = Path(_common([run.folder.parent for run in compared]))
    try:
        drawn = plot_groups(_groups(compared), picture or parent / "compare.png", threshold)
    except (ImportError, OSError, ValueError) as error:
        warn(f"no picture: {error}")
        return None
    say(f"\npicture: {drawn}")
    return drawn


def _groups(runs: Sequence[Compared]) -> dict[str, list[Metrics]]:
    """The metrics of runs that differ in their seed alone, by what a legend says of them."""
    groups: dict[tuple[Any, ...], list[Compared]] = {}
    for run in runs:
        groups.setdefault(tuple(run.differing.items()), []).append(run)
    labels = [", ".join(f"{key}={value}" for key, value in kept[:MOST_COLUMNS]) or "all runs" for kept in groups]
    return {
        label if labels.count(label) == 1 else f"{same[0].folder.name}: {label}": [run.metrics for run in same]
        for label, same in zip(labels, groups.values(), strict=True)
    }


def run_folders(path: str | Path) -> list[Path]:
    """The run that ``path`` is, or the runs in it.

    Raises:
        ConfigError: there is none.
    """
    path = Path(expanded(path))
    inside = [path] if (path / "metrics.jsonl").is_file() else sorted(p.parent for p in path.glob("*/metrics.jsonl"))
    if not inside:
        try:
            RunFolder.open(path)
            what = f"{path}: no metrics.jsonl, so nothing was trained here yet"
        except RunFolderError:
            what = f"got {str(path)!r}; expected a run folder, or a folder that holds runs"
        raise ConfigError([Problem("compare", what)])
    return [folder.absolute() for folder in inside]


def table(runs: Sequence[Compared], threshold: float | None) -> list[str]:
    """The lines of the table, the run with the best return first."""
    every = list(dict.fromkeys(key for run in runs for key in run.differing))
    keys = every[:MOST_COLUMNS]
    seeds = len({str(run.settings.get(SEED)) for run in runs}) > 1
    heading = ["run", *keys, *(["seed"] if seeds else []), "best", "last", "frames", "time"]
    heading += [] if threshold is None else [f"time to {threshold:,.1f}", "frames to it"]
    rows = []
    for run in sorted(runs, key=lambda run: -run.best):
        last = run.returns[-1] if len(run.returns) else -np.inf
        frames, clock = (run.metrics.get(key, np.empty(0)) for key in ("frame", "time"))
        row = [run.folder.name, *(str(run.differing.get(key, "")) for key in keys)]
        row += [str(run.settings.get(SEED))] if seeds else []
        row += [
            _number(run.best),
            _number(last),
            _count(frames),
            _minutes(float(clock[-1]) if len(clock) else None),
        ]
        if threshold is not None:
            at = run.reaches(threshold)
            row += ["never", "never"] if at is None else [_minutes(at[1]), f"{at[0]:,.0f}"]
        rows.append(row)
    widths = [max(len(row[i]) for row in [heading, *rows]) for i in range(len(heading))]
    aligned = []
    for row in [heading, *rows]:
        padded = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        aligned.append("  ".join([row[0].ljust(widths[0]), *padded[1:]]))
    more = [f"also different: {', '.join(every[MOST_COLUMNS:])}"] if len(every) > MOST_COLUMNS else []
    return [aligned[0], "-" * len(aligned[0]), *aligned[1:], *more]


def _read(folder: Path) -> Compared:
    cfg = load_saved(folder)
    params = settings_of(cfg)
    flat = dict(_flat({"params": params, "task": cfg.get("task") or {}}))
    own = {f"params.config.{key}" for key in OWN} | {f"params.{key}" for key in OWN}
    flat = {key: value for key, value in flat.items() if key not in own}
    flat[SEED] = flat.pop("params.seed", None)
    flat["task"] = cfg.get("task_name") or flat.get("params.config.env_name")
    try:
        return Compared(folder, flat, read_metrics(folder))
    except (OSError, ValueError) as error:
        raise ConfigError([Problem("compare", str(error))]) from None


def _flat(tree: Mapping[str, Any], path: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value


def _set_differing(runs: Sequence[Compared]) -> None:
    """Find the settings in which the runs differ, the task and those with the most values first.

    Of settings that always differ together, one counts.
    """
    keys = dict.fromkeys(key for run in runs for key in run.settings if key != SEED)
    patterns: dict[tuple[str, ...], str] = {}
    for key in sorted(keys, key=lambda key: (key != "task", key.count("."))):
        values = tuple(str(run.settings.get(key, "not set")) for run in runs)
        if len(set(values)) > 1:
            patterns.setdefault(values, key)
    several = list(patterns.values())
    most_first = sorted(patterns.items(), key=lambda item: (item[1] != "task", -len(set(item[0]))))
    for number, run in enumerate(runs):
        run.differing = {_short(key, several): values[number] for values, key in most_first}


def _short(key: str, keys: Sequence[str]) -> str:
    """The last part of ``key``, or the whole where another key ends so too."""
    last = key.rpartition(".")[2]
    return last if sum(other.rpartition(".")[2] == last for other in keys) == 1 else key


def _common(folders: Sequence[Path]) -> str:
    return os.path.commonpath([str(folder) for folder in folders])


def _number(value: float) -> str:
    return "none" if value == -np.inf else f"{value:,.1f}"


def _count(frames: np.ndarray) -> str:
    return f"{frames[-1]:,.0f}" if len(frames) else "0"


def _minutes(seconds: float | None) -> str:
    if seconds is None or seconds != seconds:
        return "unknown"
    return f"{int(seconds // 60)}:{int(seconds % 60):02d}"


def main(texts: Sequence[str] | None = None) -> Any:
    """``manybody compare RUN RUN … [threshold=400] [picture=out.png]``. Exits with 2 when a path holds no run."""
    from manybody.cli.exit_codes import exit_codes

    texts = list(sys.argv[1:] if texts is None else texts)
    with exit_codes():
        settings = [text for text in texts if "=" in text and not Path(text).exists()]
        values = raw_values(settings)
        unknown = values.keys() - {"threshold", "picture"}
        problems = [Problem(key, "unknown key; expected threshold=<return> or picture=<file>") for key in unknown]
        runs = [text for text in texts if text not in settings]
        threshold = values.get("threshold")
        try:
            number = None if threshold is None else float(threshold)
        except ValueError:
            problems.append(Problem("threshold", f"got {threshold!r}; expected a number"))
        if not runs:
            problems.append(Problem("compare", "expected run folders: manybody compare runs/a runs/b"))
        if problems:
            raise ConfigError(problems)
        return compare(runs, number, values.get("picture"))
