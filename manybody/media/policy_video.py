"""Record videos of policies in MuJoCo tasks and in environments with their own rendering."""

import contextlib
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from manybody.algos.player import BasePlayer
from manybody.config.root import VIDEO_SECONDS
from manybody.engine.console import is_terminal, progress, say, warn
from manybody.engine.guard import NonFiniteError
from manybody.engine.signals import skip_on_interrupt
from manybody.envs.base import Step, VecEnv
from manybody.envs.registration import create_vec_env
from manybody.media.motion import clip_in_step, imitates
from manybody.media.renderer import Frame, VideoError, gl_backend
from manybody.media.video import open_video, record_in_subprocess
from manybody.tasks import MujocoTask

FPS = 30.0
"""Maximum pictures per second; the rate is the control rate divided by a whole number."""
SIZE = (480, 360)
"""Width and height of a video, pixels. Five seconds take about 7 s of rendering on two cores without a GPU."""
SIDE_BY_SIDE = (640, 360)
"""Width and height of a video of motion and policy, pixels."""
RENDERING = 2.0
"""Seconds of rendering for each second of a video, so that the video of a run takes less than 15 s."""
TIME_LIMIT = 360.0
"""Maximum seconds for rendering, for a busy machine."""
MIN_SIDE = 240
"""Minimum side in pixels; smaller pictures, such as those of grid worlds, are enlarged by a whole number."""
RENDER_TIME_LIMIT = 15.0
"""Maximum seconds for an environment that renders itself; a slow one gets a shorter video."""


def record_video(
    player: BasePlayer, path: Path, seconds: float = VIDEO_SECONDS, camera: str | None = None
) -> Path | None:
    """Play in environment 0 and write a video, with a progress line.

    If the task imitates a motion, the motion is on the left and the policy on the right. An environment that is not a
    MuJoCo task is filmed with its ``render()``.

    Args:
        player: a restored player.
        path: the mp4 to write.
        seconds: length of the video.
        camera: a camera of the task's model; None: ``track``, or the model's default.

    Returns:
        The path, or None if it failed (with a warning) or was skipped by Ctrl-C.
    """
    with skip_on_interrupt() as skipped:

        def count(done: int, total: int) -> None:
            progress(f"filming {done}/{total} (Ctrl-C skips)")
            if skipped():
                raise VideoError("skipped")

        if not is_terminal():
            say("filming the policy (Ctrl-C skips)")
        film = _film_task if isinstance(player.env, MujocoTask) else _film_rendering
        try:
            film(player, path, seconds, camera, count)
            return path
        except (VideoError, NonFiniteError, OSError) as error:
            show, reason = (say, "skipped") if skipped() else (warn, str(error))
        finally:
            progress("")
        show(f"no video: {reason}")
        return None


