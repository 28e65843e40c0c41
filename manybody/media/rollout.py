"""The pictures of a run: its policy's video and its learning curve."""

from pathlib import Path
from typing import Any

import numpy as np

from manybody.engine.console import warn
from manybody.engine.run_folder import RunFolder
from manybody.envs.base import Step
from manybody.media.curve import plot_curve
from manybody.media.video import record_in_subprocess
from manybody.tasks import MujocoTask

SECONDS = 10.0
"""Length of a video."""
FPS = 30.0
"""Pictures per second, at most; the control rate divided by a whole number."""


def record_video(player: Any, path: Path) -> Path | None:
    """Let ``player`` act in its environment 0 for ten seconds and write that as a video.

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
    total, steps = 0.0, 0

    def watch(step: Step) -> bool:
        nonlocal total, steps
        total = float(step.reward.reshape(-1)[0]) + (0.0 if step.done[0] else total)
        if steps % every == 0:
            qpos.append(env.sim.qpos[0].double().cpu().numpy())
            returns.append(total)
        steps += 1
        return steps >= wanted

    player.run(on_step=watch, quiet=True)
    return record_in_subprocess(
        env.sim.model,
        np.stack(qpos),
        path,
        1.0 / (env.dt * every),
        title=player.config.name,
        returns=np.array(returns),
        report=warn,
    )


def draw_curve(folder: RunFolder) -> Path | None:
    """The run's ``curve.png``, or None when it could not be drawn (which was said)."""
    try:
        return plot_curve(folder.metrics_file, folder.curve_file)
    except (ImportError, OSError, ValueError) as error:
        warn(f"no learning curve: {error}")
        return None
