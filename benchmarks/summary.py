"""Summarise runs from their metrics.jsonl: when they reached a return, and their returns at certain frames.

    python benchmarks/summary.py runs/Ant_1 runs/Ant_2 runs/Ant_3 --reward 3000

The table has one row per run, and one with mean, lowest and highest value. Seconds start with the first epoch; add the
time that benchmarks/startup.py measures for the time since the command. Returns are the logged means of the last 100
finished episodes. A mark counts as reached at 99 % of its frames: 500 epochs of Ant are 32.8 M frames, not 33 M.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from recording import MEMORY, mean_and_range, table

from manybody.media.learning_curve import RETURN, read_metrics

MARKS = (9.4e6, 16e6, 33e6)
"""Frames for which RL Games' returns on a comparable Ant are known."""
NEARLY = 0.99


@dataclass(frozen=True)
class Summary:
    """The results of one run; NaN for values that were not reached or not recorded."""

    name: str
    seed: str
    seconds_to_reward: float
    frames_to_reward: float
    at_marks: tuple[float, ...]
    final: float
    frames: float
    memory: float
    """MiB."""


def summarise(run: Path, reward: float, marks: tuple[float, ...]) -> Summary:
    """Read a run folder or its metrics file.

    Raises:
        FileNotFoundError, ValueError: the metrics are missing or damaged.
        SystemExit: no episode ended in the run.
    """
    metrics = read_metrics(run)
    known = np.isfinite(metrics.get(RETURN, np.empty(0)))
    if not known.any():
        raise SystemExit(f"{run}: no episode has ended, so there is no return to report")
    frames, seconds, returns = (metrics[key][known] for key in ("frame", "time", RETURN))
    reached = np.flatnonzero(returns >= reward)
    first = reached[0] if len(reached) else None
    return Summary(
        name=run.resolve().name if run.is_dir() else run.resolve().parent.name,
        seed=_seed(run),
        seconds_to_reward=np.nan if first is None else seconds[first],
        frames_to_reward=np.nan if first is None else frames[first],
        at_marks=tuple(
            np.interp(mark, frames, returns) if frames[0] <= mark <= frames[-1] / NEARLY else np.nan for mark in marks
        ),
        final=returns[-1],
        frames=frames[-1],
        memory=metrics[MEMORY][-1] if MEMORY in metrics else np.nan,
    )


def _seed(run: Path) -> str:
    file = (run if run.is_dir() else run.parent) / "config.yaml"
    config = yaml.safe_load(file.read_text()) if file.exists() else {}
    return str(config.get("train", config).get("params", {}).get("seed", "?"))


def report(runs: list[Summary], reward: float, marks: tuple[float, ...]) -> str:
    """Return the table."""
    columns = ["run", "seed", f"s to {reward:,.0f}", f"M frames to {reward:,.0f}"]
    columns += [f"at {mark / 1e6:g} M" for mark in marks] + ["final", "M frames"]
    numbers = [
        [
            run.seconds_to_reward,
            run.frames_to_reward / 1e6,
            *run.at_marks,
            run.final,
            run.frames / 1e6,
            run.memory,
        ]
        for run in runs
    ]
    digits = [0, 2, *[0] * len(marks), 0, 1, 0]
    if np.isfinite(np.array(numbers)[:, -1]).any():
        columns.append("peak MiB")
    else:
        numbers = [row[:-1] for row in numbers]
    rows = [[run.name, run.seed, *map(_cell, row, digits)] for run, row in zip(runs, numbers, strict=True)]
    if len(runs) > 1:
        summaries = [
            _mean_and_range(column, places) for column, places in zip(zip(*numbers, strict=True), digits, strict=False)
        ]
        rows.append(["mean (lowest .. highest)", "", *summaries])
    return table(columns, rows)


def _cell(value: float, places: int) -> str:
    return f"{value:,.{places}f}" if np.isfinite(value) else "-"


def _mean_and_range(values: tuple[float, ...], places: int) -> str:
    """Return mean, lowest and highest value; only the number of runs if some did not reach the value."""
    if not np.isfinite(values).all():
        return f"{np.isfinite(values).sum()} of {len(values)} runs"
    return mean_and_range(values, places)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, help="run folders, or metrics.jsonl files")
    parser.add_argument("--reward", type=float, default=3000.0)
    parser.add_argument("--marks", type=float, nargs="*", default=MARKS, help="frames")
    options = parser.parse_args()
    marks = tuple(options.marks)
    print(report([summarise(run, options.reward, marks) for run in options.runs], options.reward, marks))


if __name__ == "__main__":
    main()
