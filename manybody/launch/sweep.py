"""``--multirun``: runs one training after the other, in folders named by what differs, and prints a table."""

import re
import shlex
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from manybody.algos.base import EnvAlgorithm
from manybody.algos.player import PlayResult
from manybody.config.errors import Problems
from manybody.config.tables import table
from manybody.engine.console import say, warn
from manybody.launch.overrides import Override, parse_overrides, raw_values, sweep_jobs, values_as_typed
from manybody.launch.resolve import ResolvedRun
from manybody.runner import TrainingStopped

TRAIN_DIRS = ("train_dir", "params.config.train_dir", "train.params.config.train_dir")
"""Keys that say where run folders lie."""
LONGEST = 120
"""Characters of a run's name; RunFolder allows 160 bytes."""


class Job(Protocol):
    """A command line, validated and ready to start."""

    @property
    def run(self) -> ResolvedRun:
        """The resolved run."""

    def start(self) -> EnvAlgorithm | PlayResult:
        """Train, and return the agent; or play."""


def run_sweep(
    texts: Sequence[str], prepare: Callable[[Sequence[str]], Job], label: str = "Ant"
) -> list[EnvAlgorithm | PlayResult]:
    """Check every job, then train one after the other and print a table of all.

    Args:
        texts: the command line, with several values for some keys.
        prepare: resolves the command line of one job.
        label: how run folders begin where no ``task`` is named.

    Returns:
        The agents, or the results of playing.

    Raises:
        ConfigError: everything that is wrong with any job; nothing was started.
    """
    problems = Problems()
    overrides = parse_overrides(texts, problems, sweep=True)
    _check_experiment(overrides, problems)
    jobs: dict[str, Job] = {}
    for job_texts in _in_folders(overrides, label):  # every job is checked before the first one starts
        with problems.collect():
            jobs[raw_values(job_texts).get("experiment") or " ".join(job_texts)] = prepare(job_texts)
    Problems(dict.fromkeys(problems)).refuse()
    _warn_of_schedule(overrides, jobs.values())
    agents: list[EnvAlgorithm | PlayResult] = []
    number = 0
    try:
        for number, (name, job) in enumerate(jobs.items(), 1):
            say(f"job {number} of {len(jobs)}: {name}")
            agents.append(job.start())
    except TrainingStopped as stop:
        agents.append(stop.agent)
        raise
    finally:  # also if a job was stopped or failed
        _print_table(
            {name: agent for name, agent in zip(jobs, agents, strict=False) if not isinstance(agent, PlayResult)}
        )
        left = list(jobs)[number:]
        if left:
            say(f"\nnot started:     {', '.join(left)}")
    return agents


def _check_experiment(overrides: Sequence[Override], problems: Problems) -> None:
    """Several names are only for jobs that differ in nothing else: a sweep has one name, its parent folder's."""
    several = [override.key for override in overrides if override.sweep]
    if "experiment" in several and several != ["experiment"]:
        value = next(override.value for override in overrides if override.key == "experiment")
        what = "expected one name, for the folder of all runs; each run is named by what differs"
        problems.add("experiment", f"got {value!r}; {what}")


def _in_folders(overrides: Sequence[Override], label: str) -> list[list[str]]:
    """The overrides of each job, with a run folder named by what differs, in one folder for the whole sweep.

    Jobs that play, that resume a run, or that have names already are not changed.
    """
    several = [override.key for override in overrides if override.sweep]
    plain = {override.key: override.value for override in overrides if not override.sweep}
    combinations = sweep_jobs(overrides)
    named = {"test", "checkpoint"} & {override.key for override in overrides} or "experiment" in several
    if named or len(combinations) < 2:
        return combinations
    label = str(plain.get("task", label)).rpartition(":")[2]
    stem = "sweep" if "task" in several else f"{label}_sweep"
    parent = str(plain.get("experiment") or f"{stem}_{time.strftime('%d-%H-%M-%S')}")
    base = next((str(plain[key]) for key in TRAIN_DIRS if key in plain), "runs")
    typed = {override.key: values_as_typed(override) for override in overrides if override.sweep}
    short = _short_names(key for key in several if key != "task")
    names = []
    for job in combinations:
        values = raw_values(job)
        task = values.get("task", label).rpartition(":")[2]
        parts = [f"{short[key]}={typed[key].get(values[key], values[key])}" for key in several if key != "task"]
        names.append(_file_name("_".join([task, *parts])))
    if len(set(names)) < len(names):  # the difference is in characters that a file name cannot hold, or cut off
        names = [f"{name}_{number}" for number, name in enumerate(names, 1)]
    placed = []
    for name, job in zip(names, combinations, strict=True):
        kept = [text for text in job if not raw_values([text]).keys() & {"experiment", *TRAIN_DIRS}]
        placed.append([*kept, f"experiment={name}", f"train_dir={Path(base) / parent}"])
    return placed


def _short_names(keys: Iterable[str]) -> dict[str, str]:
    """Each key's last part, or as many of the last parts as make it unique."""
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
    """``text`` without the characters that a file name or a quoted override cannot hold."""
    return re.sub(r"[^\w.,=+\-@]", "-", text)[:LONGEST].rstrip(".")


def _warn_of_schedule(overrides: Sequence[Override], jobs: Iterable[Job]) -> None:
    """Warn where a swept learning rate is only the start of an adaptive schedule."""
    swept = [x.key for x in overrides if x.sweep and x.key.rpartition(".")[2] == "learning_rate"]
    adaptive = any(not job.run.playing and job.run.params.config.get("lr_schedule") == "adaptive" for job in jobs)
    if swept and adaptive:
        key = swept[0].replace("learning_rate", "lr_schedule")
        warn(
            f"{swept[0]}: lr_schedule is 'adaptive', which changes the rate with every update; the runs will differ "
            f"little. Add {key}=constant to compare rates"
        )


def _print_table(agents: Mapping[str, EnvAlgorithm]) -> None:
    """Name, best and last return, frames and minutes of each run, the best first."""
    if not agents:
        return
    rows = [
        (name, _number(run.best_seen), _number(run.mean_reward), f"{agent.frame:,}", f"{run.elapsed / 60:.1f}")
        for name, agent in sorted(agents.items(), key=lambda item: -item[1].run.best_seen)
        for run in (agent.run,)
    ]
    say("\n" + table("", ["run", "best return", "last return", "frames", "minutes"], rows, numbers=True))
    folders = {agent.run.folder.path.parent for agent in agents.values() if agent.run.folder is not None}
    if len(folders) == 1 and len(agents) > 1:
        say(f"\ncompare them:    manybody compare {shlex.quote(str(folders.pop()))}")


def _number(value: float) -> str:
    return "none" if value == float("-inf") else f"{value:,.1f}"
