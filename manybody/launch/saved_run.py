"""The configuration kept in a run folder: read, put under new overrides, and written.

A configuration is IsaacGymEnvs' Hydra tree, with the training settings in ``train.params``, or the content of an
RL Games file, with the settings in ``params``.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from manybody.config import ConfigError, Problem, Section, load_yaml
from manybody.config.errors import Problems
from manybody.launch.hydra_tree import GROUPS, compose_steps, split
from manybody.launch.overrides import Override, parse_overrides, raw_values
from manybody.launch.own_code import import_own, own_modules
from manybody.launch.rl_games_yaml import compose_file, set_overrides
from manybody.motion.bundled import with_absolute_paths
from manybody.motion.errors import chosen_by

Settings = Mapping[str, Any] | Section
"""A section, validated or as written."""
LAUNCH_KEYS: Mapping[str, Any] = {"checkpoint": "", "sigma": "", "test": False}
"""Keys that concern one launch, and their values in the configuration that is kept."""


def is_tree(cfg: Mapping[str, Any]) -> bool:
    """Whether ``cfg`` is a Hydra tree; otherwise it is the content of an RL Games file."""
    return "train" in cfg


def settings_of(cfg: Mapping[str, Any]) -> Any:
    """The section ``params``, as written."""
    section = cfg["train"] if is_tree(cfg) else cfg
    return section.get("params") if isinstance(section, Mapping) else None


def section_of(settings: Settings, key: str) -> Any:
    """The section ``key``, empty where there is none."""
    section = settings.get(key)
    return section if hasattr(section, "get") else {}


def identity(cfg: Settings) -> str:
    """Name the task and the algorithm: two configurations are of the same run only if these are equal."""
    settings = section_of(cfg, "train").get("params") or cfg.get("params") or {}
    task = f"task={cfg.get('task_name')}" if "train" in cfg else section_of(settings, "config").get("env_name")
    return f"{task} with {section_of(settings, 'algo').get('name')}"


def load_saved(folder: Path) -> dict[str, Any]:
    """Read the ``config.yaml`` of a run folder.

    Raises:
        ConfigError: there is none, or it is damaged.
    """
    file = folder / "config.yaml"
    if not file.is_file():
        what = f"{file} does not exist, so it is unknown what was trained; give the whole run folder"
        raise ConfigError([Problem("", what)])
    cfg = load_yaml(file)
    settings = settings_of(cfg)
    if not isinstance(settings, dict) or not isinstance(settings.get("config"), dict):
        raise ConfigError([Problem("params", f"missing from {file}, so it is unknown what was trained")])
    return cfg


def compose_saved(
    saved: dict[str, Any], overrides: Sequence[Override], file: str | None, folder: Path, problems: Problems
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
    import_own(saved, problems)
    other_run = f"{folder} is a run of {identity(saved)}; leave this out to use that run, or choose another run"
    if is_tree(saved):
        if file:
            problems.add("--file", f"{file}: {other_run}")
        return _tree_under(saved, overrides, other_run, problems)
    task = settings_of(saved)["config"].get("env_name")
    kept = []
    for override in overrides:
        if override.key.startswith("train.params."):
            kept.append(override._replace(key=override.key.removeprefix("train.")))
        elif override.key not in GROUPS:
            kept.append(override)
        elif (override.key, override.value) != ("task", task):
            problems.add(override.text, other_run)
    if not file:
        return set_overrides({"command": [], **saved}, kept, problems)
    first = parse_overrides(saved.get("command", ()), Problems())  # the overrides with which the run started
    start = compose_file(file, first, Problems())
    if start is not None and identity(start) != identity(saved):
        problems.add("--file", f"{file}: {other_run}")
    return compose_file(file, [*first, *kept], problems)


def _tree_under(
    saved: dict[str, Any], overrides: Sequence[Override], other_run: str, problems: Problems
) -> dict[str, Any] | None:
    own_task = f"task={saved.get('task_name')}"
    command = parse_overrides(saved.get("command") or [own_task], Problems())
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
    return {**_changed(saved, before, after), "command": lasting}


def _changed(saved: Any, before: Any, after: Any) -> Any:
    """``saved`` with each value that differs between ``before`` and ``after``, and with keys that it lacks."""
    if all(isinstance(node, dict) for node in (saved, before, after)):
        keys = {**saved, **after}
        return {
            key: _changed(saved[key], before.get(key), after.get(key)) if key in saved else after[key] for key in keys
        }
    return after if before != after else saved


def record_of(cfg: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration that a run keeps: without what concerns one launch.

    Motion files and the folders of the user's modules get whole paths: a run may be played from another folder.
    """
    kept = {**cfg, **{key: value for key, value in LAUNCH_KEYS.items() if key in cfg}}
    config = section_of(settings_of(kept) or {}, "config")
    names = [kept.get("task_name"), config.get("env_name")]
    kept |= own_modules(kept, [str(name) for name in names if name])
    env = (kept.get("task") or {}).get("env") or {}
    if "motion_file" in env:
        with chosen_by("task.env.motion_file"):
            kept["task"] = {**kept["task"], "env": {**env, "motion_file": with_absolute_paths(env["motion_file"])}}
    return kept


def without_start(cfg: Mapping[str, Any]) -> dict[str, Any]:
    """``cfg`` without the checkpoint that it starts from: a run resumes from its own checkpoints."""
    kept = dict(cfg)
    if isinstance(kept.get("train"), Mapping):
        kept["train"] = without_start(kept["train"])
    if isinstance(kept.get("params"), Mapping) and kept["params"].get("load_checkpoint"):
        left_out = ("load_checkpoint", "load_path")
        kept["params"] = {key: value for key, value in kept["params"].items() if key not in left_out}
    return kept
