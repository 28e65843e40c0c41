"""``manybody compare``: a table of the differing settings, the returns and the times of runs, and one picture."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from manybody.cli.exit_codes import exit_codes
from manybody.config import ConfigError, Problem
from manybody.config.errors import Problems
from manybody.config.files import expanded
from manybody.config.tables import table
from manybody.engine.console import say, warn
from manybody.engine.run_folder import RunFolder, RunFolderError
from manybody.launch.overrides import raw_values
from manybody.launch.saved_run import load_saved
from manybody.media.learning_curve import RETURN, Metrics, plot_groups, read_metrics, series

NAMES = ("name", "full_experiment_name", "train_dir", "load_path", "load_checkpoint")
"""Settings that name a run and its files and have no effect on training."""
SEED = "seed"
MOST_COLUMNS = 4
"""Maximum number of differing settings in the table and the legend."""


@dataclass
class Compared:
    """A run to compare."""

    folder: Path
    settings: dict[str, object]
    """Values by key path: ``params``, the task's section and the task's name."""
    metrics: Metrics
    differing: dict[str, str] = field(default_factory=dict)
    """The settings, except the seed, in which the compared runs differ, by short name."""

    @property
    def returns(self) -> np.ndarray:
        """Mean returns ``(points,)`` of the epochs that have one."""
        return series(self.metrics, RETURN)[1]

    @property
    def best(self) -> float:
        """The highest mean return; -inf before the first episode ended."""
        return float(self.returns.max(initial=-np.inf))

    def reaches(self, threshold: float) -> tuple[float, float] | None:
        """Return frames and seconds at which the mean return reached ``threshold``; None if it never did."""
        frames, returns = series(self.metrics, RETURN)
        above = frames[returns >= threshold]
        if not len(above):
            return None
        clock_frames, clock = series(self.metrics, "time")
        return float(above[0]), float(np.interp(above[0], clock_frames, clock)) if len(clock) else np.nan


def compare(runs: Sequence[str], threshold: float | None = None, picture: str | Path | None = None) -> Path | None:
    """Print a table of runs and draw their returns.

    Args:
        runs: run folders, or folders of sweeps, which hold several.
        threshold: a return; the table shows when each run reached it. None: the highest that all of them reached.
        picture: the file to draw; None: ``compare.png`` in the folder that holds all runs.

    Returns:
        The picture, or None if it could not be drawn (a warning says why).

    Raises:
        ConfigError: a path that holds no run.
    """
    compared = [_read(folder) for path in runs for folder in run_folders(path)]
    _set_differing(compared)
    reached = [run.best for run in compared if run.best > -np.inf]
    if threshold is None and reached:
        threshold = min(reached)
    say(results(compared, threshold))
    parent = Path(os.path.commonpath([run.folder.parent for run in compared]))
    try:
        drawn = plot_groups(_groups(compared), picture or parent / "compare.png", threshold)
    except (ImportError, OSError, ValueError) as error:
        warn(f"no picture: {error}")
        return None
    say(f"\npicture: {drawn}")
    return drawn


def _groups(runs: Sequence[Compared]) -> dict[str, list[Metrics]]:
    """Group the metrics of runs that differ only in their seed, by label in the legend."""
    groups: dict[tuple[tuple[str, str], ...], list[Compared]] = {}
    for run in runs:
        groups.setdefault(tuple(run.differing.items()), []).append(run)
    labels = [", ".join(f"{key}={value}" for key, value in kept[:MOST_COLUMNS]) or "all runs" for kept in groups]
    return {
        label if labels.count(label) == 1 else f"{same[0].folder.name}: {label}": [run.metrics for run in same]
        for label, same in zip(labels, groups.values(), strict=True)
    }


def run_folders(path: str | Path) -> list[Path]:
    """Return the run that ``path`` is, or the runs in it.

    Raises:
        ConfigError: there is none.
    """
    path = Path(expanded(path))
    inside = [path] if (path / "metrics.jsonl").is_file() else sorted(p.parent for p in path.glob("*/metrics.jsonl"))
    if not inside:
        try:
            RunFolder.open(path)
            message = f"{path}: no metrics.jsonl, so nothing was trained here yet"
        except RunFolderError:
            message = f"got {str(path)!r}; expected a run folder, or a folder that contains runs"
        raise ConfigError([Problem("compare", message)])
    return [folder.absolute() for folder in inside]


def results(runs: Sequence[Compared], threshold: float | None) -> str:
    """Return the table, the run with the best return first."""
    every = list(dict.fromkeys(key for run in runs for key in run.differing))
    shown = every[:MOST_COLUMNS]
    seeds = len({str(run.settings.get(SEED)) for run in runs}) > 1
    columns = ["run", *shown, *(["seed"] if seeds else []), "best", "last", "frames", "time"]
    columns += [] if threshold is None else [f"time to {threshold:,.1f}", "frames to it"]
    rows = []
    for run in sorted(runs, key=lambda run: -run.best):
        last = run.returns[-1] if len(run.returns) else -np.inf
        frames, clock = (run.metrics[key][-1] if len(run.metrics.get(key, ())) else np.nan for key in ("frame", "time"))
        row = [run.folder.name, *(run.differing.get(key, "") for key in shown)]
        row += [str(run.settings.get(SEED))] if seeds else []
        row += [*("none" if x == -np.inf else f"{x:,.1f}" for x in (run.best, last))]
        row += [f"{np.nan_to_num(frames):,.0f}", _minutes(clock)]
        if threshold is not None:
            at = run.reaches(threshold)
            row += ["never", "never"] if at is None else [_minutes(at[1]), f"{at[0]:,.0f}"]
        rows.append(row)
    text = table("", columns, rows, numbers=True)
    return f"{text}\nalso different: {', '.join(every[MOST_COLUMNS:])}" if len(every) > MOST_COLUMNS else text


def _read(folder: Path) -> Compared:
    cfg = load_saved(folder)
    flat = dict(_flat({"params": cfg.settings, "task": cfg.content.get("task") or {}}))
    names = {f"{section}.{key}" for key in NAMES for section in ("params", "params.config")}
    flat = {key: value for key, value in flat.items() if key not in names}
    flat[SEED] = flat.pop("params.seed", None)
    flat["task"] = cfg.content.get("task_name") or flat.get("params.config.env_name")
    try:
        return Compared(folder, flat, read_metrics(folder))
    except (OSError, ValueError) as error:
        raise ConfigError([Problem("compare", str(error))]) from None


def _flat(tree: Mapping[str, object], path: str = "") -> Iterable[tuple[str, object]]:
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
    last = [key.rpartition(".")[2] for key in patterns.values()]
    most_first = sorted(patterns.items(), key=lambda item: (item[1] != "task", -len(set(item[0]))))
    for values, key in most_first:
        short = key.rpartition(".")[2]
        for run, value in zip(runs, values, strict=True):
            run.differing[short if last.count(short) == 1 else key] = value


def _minutes(seconds: float) -> str:
    return "unknown" if np.isnan(seconds) else f"{int(seconds // 60)}:{int(seconds % 60):02d}"


def main(arguments: Sequence[str]) -> Path | None:
    """Run ``manybody compare RUN RUN … [threshold=400] [picture=out.png]``; exit with code 2 if a path has no run."""
    settings = [text for text in arguments if "=" in text and not Path(text).exists()]
    runs = [text for text in arguments if text not in settings]
    with exit_codes():
        values = raw_values(settings)
        unknown = values.keys() - {"threshold", "picture"}
        problems = Problems(
            Problem(key, "unknown key; expected threshold=<return> or picture=<file>") for key in unknown
        )
        threshold = None
        try:
            threshold = float(values["threshold"]) if "threshold" in values else None
        except ValueError:
            problems.append(Problem("threshold", f"got {values['threshold']!r}; expected a number"))
        if not runs:
            problems.append(Problem("compare", "expected run folders: manybody compare runs/a runs/b"))
        problems.refuse()
        return compare(runs, threshold, values.get("picture"))
