"""Train or play from a command line: ``python -m manybody.train task=Ant ...``."""

import contextlib
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from manybody.cli.interrupts import exit_on_signal

with exit_on_signal() if __name__ == "__main__" else contextlib.nullcontext():  # the imports take seconds
    from manybody.algos.base import EnvAlgorithm
    from manybody.algos.player import PlayResult
    from manybody.cli.exit_codes import exit_codes
    from manybody.config.plugins import home_of
    from manybody.engine.accelerate import set_deterministic
    from manybody.engine.console import say, warn
    from manybody.engine.observers import AlgoObserver, MultiObserver
    from manybody.engine.run_folder import RunFolder
    from manybody.engine.signals import skip_on_interrupt
    from manybody.launch.overrides import raw_values, take_file
    from manybody.launch.resolve import ResolvedRun, resolve, resolve_play
    from manybody.launch.sweep import run_sweep
    from manybody.play import play
    from manybody.runner import Runner, TrainingStopped, build_runner
    from manybody.tasks import register_task

__all__ = ["Job", "build_runner", "main", "prepare", "show_results", "train"]


@dataclass(frozen=True)
class Job:
    """A resolved command line, ready to start."""

    runner: Runner
    run: ResolvedRun

    def start(self) -> EnvAlgorithm | PlayResult:
        """Train and return the agent, or play and return the result.

        Raises:
            TrainingStopped: a signal ended training; a checkpoint was written.
        """
        return play(self.runner, self.run) if self.run.playing else launch(self.runner, self.run)


def prepare(texts: Sequence[str], file: str | None = None, observer: AlgoObserver | None = None) -> Job:
    """Resolve and validate a command line, without creating or writing anything.

    Args:
        texts: ``key=value`` overrides.
        file: an RL Games file, instead of the Hydra tree.
        observer: called during training.

    Raises:
        ConfigError: lists everything that is wrong.
    """
    runner, raw = build_runner(observer), raw_values(texts)
    if raw.get("test", "").lower() in ("true", "yes", "on", "1"):
        return Job(runner, resolve_play(runner, raw.get("checkpoint"), texts, file))
    return Job(runner, resolve(runner, texts, file))


def launch(runner: Runner, run: ResolvedRun) -> EnvAlgorithm:
    """Train a resolved run, then report its results; returns the agent."""
    set_deterministic(run.root.torch_deterministic)
    runner.load_run(run)
    if run.root.capture_video:
        from manybody.media.training_video import VideoObserver

        camera = VideoObserver(run.root.capture_video_freq, run.root.capture_video_len, run.root.video_camera)
        runner.algo_observer = MultiObserver([runner.algo_observer, camera])
    try:
        agent = runner.train(run.start, run.root.sigma)
    except TrainingStopped as stop:
        assert stop.agent.run.folder is not None
        summarise(stop.agent.run.folder, resumable=True)
        raise
    assert agent.run.folder is not None
    show_results(runner, run, agent.run.folder)
    return agent


def show_results(runner: Runner, run: ResolvedRun, folder: RunFolder) -> None:
    """Report where the results of a finished run are, then film its best policy.

    An error is reported as a warning; Ctrl-C skips the video.
    """
    with skip_on_interrupt() as skipped:
        checkpoint = summarise(folder)
        if not checkpoint or not run.root.video:
            return
        from manybody.media.policy_video import record_video

        try:
            runner.load_run(run.with_envs(1))
            player = runner.restored_player(checkpoint)
            path = folder.videos / f"{checkpoint.stem}.mp4"
            video = None if skipped() else record_video(player, path, run.root.video_seconds, run.root.video_camera)
        except Exception as error:
            warn(f"no video: {type(error).__name__}: {error}")
            return
        if video:
            say(f"video:           {video}")


def summarise(folder: RunFolder, resumable: bool = False) -> Path | None:
    """Report the files of a run and draw the learning curve; return the best checkpoint, or None.

    Args:
        folder: the run folder.
        resumable: the run was stopped; report how to resume it.
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
    curve = draw_curve(folder)  # takes a second or two
    if curve:
        say(f"learning curve:  {curve}")
    return checkpoint


def train(task: str | type, *overrides: str, **settings: object) -> Any:
    """Train a task with its preset, as ``manybody train task=…`` does. ``manybody.train(...)`` is this function.

    Args:
        task: the name of a task, ``module:Class``, or a subclass of :class:`~manybody.MujocoTask`.
        overrides: further settings as on the command line, ``'train.params.config.gamma=0.98'``.
        settings: the same for keys without a dot: ``max_iterations=60, num_envs=512, video=False``.

    Returns:
        The agent. ``agent.run.folder.path`` is its run folder.

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


def _override_value(value: object) -> str:
    """Format a Python value as on a command line."""
    if value is None:
        return "null"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{_override_value(item)}" for key, item in value.items()) + "}"
    return f"[{','.join(map(_override_value, value))}]" if isinstance(value, list | tuple) else str(value)


def main(arguments: Sequence[str] | None = None) -> Any:
    """Run ``manybody train`` with the arguments after the command's name; exit codes: see :func:`exit_codes`."""
    texts = list(sys.argv[1:] if arguments is None else arguments)
    with exit_codes():
        multirun = {"--multirun", "-m"} & set(texts)
        file, texts = take_file([text for text in texts if text not in multirun])
        if not multirun:
            return prepare(texts, file).start()
        return run_sweep(texts, lambda job: prepare(job, file), Path(file).stem if file else "Ant")


class _Callable(ModuleType):
    """Makes this module callable: ``manybody.train(...)`` trains, and ``manybody.train`` is the module."""

    def __call__(self, task: str | type, *overrides: str, **settings: object) -> Any:
        return train(task, *overrides, **settings)


sys.modules[__name__].__class__ = _Callable

if __name__ == "__main__":
    with exit_on_signal():
        main()
