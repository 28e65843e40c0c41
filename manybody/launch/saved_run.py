"""The configuration kept in a run folder: read, and put under new overrides."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from manybody.config import ConfigError, Problem, load_yaml
from manybody.config.errors import Problems
from manybody.launch.configuration import LAUNCH_KEYS, Configuration
from manybody.launch.hydra_tree import GROUPS, compose_steps, split
from manybody.launch.overrides import Override, parse_overrides, raw_values
from manybody.launch.own_code import import_own
from manybody.launch.rl_games_yaml import compose_file, set_overrides


def load_saved(folder: Path) -> Configuration:
    """Read the ``config.yaml`` of a run folder.

    Raises:
        ConfigError: there is none, or it is damaged.
    """
    file = folder / "config.yaml"
    if not file.is_file():
        what = f"{file} does not exist, so it is unknown what was trained; give the whole run folder"
        raise ConfigError([Problem("", what)])
    cfg = Configuration(load_yaml(file))
    if not isinstance(cfg.at(f"{cfg.prefix}params.config"), dict):
        raise ConfigError([Problem("params", f"missing from {file}, so it is unknown what was trained")])
    return cfg


def compose_saved(
    saved: Configuration, overrides: Sequence[Override], file: str | None, folder: Path, problems: Problems
) -> dict[str, Any] | None:
    """Compose the configuration of a run under new overrides.

    Args:
        saved: the run's own configuration.
        overrides: they win over ``saved``; a task or a file of another run is a problem.
        file: an RL Games file to read again; its content wins over ``saved`` too.
        folder: of the run.
        problems: problems are added here.

    Returns:
        The configuration; None: it cannot be composed.
    """
    import_own(saved.content, problems)
    other_run = f"{folder} is a run of {saved.identity}; leave this out to use that run, or choose another run"
    if saved.is_tree:
        if file:
            problems.add("--file", f"{file}: {other_run}")
        return _tree_under(saved, overrides, other_run, problems)
    kept = []
    for override in overrides:
        if override.key.startswith("train.params."):
            kept.append(override._replace(key=override.key.removeprefix("train.")))
        elif override.key not in GROUPS:
            kept.append(override)
        elif (override.key, override.value) != ("task", saved.task_name):
            problems.add(override.text, other_run)
    if not file:
        return set_overrides({"command": [], **saved.content}, kept, problems)
    first = parse_overrides(saved.content.get("command", ()), Problems())  # the overrides with which the run started
    start = compose_file(file, first, Problems())
    if start is not None and Configuration(start).identity != saved.identity:
        problems.add("--file", f"{file}: {other_run}")
    return compose_file(file, [*first, *kept], problems)


def _tree_under(
    saved: Configuration, overrides: Sequence[Override], other_run: str, problems: Problems
) -> dict[str, Any] | None:
    own_task = f"task={saved.task_name}"
    command = parse_overrides(saved.content.get("command") or [own_task], Problems())
    groups, values = split(overrides)
    known = {override.text for override in command} | {own_task}
    for override in groups:
        if override.text not in known:
            problems.add(override.text, other_run)
    trees = compose_steps([command, values], problems)
    if len(trees) < 2:
        return None
    before, after = trees
    lasting = [text for text in after["command"] if not raw_values([text]).keys() & LAUNCH_KEYS.keys()]
    return {**_changed(saved.content, before, after), "command": lasting}


def _changed(saved: Any, before: object, after: object) -> Any:
    """``saved`` with each value that differs between ``before`` and ``after``, and with keys that it lacks."""
    if isinstance(saved, dict) and isinstance(before, dict) and isinstance(after, dict):
        keys = {**saved, **after}
        return {
            key: _changed(saved[key], before.get(key), after.get(key)) if key in saved else after[key] for key in keys
        }
    return after if before != after else saved
