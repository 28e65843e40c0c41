"""The pictures of a run: its policy's video and its learning curve."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from manybody.config.root import VIDEO_SECONDS
from manybody.engine.console import is_terminal, progress, say, warn
from manybody.engine.play_guard import NonFiniteError
from manybody.engine.run_folder import RunFolder
from manybody.engine.signals import skip_on_interrupt
from manybody.envs.base import Step
from manybody.media.learning_curve import plot_curve
from manybody.media.motion import clip_in_step, imitates
from manybody.media.renderer import VideoError
from manybody.media.rendering import film_rendering
from manybody.media.video import record_in_subprocess
from manybody.tasks import MujocoTask

FPS = 30.0
"""Pictures per second, at most; the control rate divided by a whole number."""
SIZE = (480, 360)
"""Width and height of a video, pixels. With five seconds and FPS: about 7 s of rendering on two cores without a GPU."""
SIDE_BY_SIDE = (640, 360)
"""Width and height of a video of motion and policy, pixels."""
RENDERING = 2.0
"""Seconds of rendering for each second of a video; with it, the film of a run takes less than 15 s."""
TIME_LIMIT = 360.0
"""Seconds for rendering, on a machine that is busy with something else."""


def record_video(player: Any, path: Path, seconds: float = VIDEO_SECONDS, camera: str | None = None) -> Path | None:
    """Let ``player`` act in its environment 0 and write that as a video, while a line counts the pictures.

    Where the task imitates a motion, the motion is on the left and the policy on the right. An environment that is no
    MuJoCo task is filmed with its own ``render()``.

    Args:
        player: a restored player.
        path: the mp4 to write.
        seconds: length of the video.
        camera: a camera of the task's model; None: ``track``, or the model's default.

    Returns:
        The path, or None when it could not be made (a warning says why and what to install) or Ctrl-C skipped it.
    """
    with skip_on_interrupt() as skipped:

        def count(done: int, total: int) -> bool:
            progress(f"filming {done}/{total} (Ctrl-C skips)")
            return skipped()

        if not is_terminal():
            say("filming the policy (Ctrl-C skips)")
        try:
            film = _film_task if isinstance(player.env, MujocoTask) else film_rendering
            video = film(player, path, seconds, camera, count)
        except (VideoError, NonFiniteError) as error:
            video = None
            if not skipped():
                warn(f"no video: {error}")
        finally:
            progress("")
        if skipped():
            say("no video: skipped")
        return video


def _film_task(
    player: Any, path: Path, seconds: float, camera: str | None, count: Callable[[int, int], bool]
) -> Path | None:
    """Play first, then render the positions in another process."""
    env = player.env
    every = max(1, round(1.0 / (env.dt * FPS)))
    wanted = max(1, int(seconds / env.dt))
    pictures = -(-wanted // every)
    qpos: list[np.ndarray] = []
    returns: list[float] = []
    begins: list[int] = []
    total, steps, begun, ended = 0.0, 0, True, False

    def watch(step: Step) -> bool:
        nonlocal total, steps, begun, ended
        begun |= bool(step.done[0])
        total = float(step.reward.reshape(-1)[0]) + (0.0 if step.done[0] else total)
        if steps % every == 0:
            qpos.append(env.sim.qpos[0].double().cpu().numpy())
            returns.append(total)
            begins.extend([len(qpos) - 1] * begun)
            begun = False
            ended = count(0, pictures)
        steps += 1
        return ended or steps >= wanted

    player.run(on_step=watch, quiet=True)
    if ended:
        return None
    fps = 1.0 / (env.dt * every)
    film, options = np.stack(qpos), {"title": player.config.name, "returns": np.array(returns)}
    if imitates(env):
        beside = clip_in_step(env, film, np.array(begins), fps)
        film, options = np.stack((beside, film)), {"labels": ("motion", "policy")}
    return record_in_subprocess(
        env.sim.model,
        film,
        path,
        fps,
        SIDE_BY_SIDE if film.ndim == 3 else SIZE,
        camera or "track",
        budget=RENDERING * seconds,
        time_limit=max(TIME_LIMIT, 10 * RENDERING * seconds),
        report=_raise,
        watch=lambda done: count(done, pictures),
        **options,
    )


def _raise(message: str) -> None:
    raise VideoError(message.removeprefix("no video: "))


def draw_curve(folder: RunFolder) -> Path | None:
    """The run's ``curve.png``, or None when it could not be drawn (a warning says why)."""
    try:
        return plot_curve(folder.metrics_file, folder.curve_file)
    except (ImportError, OSError, ValueError) as error:
        warn(f"no learning curve: {error}")
        return None
