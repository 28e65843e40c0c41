"""Play the policy of a run with its task and configuration, and with overrides."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path

from manybody.algos.player import BasePlayer, PlayResult
from manybody.config import ConfigError
from manybody.config.errors import Problems
from manybody.engine.accelerate import set_deterministic
from manybody.engine.console import say
from manybody.engine.guard import left_out_text
from manybody.envs.base import VecEnv
from manybody.launch.overrides import parse_overrides, raw_values, take_file
from manybody.launch.resolve import ResolvedRun, resolve_play
from manybody.runner import Runner, build_runner


def play_run(path: str | None = None, overrides: Sequence[str] = (), file: str | None = None) -> PlayResult:
    """Play the best policy of a run.

    Args:
        path: a run folder, a checkpoint file, or None: the newest run (of the ``task`` in ``overrides``).
        overrides: ``key=value``, as for training; ``games_num``, ``deterministic`` and ``train_dir`` for short.
        file: an RL Games file to take the configuration from.

    Returns:
        The :class:`~manybody.algos.player.PlayResult`.

    Raises:
        ConfigError, CheckpointError: the run or the overrides are invalid.
    """
    runner = build_runner()
    return play(runner, resolve_play(runner, path, overrides, file))


def play(runner: Runner, run: ResolvedRun) -> PlayResult:
    """Play a resolved run, and record a video if the command line requests one."""
    set_deterministic(run.root.torch_deterministic)
    player = load_player(runner, run)
    checkpoint, folder = run.start
    assert checkpoint is not None and folder is not None
    say(f"playing {checkpoint}")
    with _closing(player.env):
        result = player.run()
    left_out = getattr(player, "left_out", 0)
    say(
        f"mean return {result.mean_reward:.1f} +- {result.std_reward:.1f}, "
        f"episode length {result.mean_steps:.1f} steps, over {result.games} games"
        + (f", {left_out_text(left_out)}" if left_out else "")
    )
    if any(key in run.overrides and run.root[key] for key in ("video", "capture_video")):
        from manybody.media.motion import imitates, strip_beside
        from manybody.media.policy_video import record_video

        player = load_player(runner, run.with_envs(1))
        with _closing(player.env):
            path = folder.videos / f"{checkpoint.stem}.mp4"
            video = record_video(player, path, run.root.video_seconds, run.root.video_camera)
            if video:
                say(f"video: {video}")
            if video and imitates(player.env):
                say(f"motion above, policy below: {strip_beside(video)}")
    return result


def load_player(runner: Runner, run: ResolvedRun) -> BasePlayer:
    """Create a player with the task, configuration and policy of a resolved run; raise CheckpointError if invalid."""
    runner.load_run(run)
    return runner.restored_player(run.start.checkpoint, run.root.sigma)


def _closing(env: VecEnv) -> AbstractContextManager[object]:
    """Close environments at the end; those of another library may have no ``close``."""
    return closing(env) if hasattr(env, "close") else nullcontext()


def parse(texts: Sequence[str]) -> tuple[str | None, list[str], str | None]:
    """Split a ``manybody play`` command line into the path, if any, the overrides and the RL Games file, if any.

    Raises:
        ConfigError: there is more than one path.
    """
    file, texts = take_file(texts)
    paths = [text for text in texts if not text.startswith("-") and ("=" not in text or Path(text).exists())]
    overrides = [text for text in texts if text not in paths]
    named = raw_values(overrides).get("checkpoint")
    paths = [*([named] if named else []), *paths]
    if len(paths) > 1:
        problems = Problems()
        parse_overrides(overrides, problems)
        for path in paths[1:]:
            problems.add(path, "a second path; expected one run folder or checkpoint")
        raise ConfigError(problems)
    return (paths[0] if paths else None), overrides, file


def main(texts: Sequence[str]) -> PlayResult:
    """Run ``manybody play``; exit with code 2 if there is nothing to play or the command is wrong."""
    from manybody.cli.exit_codes import exit_codes

    with exit_codes():
        return play_run(*parse(texts))
