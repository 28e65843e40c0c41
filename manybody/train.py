"""The entry: IsaacGymEnvs' Hydra tree in, a trained or played policy out. ``python -m manybody.train task=Ant ...``."""

import contextlib
import shlex
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from manybody.cli.interrupts import ending_at_once

with ending_at_once() if __name__ == "__main__" else contextlib.nullcontext():  # the imports take seconds
    from manybody.cli.exit_codes import exit_codes
    from manybody.config import Params, dump, parse_launch
    from manybody.config.plugins import home_of
    from manybody.config.root import VIDEO_SECONDS
    from manybody.engine.accelerate import set_deterministic
    from manybody.engine.console import say, warn
    from manybody.engine.observers import AlgoObserver, IsaacAlgoObserver, MultiObserver
    from manybody.engine.run_folder import RunFolder, RunFolderError
    from manybody.engine.signals import skip_on_interrupt
    from manybody.launch.overrides import Words, given, read, take_file
    from manybody.launch.resolve import check, configure, is_tree, record, root_of
    from manybody.launch.run_tree import register_tree
    from manybody.launch.sweep import Prepared, run_sweep
    from manybody.play import load_player, prepare_play
    from manybody.runner import TrainingStopped, build_runner
    from manybody.tasks import register_task

__all__ = ["build_runner", "launch", "main", "prepare", "show_results", "train"]


def launch(cfg: Mapping[str, Any], observer: AlgoObserver | None = None) -> Any:
    """Train what a resolved configuration describes: a Hydra tree, or the content of an RL Games file.

    Returns:
        The agent after training.

    Raises:
        ConfigError: lists everything that is wrong; nothing was created on disk.
    """
    return launch_checked(cfg, check(cfg), observer)


def launch_checked(cfg: Mapping[str, Any], params: Params, observer: AlgoObserver | None = None) -> Any:
    """:func:`launch`, with the settings that :func:`check` gave."""
    settings = parse_launch(root_of(cfg))
    set_deterministic(settings.torch_deterministic)
    if settings.capture_video:
        from manybody.media.training_video import VideoObserver

        camera = VideoObserver(settings.capture_video_freq, settings.capture_video_len, settings.video_camera)
        observer = MultiObserver([observer or IsaacAlgoObserver(), camera])
    runner = build_runner(observer)
    runner.load_config(params)
    runner.run_config = record(cfg)
    if is_tree(cfg):
        register_tree(cfg)
    else:
        kept = {"task_name": params.config.get("env_name"), "params": dump(runner.params)}
        runner.run_config = {**runner.run_config, **kept}
    try:
        agent = runner.run({"train": True, "checkpoint": settings.checkpoint, "sigma": settings.sigma})
    except TrainingStopped as stop:
        summarise(stop.agent.run.folder, resumable=True)
        raise
    show_results(agent, settings.video, settings.video_seconds, settings.video_camera)
    return agent


def show_results(agent: Any, film: bool = True, seconds: float = VIDEO_SECONDS, camera: str | None = None) -> None:
    """Report where the results of a finished run lie, then film its best policy.

    Trouble here costs pictures, nothing else; Ctrl-C skips the video.

    Args:
        agent: after training.
        film: whether to film.
        seconds: length of the video.
        camera: a camera of the task's model; None: the default one.
    """
    folder = agent.run.folder
    with skip_on_interrupt() as skipped:
        checkpoint = summarise(folder)
        if not checkpoint or not film:
            return
        from manybody.media.policy_video import record_video

        try:
            player = load_player(folder, checkpoint, ["num_envs=1"])
            path = folder.videos / f"{checkpoint.stem}.mp4"
            video = None if skipped() else record_video(player, path, seconds, camera)
        except Exception as error:
            warn(f"no video: {type(error).__name__}: {error}")
            return
        if video:
            say(f"video:           {video}")