def _film_task(
    player: BasePlayer, path: Path, seconds: float, camera: str | None, count: Callable[[int, int], None]
) -> None:
    """Play, then render the positions in another process."""
    env = player.env
    assert isinstance(env, MujocoTask)
    every = max(1, round(1.0 / (env.dt * FPS)))
    wanted = max(1, int(seconds / env.dt))
    pictures = -(-wanted // every)
    qpos: list[np.ndarray] = []
    returns: list[float] = []
    starts: list[int] = []
    total, steps, new_episode = 0.0, 0, True

    def watch(step: Step) -> bool:
        nonlocal total, steps, new_episode
        new_episode |= bool(step.done[0])
        total = float(step.reward.reshape(-1)[0]) + (0.0 if step.done[0] else total)
        if steps % every == 0:
            qpos.append(env.sim.qpos[0].double().cpu().numpy())
            returns.append(total)
            starts.extend([len(qpos) - 1] * new_episode)
            new_episode = False
            count(0, pictures)
        steps += 1
        return steps >= wanted

    player.run(on_step=watch, quiet=True)
    fps = 1.0 / (env.dt * every)
    film = np.stack(qpos)
    labels: tuple[str, ...] = ()
    if imitates(env):
        film = np.stack((clip_in_step(env, film, np.array(starts), fps), film))
        labels = ("motion", "policy")
    record_in_subprocess(
        env.sim.model,
        film,
        path,
        fps,
        time_limit=max(TIME_LIMIT, 10 * RENDERING * seconds),
        watch=lambda done: count(done, pictures),
        size=SIDE_BY_SIDE if labels else SIZE,
        camera=camera or "track",
        budget=RENDERING * seconds,
        labels=labels,
        title="" if labels else player.config.name,
        returns=None if labels else np.array(returns),
    )


def _film_rendering(
    player: BasePlayer, path: Path, seconds: float, camera: str | None, count: Callable[[int, int], None]
) -> None:
    """Play in an environment with ``render_mode='rgb_array'``, which replaces the player's, and write the video."""
    name = player.config.env_name
    if camera is not None:
        raise VideoError(f"video.camera: got {camera!r}; expected none, because {name} renders itself")
    with _offscreen_gymnasium(), contextlib.ExitStack() as stack:
        before, player.env = player.env, _rendering_env(player)
        if player.env is not before:
            stack.callback(player.env.close)
        renderer = _renderer(player.env)
        rate = float(_metadata(renderer).get("render_fps") or FPS)
        every = max(1, round(rate / FPS))
        pictures = max(1, int(seconds * rate / every))
        write: Callable[[Frame], None] | None = None
        end, steps = time.monotonic() + RENDER_TIME_LIMIT, 0

        def watch(_: Step) -> bool:
            nonlocal write, steps
            if steps % every == 0:
                frame = _picture(renderer, name)
                if write is None:
                    size = frame.shape[1], frame.shape[0]
                    write = stack.enter_context(open_video(path, size, rate / every))
                write(frame)
                count(steps // every + 1, pictures)
            steps += 1
            return steps > (pictures - 1) * every or time.monotonic() > end

        player.run(on_step=watch, quiet=True)


def _renderer(env: VecEnv) -> object:
    """Return the object that has ``render()``: the environment, or the one of another library inside it."""
    return getattr(env, "renderer", env)


def _metadata(renderer: object) -> Mapping[str, Any]:
    return getattr(renderer, "metadata", None) or {}


def _rendering_env(player: BasePlayer) -> VecEnv:
    """Return an environment like the player's whose ``render()`` returns pictures."""
    env, name = player.env, player.config.env_name
    renderer = _renderer(env)
    if not callable(getattr(renderer, "render", None)):
        raise VideoError(f"{name}: {type(renderer).__name__} has no render()")
    modes = _metadata(renderer).get("render_modes")
    if (modes is None and renderer is env) or getattr(renderer, "render_mode", None) == "rgb_array":
        return env
    if "rgb_array" not in (modes or ()):
        raise VideoError(f"{name}: got render modes {list(modes or ())}; expected 'rgb_array' among them")
    env_config = player.player_config.env_config or player.config.env_config
    settings = {"seed": player.params.seed, **env_config, "render_mode": "rgb_array"}
    try:
        rendering = create_vec_env(name, 1, **settings)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise VideoError(f"{name}: cannot be made with render_mode='rgb_array' ({reason})") from error
    env.close()
    return rendering


def _picture(renderer: Any, name: str) -> Frame:
    """Return a picture with even sides, which the encoder requires."""
    try:
        frame = renderer.render()
    except Exception as error:  # for example, a missing package or display
        raise VideoError(f"{name}: render() stopped with {type(error).__name__}: {error}") from error
    if isinstance(frame, list | tuple) and frame:  # one of each copy
        frame = frame[0]
    if not isinstance(frame, np.ndarray) or frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
        got = f"{frame.dtype} {frame.shape}" if isinstance(frame, np.ndarray) else type(frame).__name__
        raise VideoError(f"{name}: got {got} from render(); expected a uint8 array (height, width, 3)")
    larger = max(1, MIN_SIDE // max(1, min(frame.shape[:2])))
    frame = frame.repeat(larger, axis=0).repeat(larger, axis=1)
    return frame[: frame.shape[0] // 2 * 2, : frame.shape[1] // 2 * 2]


@contextlib.contextmanager
def _offscreen_gymnasium() -> Iterator[None]:
    """Let Gymnasium's MuJoCo environments render without a display."""
    if platform.system() != "Linux" or os.environ.get("MUJOCO_GL"):
        yield
        return
    with contextlib.suppress(VideoError):  # without an OpenGL library; not every environment needs one
        os.environ["MUJOCO_GL"] = gl_backend()
    try:
        yield
    finally:
        os.environ.pop("MUJOCO_GL", None)
