"""The entry: IsaacGymEnvs' Hydra tree in, a trained or played policy out. ``python -m manybody.train task=Ant ...``."""

import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from manybody.config import ConfigError, ConfigWarning, Problem, load_yaml, parse_launch
from manybody.engine.console import say, warn
from manybody.engine.observers import AlgoObserver, IsaacAlgoObserver, MultiObserver
from manybody.exit_codes import exit_codes
from manybody.hydra_tree import collecting, compose_run, sweep


def build_runner(algo_observer: AlgoObserver | None = None) -> Any:
    """A :class:`~manybody.runner.Runner` with everything registered that ships with the library."""
    from manybody.runner import Runner

    return Runner(algo_observer or IsaacAlgoObserver())


def check(cfg: Mapping[str, Any]) -> Any:
    """The validated ``params`` of a resolved configuration tree.

    Raises:
        ConfigError: everything that is wrong with any part of the tree.
    """
    from manybody.runner import task_config

    problems: list[Problem] = []
    with collecting(problems):
        parse_launch(cfg)
    with collecting(problems):
        task_config(cfg)
    below: list[Problem] = []
    with collecting(below):
        params = build_runner().parse({"params": cfg["train"]["params"]})
    problems += [replace(problem, path=f"train.{problem.path}") for problem in below]
    if problems:
        raise ConfigError(problems)
    return params


def launch(cfg: Mapping[str, Any], observer: AlgoObserver | None = None) -> Any:
    """Train, or play with ``test=True``, what a resolved configuration tree describes.

    Returns:
        The agent after training, or the :class:`~manybody.algos.player.PlayResult`.

    Raises:
        ConfigError: lists everything that is wrong; nothing was created on disk.
    """
    settings = parse_launch(cfg)
    if settings.test:
        return play_tree(cfg)
    params = check(cfg)
    if settings.torch_deterministic:
        import torch

        torch.use_deterministic_algorithms(True)
    if settings.capture_video:
        from manybody.media.capture import VideoObserver

        camera = VideoObserver(settings.capture_video_freq, settings.capture_video_len)
        observer = MultiObserver([observer or IsaacAlgoObserver(), camera])
    from manybody.runner import register_tree

    runner = build_runner(observer)
    register_tree(cfg)
    runner.load_config(params)
    runner.run_config = {**cfg, "checkpoint": ""}
    agent = runner.run({"train": True, "checkpoint": settings.checkpoint, "sigma": settings.sigma})
    show_results(agent, settings.video)
    return agent


def play_tree(cfg: Mapping[str, Any]) -> Any:
    """``test=True``: play ``checkpoint`` (or the task's newest run) with the configuration of the run it is from."""
    from manybody.play import play_run

    player = cfg["train"]["params"]["config"].get("player") or {}
    given = {
        "task": cfg["task_name"],
        "num_envs": cfg["num_envs"] or None,
        "video": cfg["capture_video"],
        "games_num": player.get("games_num"),
        "deterministic": player.get("deterministic"),
    }
    return play_run(
        cfg["checkpoint"] or None, {key: value for key, value in given.items() if value is not None}
    )


def launch_file(path: str, overrides: Sequence[str], observer: AlgoObserver | None = None) -> Any:
    """Train what a plain RL Games YAML file describes.

    Args:
        path: the file.
        overrides: ``params.config.gamma=0.98`` and the like; ``checkpoint=<file or run folder>`` to go on from.
        observer: is told what happens.
    """
    import yaml

    content = load_yaml(path)
    checkpoint = ""
    problems = []
    for text in overrides:
        key, equals, value = text.partition("=")
        if key == "checkpoint":
            checkpoint = value
            continue
        block: Any = content
        *parents, last = key.split(".")
        for parent in parents:
            block = block.get(parent) if isinstance(block, dict) else None
        if not equals or not isinstance(block, dict):
            problems.append(
                Problem(text, f"expected key=value with a key of {path}, such as params.config.gamma=0.98")
            )
        else:
            try:
                block[last] = yaml.safe_load(value)
            except yaml.YAMLError as error:
                problems.append(
                    Problem(key, f"given {value!r}, which is not YAML: {' '.join(str(error).split())}")
                )
    if problems:
        raise ConfigError(problems)
    runner = build_runner(observer)
    runner.load(content)
    agent = runner.run({"train": True, "checkpoint": checkpoint})
    show_results(agent)
    return agent


def show_results(agent: Any, film: bool = True) -> None:
    """Draw the learning curve of a finished run, film its best policy if asked, and say where everything lies.

    Trouble here costs pictures, nothing else.
    """
    from manybody.media.rollout import draw_curve, record_video
    from manybody.play import load_player

    folder = agent.run.folder
    checkpoint = folder.best() or folder.newest()
    video = None
    if checkpoint and film:
        player = load_player(folder, checkpoint, {"num_envs": 1})
        video = record_video(player, folder.videos / f"{checkpoint.stem}.mp4")
    say(f"\nrun folder:      {folder.path}")
    found = (("best checkpoint", checkpoint), ("video", video), ("learning curve", draw_curve(folder)))
    for what, where in found:
        if where:
            say(f"{what + ':':<16} {where}")
    say(f"play it again:   manybody play {folder.path}")


def main(arguments: Sequence[str] | None = None) -> Any:
    """``manybody train``: the command line after the command's name. For exit codes see :func:`exit_codes`."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    with exit_codes(), warnings.catch_warnings():
        warnings.simplefilter("always", ConfigWarning)
        warnings.showwarning = lambda message, *_: warn(str(message))
        return _main(words)


def _main(words: list[str]) -> Any:
    multirun = [flag for flag in ("--multirun", "-m") if flag in words]
    words = [word for word in words if word not in multirun]
    if "--file" in words:
        at = words.index("--file")
        if len(words) <= at + 1:
            raise ConfigError([Problem("--file", "expected the path of an RL Games YAML file after it")])
        return launch_file(words[at + 1], words[:at] + words[at + 2 :])
    unknown = [word for word in words if word.startswith("--")]
    if unknown:
        raise ConfigError(
            [
                Problem(word, "unknown option (known: --file, --multirun); settings are key=value")
                for word in unknown
            ]
        )
    if not multirun:
        return launch(compose_run(words, check))
    configurations = [(job, compose_run(job, check)) for job in sweep(words)]
    problems: list[Problem] = []
    for _, cfg in configurations:  # every job is checked before the first one starts
        with collecting(problems):
            check(cfg)
    if problems:
        raise ConfigError(dict.fromkeys(problems))
    results = []
    for number, (job, cfg) in enumerate(configurations, 1):
        say(f"job {number} of {len(configurations)}: {' '.join(job)}")
        results.append(launch(cfg))
    return results


if __name__ == "__main__":
    main()