def summarise(folder: RunFolder, resumable: bool = False) -> Path | None:
    """Report where everything lies and draw the learning curve; returns the best checkpoint, if any.

    Args:
        folder: of the run.
        resumable: the run was stopped; say how to resume it.
    """
    from manybody.media.learning_curve import draw_curve

    best = folder.best()
    checkpoint = best or folder.newest()
    say(f"\nrun folder:      {folder.path}")
    if checkpoint:
        say(f"{'best checkpoint:' if best else 'last checkpoint:'} {checkpoint}")
    if resumable:
        say(f"resume it:       manybody train {shlex.quote(f'checkpoint={folder.path}')}")
    say(f"play it again:   manybody play {shlex.quote(str(folder.path))}")
    curve = draw_curve(folder)  # takes a second or two; what matters is on the screen by then
    if curve:
        say(f"learning curve:  {curve}")
    return checkpoint


def train(task: str | type, *overrides: str, **settings: Any) -> Any:
    """Train a task with its preset, as ``manybody train task=…`` does. ``manybody.train(...)`` is this function.

    Args:
        task: the name of a task, ``module:Class``, or a subclass of :class:`~manybody.MujocoTask`.
        overrides: further settings as on the command line, ``'train.params.config.gamma=0.98'``.
        settings: the same for keys without a dot: ``max_iterations=60, num_envs=512, video=False``.

    Returns:
        The agent. Its run folder, ``agent.run.folder.path``, holds what the command line leaves there.

    Raises:
        ConfigError: lists everything that is wrong; nothing was created on disk.
        SystemExit: a signal ended training; a checkpoint was written.
    """
    if isinstance(task, type):
        name = home_of(task)
        register_task(name, task)
        task = name
    typed = [f"{key}={_override_value(value)}" for key, value in settings.items()]
    return prepare([f"task={task}", *overrides, *typed]).start()


def _override_value(value: Any) -> str:
    """A Python value as it is typed on a command line."""
    if value is None:
        return "null"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{_override_value(item)}" for key, item in value.items()) + "}"
    return f"[{','.join(map(_override_value, value))}]" if isinstance(value, list | tuple) else str(value)


def prepare(texts: Sequence[str], file: str | None = None) -> Prepared:
    """Check a command line, down to the last word, and nothing else.

    Args:
        texts: ``key=value`` words.
        file: an RL Games file, in place of the Hydra tree.

    Raises:
        ConfigError: lists everything that is wrong.
    """
    wanted = given(texts)
    if wanted.get("test", "").lower() in ("true", "yes", "on", "1"):
        return Prepared(prepare_play(wanted.get("checkpoint"), texts, file))
    words = read(texts)
    composed = configure(words, file, _folder(words))
    params = check(composed)
    return Prepared(partial(launch_checked, composed.cfg or {}, params), params)


def _folder(words: Words) -> Any:
    """The run folder that ``checkpoint=`` names and whose configuration training goes on with."""
    named = {word.key: str(word.value) for word in words.words}.get("checkpoint")
    with contextlib.suppress(RunFolderError):  # checked with everything else
        folder = RunFolder.open(named) if named else None
        return folder.path if folder and folder.config_file.is_file() else None
    return None


def main(arguments: Sequence[str] | None = None) -> Any:
    """``manybody train``: the command line after the command's name. For exit codes see :func:`exit_codes`."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    with exit_codes():
        return _main(words)


def _main(words: list[str]) -> Any:
    multirun = [flag for flag in ("--multirun", "-m") if flag in words]
    words = [word for word in words if word not in multirun]
    file, words = take_file(words)
    if not multirun:
        return prepare(words, file).start()
    return run_sweep(words, lambda job: prepare(job, file), Path(file).stem if file else "Ant")


class _Callable(ModuleType):
    """This module can be called: ``manybody.train(...)`` trains, although ``manybody.train`` is also the entry."""

    def __call__(self, task: str | type, *overrides: str, **settings: Any) -> Any:
        return train(task, *overrides, **settings)


sys.modules[__name__].__class__ = _Callable

if __name__ == "__main__":
    with ending_at_once():
        main()
