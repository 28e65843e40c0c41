"""Replaying a run: its folder alone says which task, configuration and policy."""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from manybody.config import ConfigError, Problem, load_yaml
from manybody.config.errors import did_you_mean
from manybody.engine.console import say
from manybody.engine.run_folder import RunFolder

SETTINGS: dict[str, type] = {
    "task": str,
    "train_dir": str,
    "num_envs": int,
    "games_num": int,
    "seed": int,
    "deterministic": bool,
    "video": bool,
}
"""What may be set when playing, and the type of its value."""


def load_run(folder: Path) -> dict[str, Any]:
    """The configuration that a run folder keeps.

    Raises:
        ConfigError: there is none, or it is damaged.
    """
    file = folder / "config.yaml"
    if not file.is_file():
        raise ConfigError(
            [
                Problem(
                    "", f"{file} does not exist, so it is unknown what was trained; give the whole run folder"
                )
            ]
        )
    return load_yaml(file)


def load_player(folder: RunFolder, checkpoint: Path, settings: dict[str, Any]) -> Any:
    """A player with the task, configuration and policy of a run.

    Args:
        folder: the run.
        checkpoint: one of its checkpoint files.
        settings: any of :data:`SETTINGS`.

    Raises:
        ConfigError, CheckpointError: what is wrong with the run and what to do.
    """
    from manybody.runner import Runner, register_tree

    cfg = copy.deepcopy(load_run(folder.path))
    params = (cfg.get("train") or cfg).get("params")
    if not isinstance(params, dict) or not isinstance(params.get("config"), dict):
        what = f"missing from {folder.config_file}, so it is unknown what was trained"
        raise ConfigError([Problem("params", what)])
    _apply(cfg, params, settings)
    if "train" in cfg:
        register_tree(cfg)
    runner = Runner()
    runner.load({"params": params}, training=False)
    player = runner.create_player()
    player.restore(str(checkpoint))
    return player


def play_run(path: str | None = None, settings: dict[str, Any] | None = None) -> Any:
    """Play the best policy of a run.

    Args:
        path: a run folder, a checkpoint file, or None: the newest run (of ``settings['task']``).
        settings: any of :data:`SETTINGS`.

    Returns:
        The :class:`~manybody.algos.player.PlayResult`.

    Raises:
        ConfigError, RunFolderError, CheckpointError: what is wrong with the run and what to do.
    """
    settings = settings or {}
    folder, checkpoint = RunFolder.resolve(path, settings.get("train_dir", "runs"), settings.get("task"))
    player = load_player(folder, checkpoint, settings)
    say(f"playing {checkpoint}")
    result = player.run()
    say(
        f"mean return {result.mean_reward:.1f} +- {result.std_reward:.1f}, "
        f"episode length {result.mean_steps:.1f} steps, over {result.games} games"
    )
    if settings.get("video"):
        from manybody.media.rollout import record_video

        video = record_video(
            load_player(folder, checkpoint, {**settings, "num_envs": 1}),
            folder.videos / f"{checkpoint.stem}.mp4",
        )
        if video:
            say(f"video: {video}")
    return result


def _apply(cfg: dict[str, Any], params: dict[str, Any], settings: dict[str, Any]) -> None:
    """Settings of the command line over what the run was trained with."""
    from manybody.runner import has_device

    player = params["config"].setdefault("player", {})
    for key in ("games_num", "deterministic"):
        if key in settings:
            player[key] = settings[key]
    if "seed" in settings:
        params["seed"] = settings["seed"]
    if not has_device(params["config"].get("device", "cpu")):
        params["config"]["device"] = "cpu"  # trained on a machine with a GPU, played on one without
    num_envs = settings.get("num_envs") or min(params["config"]["num_actors"], player.get("games_num", 100))
    params["config"]["num_actors"] = num_envs
    if "task" in cfg and "env" in cfg["task"]:
        cfg["task"]["env"]["numEnvs"] = num_envs


def parse(words: Sequence[str]) -> tuple[str | None, dict[str, Any]]:
    """The path, if any, and the settings of a ``manybody play`` command line.

    Raises:
        ConfigError: lists the words that mean nothing.
    """
    paths = [word for word in words if "=" not in word]
    problems = [Problem(word, "a second path; expected one run folder or checkpoint") for word in paths[1:]]
    settings: dict[str, Any] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals:
            continue
        key = {"checkpoint": "path"}.get(key, key)
        if key == "path":
            paths.insert(0, text)
            continue
        try:
            value: Any = yaml.safe_load(text)
        except yaml.YAMLError:
            value = None  # refused below like every other value of a wrong type
        if key not in SETTINGS:
            problems.append(
                Problem(key, f"unknown{did_you_mean(key, SETTINGS)} (known: {', '.join(SETTINGS)})")
            )
        elif type(value) is not SETTINGS[key] or (type(value) is int and value < (key != "seed")):
            problems.append(Problem(key, f"given {text!r}; expected {SETTINGS[key].__name__}"))
        else:
            settings[key] = value
    if problems:
        raise ConfigError(problems)
    return (paths[0] if paths else None), settings


def main(words: Sequence[str]) -> Any:
    """``manybody play``. Exits with 2 when there is nothing to play or the command is wrong."""
    from manybody.exit_codes import exit_codes

    with exit_codes():
        return play_run(*parse(words))
