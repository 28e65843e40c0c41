"""``--multirun``: one training after the other, in folders named by what differs, and a table at the end."""

import re
import shlex
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from manybody.config import ConfigError, Params, Problem
from manybody.engine.console import say, warn
from manybody.launch.hydra_tree import collecting
from manybody.launch.overrides import Word, as_typed, given, jobs, read
from manybody.runner import TrainingStopped

TRAIN_DIRS = ("train_dir", "params.config.train_dir", "train.params.config.train_dir")
"""Keys that say where run folders lie."""
LONGEST = 120
"""Characters of a run's name; RunFolder allows 160 bytes."""


class Prepared(NamedTuple):
    """What one command line asks for, checked and ready to start."""

    start: Callable[[], Any]
    """Trains, and returns the agent; or plays."""
    params: Params | None = None
    """The validated settings of a training."""


def run_sweep(texts: Sequence[str], prepare: Callable[[Sequence[str]], Prepared], label: str = "Ant") -> list[Any]:
    """Check every job, then train one after the other and print a table of all.

    Args:
        texts: the command line, with several values for some keys.
        prepare: checks the command line of one job.
        label: how run folders begin where no ``task`` is named.

    Returns:
        The agents.

    Raises:
        ConfigError: everything that is wrong with any job; nothing was started.
    """
    sweep = read(texts, several=True)
    problems = [*sweep.problems, *_experiment_problems(sweep.words)]
    prepared: dict[str, Prepared] = {}
    for overrides in _in_folders(sweep.words, label):  # every job is checked before the first one starts
        with collecting(problems):
            name = given(overrides).get("experiment") or " ".join(overrides)
            prepared[name] = prepare(overrides)
    if problems:
        raise ConfigError(dict.fromkeys(problems))
    _notice_schedule(sweep.words, prepared.values())
    agents: list[Any] = []
    number = 0
    try:
        for number, (name, job) in enumerate(prepared.items(), 1):
            say(f"job {number} of {len(prepared)}: {name}")
            agents.append(job.start())
    except TrainingStopped as stop:
        agents.append(stop.agent)
        raise
    finally:  # also where one of them was stopped or failed
        _print_table(list(zip(prepared, agents, strict=False)))
        left = list(prepared)[number:]
        if left:
            say(f"\nnot started:     {', '.join(left)}")
    return agents


def _experiment_problems(words: Sequence[Word]) -> list[Problem]:
    """A sweep has one name, its parent folder's; several names are for jobs that differ in nothing else."""
    several = [word.key for word in words if word.several]
    if "experiment" not in several or several == ["experiment"]:
        return []
    value = next(word.value for word in words if word.key == "experiment")
    what = "expected one name, which the folder of all runs gets; each run is named by what differs"
    return [Problem("experiment", f"got {value!r}; {what}")]


def _in_folders(words: Sequence[Word], label: str) -> list[list[str]]:
    """The overrides of each job, with a run folder that is named by what differs, below one for the whole sweep.

    Jobs that play, that resume a run, or that have names of their own are left as they are.
    """
    several = [word.key for word in words if word.several]
    plain = {word.key: word.value for word in words if not word.several}
    combinations = jobs(words)
    if {"test", "checkpoint"} & {word.key for word in words} or "experiment" in several or len(combinations) < 2:
        return combinations
    label = str(plain.get("task", label)).rpartition(":")[2]
    stem = "sweep" if "task" in several else f"{label}_sweep"
    parent = str(plain.get("experiment") or f"{stem}_{time.strftime('%d-%H-%M-%S')}")
    base = next((str(plain[key]) for key in TRAIN_DIRS if key in plain), "runs")
    typed = {word.key: as_typed(word) for word in words if word.several}
    short = _short_names(key for key in several if key != "task")
    names = []
    for overrides in combinations:
        values = given(overrides)
        task = values.get("task", label).rpartition(":")[2]
        parts = [f"{short[key]}={typed[key].get(values[key], values[key])}" for key in several if key != "task"]
        names.append(_file_name("_".join([task, *parts])))
    if len(set(names)) < len(names):  # what differs is lost in characters that a file name cannot hold, or cut off
        names = [f"{name}_{number}" for number, name in enumerate(names, 1)]
    placed = []
    for name, overrides in zip(names, combinations, strict=True):
        kept = [text for text in overrides if next(iter(given([text]))) not in ("experiment", *TRAIN_DIRS)]
        placed.append([*kept, f"experiment={name}", f"train_dir={Path(base) / parent}"])
    return placed


def _short_names(keys: Iterable[str]) -> dict[str, str]:
    """Each key's last part, or as many of the last parts as it takes to tell the keys apart."""
    keys = list(keys)
    short = {}
    for key in keys:
        parts = key.split(".")
        for length in range(1, len(parts) + 1):
            short[key] = ".".join(parts[-length:])
            if not any(other != key and f".{other}".endswith(f".{short[key]}") for other in keys):
                break
    return short


def _file_name(text: str) -> str:
    """``text`` without what a file name or a quoted override cannot hold."""
    return re.sub(r"[^\w.,=+\-@]", "-", text)[:LONGEST].rstrip(".")


def _notice_schedule(words: Sequence[Word], jobs: Iterable[Prepared]) -> None:
    """Warn where a swept learning rate is only the start of an adaptive schedule."""
    swept = [word.key for word in words if word.several and word.key.rpartition(".")[2] == "learning_rate"]
    adaptive = any(job.params and job.params.config.get("lr_schedule") == "adaptive" for job in jobs)
    if swept and adaptive:
        key = swept[0].replace("learning_rate", "lr_schedule")
        warn(
            f"{swept[0]}: lr_schedule is 'adaptive', which changes the rate with every update; the runs will differ "
            f"little. Add {key}=constant to compare rates"
        )


def _print_table(runs: Sequence[tuple[str, Any]]) -> None:
    """Name, best and last return, frames and minutes of each run, the best first."""
    if not runs:
        return
    rows = [
        (name, agent.run.best_seen, agent.run.mean_reward, agent.frame, agent.run.elapsed, agent.run.folder)
        for name, agent in runs
    ]
    width = max(len("run"), *(len(row[0]) for row in rows))
    say(f"\n{'run':<{width}} {'best return':>12} {'last return':>12} {'frames':>12} {'minutes':>8}")
    for name, best, last, frames, seconds, _ in sorted(rows, key=lambda row: -row[1]):
        say(f"{name:<{width}} {_number(best):>12} {_number(last):>12} {frames:>12,} {seconds / 60:>8.1f}")
    folders = {folder.path.parent for *_, folder in rows if folder is not None}
    if len(folders) == 1 and len(rows) > 1:
        say(f"\ncompare them:    manybody compare {shlex.quote(str(next(iter(folders))))}")


def _number(value: float) -> str:
    return "none" if value == float("-inf") else f"{value:,.1f}"
