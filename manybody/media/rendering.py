"""Videos of environments that draw themselves: with Gymnasium's ``render()``, or PettingZoo's."""

import contextlib
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from manybody.envs.base import Step, VecEnv
from manybody.envs.registration import create_vec_env
from manybody.media.renderer import Frame, VideoError, gl_backend
from manybody.media.video import open_video

FPS = 30.0
"""Pictures per second, at most."""
SMALLEST = 240
"""Pixels: smaller pictures are enlarged by a whole number, those of grid worlds for example."""
TIME_LIMIT = 15.0
"""Seconds. A slower environment gets a shorter video."""


def film_rendering(
    player: Any, path: Path, seconds: float, camera: str | None, count: Callable[[int, int], bool]
) -> Path | None:
    """Let ``player`` act in one environment that draws itself, and write that as a video.

    Args:
        player: a restored player; its environment is replaced by one with ``render_mode='rgb_array'``.
        path: the mp4 to write.
        seconds: length of the video.
        camera: not for these environments.
        count: called with the numbers of pictures done and wanted; true ends filming.

    Returns:
        The path, or None when ``count`` ended it.

    Raises:
        VideoError: the environment draws nothing; says why and what to do.
    """
    if camera is not None:
        raise VideoError(f"video.camera: got {camera!r}; expected none, as {_name(player)} draws itself")
    with _offscreen_gymnasium(), contextlib.ExitStack() as video:
        before, player.env = player.env, _drawing(player)
        env = player.env
        if env is not before:
            video.callback(env.close)
        rate = float(_metadata(_drawn(env)).get("render_fps") or FPS)
        every = max(1, round(rate / FPS))
        pictures = max(1, int(seconds * rate / every))
        write: Callable[[Frame], None] | None = None
        end, steps, done, skipped = time.monotonic() + TIME_LIMIT, 0, 0, False

        def watch(step: Step) -> bool:
            nonlocal write, steps, done, skipped
            if steps % every == 0:
                frame = _picture(env, _name(player))
                if write is None:
                    size = frame.shape[1], frame.shape[0]
                    write = video.enter_context(open_video(path, size, rate / every))
                write(frame)
                done += 1
                skipped = count(done, pictures)
                if skipped:
                    raise VideoError("skipped")
            steps += 1
            return done >= pictures or time.monotonic() > end

        player.run(on_step=watch, quiet=True)
    return path


def _name(player: Any) -> str:
    return str(player.config.env_name)


def _drawn(env: Any) -> Any:
    """What has the ``render()``: the environment, or the one of another library inside."""
    return getattr(env, "drawn", env)


def _metadata(drawn: Any) -> Mapping[str, Any]:
    return getattr(drawn, "metadata", None) or {}


def _drawing(player: Any) -> VecEnv:
    """An environment like the player's whose ``render()`` gives pictures."""
    env, name = player.env, _name(player)
    drawn = _drawn(env)
    if not callable(getattr(drawn, "render", None)):
        raise VideoError(f"{name}: {type(drawn).__name__} has no render()")
    modes = _metadata(drawn).get("render_modes")
    if (modes is None and drawn is env) or getattr(drawn, "render_mode", None) == "rgb_array":
        return env
    if "rgb_array" not in (modes or ()):
        raise VideoError(f"{name}: got render modes {list(modes or ())}; expected 'rgb_array' among them")
    env_config = player.player_config.env_config or player.config.env_config
    settings = {"seed": player.params.seed, **env_config, "render_mode": "rgb_array"}
    try:
        drawing = create_vec_env(name, 1, **settings)
    except Exception as error:
        raise VideoError(
            f"{name}: cannot be made with render_mode='rgb_array' ({type(error).__name__}: {error})"
        ) from error
    env.close()
    return drawing


def _picture(env: Any, name: str) -> Frame:
    """What ``env`` looks like, with even sides (as the encoder needs them)."""
    try:
        frame = _drawn(env).render()
    except Exception as error:  # a package or a display that is missing; the library of the environment says which
        raise VideoError(f"{name}: render() stopped with {type(error).__name__}: {error}") from error
    if isinstance(frame, list | tuple) and frame:  # of each copy
        frame = frame[0]
    if not isinstance(frame, np.ndarray) or frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
        got = f"{frame.dtype} {frame.shape}" if isinstance(frame, np.ndarray) else type(frame).__name__
        raise VideoError(f"{name}: got {got} from render(); expected a uint8 array (height, width, 3)")
    larger = max(1, SMALLEST // max(1, min(frame.shape[:2])))
    frame = frame.repeat(larger, axis=0).repeat(larger, axis=1)
    return frame[: frame.shape[0] // 2 * 2, : frame.shape[1] // 2 * 2]


@contextlib.contextmanager
def _offscreen_gymnasium() -> Iterator[None]:
    """While the block runs, Gymnasium's MuJoCo environments draw without a display, which they do not by default."""
    if platform.system() != "Linux" or os.environ.get("MUJOCO_GL"):
        yield
        return
    with contextlib.suppress(VideoError):  # this machine has no such library; not every environment needs one
        os.environ["MUJOCO_GL"] = gl_backend()
    try:
        yield
    finally:
        os.environ.pop("MUJOCO_GL", None)
