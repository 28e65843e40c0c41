"""The pictures of a run: its policy's video and its learning curve."""

from pathlib import Path
from typing import Any

import numpy as np

from manybody.engine.console import warn
from manybody.engine.play_guard import NonFiniteError
from manybody.engine.run_folder import RunFolder
from manybody.envs.base import Step
from manybody.media.curve import plot_curve
from manybody.media.motion import clip_in_step, imitates
from manybody.media.video import record_in_subprocess
from manybody.tasks import MujocoTask

SECONDS = 10.0
"""Length of a video."""
FPS = 30.0
"""Pictures per second, at most; the control rate divided by a whole number."""
SIDE_BY_SIDE = (720, 480)
"""Width and height of a video of motion and policy, pixels."""
TIME_LIMIT = 360.0
"""Seconds for rendering. On two cores with seven busy processes, ten seconds of motion and policy took 163."""


def record_video(player: Any, path: Path) -> Path | None:
    """Let ``player`` act in its environment 0 for ten seconds and write that as a video.

    Where the task imitates a motion, the motion is on the left and the policy on the right.

    Args:
        player: a restored player of a MuJoCo task.
        path: the mp4 to write.

    Returns:
        The path, or None when it could not be made (which was said, with what to install).
    """
    env = player.env
    if not isinstance(env, MujocoTask):
        warn(f"no video: {type(env).__name__} is not a MuJoCo task")
        return None
    every = max(1, round(1.0 / (env.dt * FPS)))
    wanted = int(SECONDS / env.dt)
    qpos: list[np.ndarray] = []
    returns: list[float] = []
    begins: list[int] = []
    total, steps, begun = 0.0, 0, True

    def watch(step: Step) -> bool:
        nonlocal total, steps, begun
        begun |= bool(step.done[0])
        total = float(step.reward.reshape(-1)[0]) + (0.0 if step.done[0] else total)
        if steps % every == 0:
            qpos.append(env.sim.qpos[0].double().cpu().numpy())
            returns.append(total)
            begins.extend([len(qpos) - 1] * begun)
            begun = False
        steps += 1
        return steps >= wanted

    try:
        player.run(on_step=watch, quiet=True)
    except NonFiniteError as error:
        warn(f"no video: {error}")
        return None
    fps = 1.0 / (env.dt * every)
    film, options = np.stack(qpos), {"title": player.config.name, "returns": np.array(returns)}
    if imitates(env):
        beside = clip_in_step(env, film, np.array(begins), fps)
        film, options = np.stack((beside, film)), {"labels": ("motion", "policy"), "size": SIDE_BY_SIDE}
    return record_in_subprocess(env.sim.model, film, path, fps, time_limit=TIME_LIMIT, report=warn, **options)


def draw_curve(folder: RunFolder) -> Path | None:
    """The run's ``curve.png``, or None when it could not be drawn (which was said)."""
    try:
        return plot_curve(folder.metrics_file, folder.curve_file)
    except (ImportError, OSError, ValueError) as error:
        warn(f"no learning curve: {error}")
        return None
