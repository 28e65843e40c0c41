"""Render recorded positions to H.264 videos, in this process or in a separate one."""

import importlib
import math
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from manybody.cli.interrupts import removed_on_exit
from manybody.config.files import expanded
from manybody.media.renderer import INSTALL_GL, Frame, VideoError, offscreen, views
from manybody.sim import mujoco

INSTALL_MEDIA = "pip install 'manybody[media]'"
MIN_FPS = 10.0
"""Minimum pictures per second of a video, also with a slow renderer."""
POLL_SECONDS = 0.1
"""Time between two checks of the rendering process."""


def media_package(module: str) -> Any:
    """Import a package of the ``media`` extra.

    Raises:
        VideoError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise VideoError(f"{module} is not installed ({error}); {INSTALL_MEDIA}") from error


def render_video(
    model: mujoco.MjModel,
    qpos: np.ndarray,
    path: str | Path,
    fps: float,
    size: tuple[int, int] = (640, 480),
    camera: str = "track",
    *,
    title: str = "",
    labels: Sequence[str] = (),
    returns: np.ndarray | None = None,
    budget: float = math.inf,
    progress: Callable[[int], object] = lambda _: None,
) -> Path:
    """Render recorded positions to an mp4 that plays in browsers (H.264, yuv420p).

    Args:
        model: the robot and its world; it is not changed.
        qpos: ``(K, nq)`` positions of K frames, or ``(E, K, nq)`` for E environments in a grid of tiles.
        path: the file, written atomically. Its folder is created.
        fps: rate at which ``qpos`` was recorded and is played, hertz.
        size: width and height of the whole picture, pixels; both even.
        camera: name of a camera of the model. Without a camera ``track``,
            :func:`~manybody.media.renderer.camera_path` places one.
        title: a short line in the top left corner.
        labels: E short lines, each in the top left corner of its tile.
        returns: ``(K,)`` or ``(E, K)`` return of the episode so far, shown next to the time.
        budget: approximate seconds for rendering; a slower machine renders fewer pictures per second, at least
            :data:`MIN_FPS`.
        progress: called after each picture with the number of frames that it completed.

    Raises:
        ValueError: a shape does not fit the model, positions are not finite, a side is odd, or the camera is unknown.
        VideoError: there is no OpenGL library or no video encoder.
    """
    target = Path(expanded(path))
    clips = np.asarray(qpos, dtype=np.float64)
    clips = clips[None] if clips.ndim == 2 else clips
    labels = labels or [""] * len(clips)
    _check(model, clips, size, camera)
    captions = _captions(clips, fps, returns)
    columns = math.ceil(math.sqrt(len(clips)))
    tile = (size[0] // columns, size[1] // math.ceil(len(clips) / columns))
    frames = clips.shape[1]
    with ExitStack() as stack:
        draw = stack.enter_context(offscreen(model, tile))
        cameras = [views(model, clip, fps, camera, tile) for clip in clips]
        every = _every(lambda: draw(clips[0, 0], cameras[0][0]), len(clips) * frames, fps, budget)
        write = stack.enter_context(open_video(target, size, fps / every))
        for k in range(0, frames, every):
            frame = np.zeros((size[1], size[0], 3), np.uint8)
            for e, clip in enumerate(clips):
                x, y = (e % columns) * tile[0], (e // columns) * tile[1]
                picture = draw(clip[k], cameras[e][k])
                frame[y : y + tile[1], x : x + tile[0]] = _with_text(picture, labels[e], captions[e][k])
            write(_with_text(frame, top=title))
            progress(min(every, frames - k))
    return target


def _check(model: mujoco.MjModel, clips: np.ndarray, size: tuple[int, int], camera: str) -> None:
    """Raise ValueError if the arguments of :func:`render_video` are invalid."""
    if clips.ndim != 3 or clips.shape[2] != model.nq or 0 in clips.shape:
        expected = f"(frames, {model.nq}) or (environments, frames, {model.nq}), at least one frame"
        raise ValueError(f"qpos: got shape {clips.shape}; expected {expected}")
    if not np.isfinite(clips).all():
        e, k, i = np.argwhere(~np.isfinite(clips))[0]
        raise ValueError(f"qpos[{e}, {k}, {i}]: got {clips[e, k, i]}; expected finite numbers. Cut the clip before it")
    if size[0] % 2 or size[1] % 2 or min(size) < 16:
        raise ValueError(f"size: got {size[0]} x {size[1]}; expected two even numbers from 16 on (yuv420p)")
    names = [model.camera(i).name for i in range(model.ncam)]
    if camera not in ("track", *names):
        raise ValueError(f"camera: got {camera!r}; expected 'track' or a camera of this model, {names}")


def _every(draw: Callable[[], Frame], pictures: int, fps: float, budget: float) -> int:
    """Return n such that rendering every n-th of ``pictures`` takes ``budget`` seconds; :data:`MIN_FPS` limits n."""
    if math.isinf(budget):
        return 1
    draw()  # the first picture takes longer
    began = time.monotonic()
    draw(), draw()
    wanted = math.ceil(pictures * (time.monotonic() - began) / 2 / budget)
    return max(1, min(wanted, round(fps / MIN_FPS)))


def _captions(clips: np.ndarray, fps: float, returns: np.ndarray | None) -> list[list[str]]:
    """Return the bottom line of each of the E x K pictures: time, and the return so far."""
    times = [f"{k / fps:.1f} s" for k in range(clips.shape[1])]
    if returns is None:
        return [times] * len(clips)
    rows = np.broadcast_to(returns, clips.shape[:2])
    return [[f"{time}   return {value:,.0f}" for time, value in zip(times, row, strict=True)] for row in rows]


def _with_text(picture: Frame, top: str = "", bottom: str = "") -> Frame:
    """Add a line to the top left and the bottom left corner, on a dark rounded strip."""
    if not top and not bottom:
        return picture
    image = media_package("PIL.Image").fromarray(np.ascontiguousarray(picture))
    pen = media_package("PIL.ImageDraw").Draw(image, "RGBA")
    text_height = max(11, image.height // 30)
    font = media_package("PIL.ImageFont").load_default(size=text_height)
    margin, pad = text_height * 0.8, text_height * 0.5
    for text, anchor, y in ((top, "la", margin + pad), (bottom, "ls", image.height - margin - pad)):
        if text:
            left, above, right, below = pen.textbbox((margin + pad, y), text, font=font, anchor=anchor)
            strip = (left - pad, above - pad, right + pad, below + pad)
            pen.rounded_rectangle(strip, radius=pad, fill=(16, 20, 28, 150))
            pen.text((margin + pad, y), text, font=font, anchor=anchor, fill=(255, 255, 255, 235))
    return np.asarray(image)


def record_in_subprocess(
    model: mujoco.MjModel,
    qpos: np.ndarray,
    path: str | Path,
    fps: float,
    *,
    time_limit: float = 180.0,
    watch: Callable[[int], object] = lambda _: None,
    **options: object,
) -> Path:
    """Call :func:`render_video` in a separate process, so that a crash of a graphics driver raises an error here.

    Rendering stops after ``time_limit`` seconds, or if ``watch`` raises an error: it is called several times a second
    with the number of completed frames. All other arguments are those of :func:`render_video`.

    Raises:
        VideoError: rendering failed, crashed or was stopped.
    """
    target = Path(expanded(path)).absolute()
    # The child must find the same packages as this process.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with tempfile.TemporaryFile() as job, tempfile.TemporaryFile() as stderr:
        pickle.dump(((model, qpos, target, fps), options), job)
        job.seek(0)
        with subprocess.Popen(
            [sys.executable, "-m", "manybody.media.video"],
            env=environment,
            stdin=job,
            stdout=subprocess.PIPE,
            stderr=stderr,
            start_new_session=True,  # only this process handles Ctrl-C
        ) as child:
            try:
                status = _wait(child, time_limit, watch)
            finally:
                _partial(target, child.pid).unlink(missing_ok=True)
        stderr.seek(0)
        lines = stderr.read().decode(errors="replace").strip().splitlines()
    if status < 0:
        raise VideoError(f"the renderer crashed ({signal.Signals(-status).name}); {INSTALL_GL}, and {INSTALL_MEDIA}")
    if status > 0:
        reason = lines[-1] if lines else f"the renderer ended with status {status}"
        raise VideoError(reason.removeprefix(f"{VideoError.__module__}.VideoError: "))
    return target


def _wait(child: subprocess.Popen, time_limit: float, watch: Callable[[int], object]) -> int:
    """Wait for a process that writes a byte for each completed frame, and return its exit status."""
    assert child.stdout is not None
    output, done = child.stdout.fileno(), 0

    def count() -> None:
        nonlocal done
        while received := os.read(output, 4096):
            done += len(received)

    reader = threading.Thread(target=count, daemon=True)
    reader.start()
    end = time.monotonic() + time_limit
    try:
        while (status := child.poll()) is None:
            watch(done)
            if time.monotonic() > end:
                raise VideoError(f"rendering took longer than {time_limit:g} s; use fewer frames or a smaller size")
            time.sleep(min(POLL_SECONDS, time_limit))
    finally:
        child.kill()
        reader.join()
    return status


def _main() -> None:
    """Render the job that :func:`record_in_subprocess` wrote to the standard input; end if the parent ends."""
    frames_done = os.dup(1)
    os.dup2(2, 1)  # messages of a graphics driver must not be counted as frames
    arguments, options = pickle.load(sys.stdin.buffer)
    render_video(*arguments, **options, progress=lambda frames: os.write(frames_done, b"." * frames))


@contextmanager
def open_video(target: Path, size: tuple[int, int], fps: float) -> Iterator[Callable[[Frame], None]]:
    """Yield a function that encodes a frame of ``size``; write ``target`` if the block ends without an error."""
    encode = media_package("imageio_ffmpeg").write_frames  # H.264, yuv420p
    # faststart puts the index first, so that a browser plays while it loads
    options = ["-crf", "20", "-preset", "fast", "-movflags", "+faststart"]
    settings = {"fps": float(fps), "quality": None, "macro_block_size": 1, "ffmpeg_log_level": "error"}
    target.parent.mkdir(parents=True, exist_ok=True)
    with removed_on_exit(_partial(target, os.getpid())) as partial:
        with closing(encode(str(partial), size, output_params=options, **settings)) as sink:
            sink.send(None)
            yield lambda frame: sink.send(np.ascontiguousarray(frame))
        if not partial.exists():
            raise VideoError(f"the encoder left no file in {target.parent}. Check its free space, and try again")
        os.replace(partial, target)


def _partial(target: Path, process: int) -> Path:
    """Return the temporary path to which the process with this id writes ``target``."""
    return target.with_name(f".{target.stem}.{process}.partial{target.suffix}")


def frame_rate(path: Path) -> float:
    """Return the pictures per second of a video file."""
    return float(next(media_package("imageio_ffmpeg").read_frames(str(path)))["fps"])


def read_video(path: Path) -> list[Frame]:
    """Return all frames of a video file."""
    reader = media_package("imageio_ffmpeg").read_frames(str(path))
    width, height = next(reader)["size"]
    return [np.frombuffer(raw, np.uint8).reshape(height, width, 3) for raw in reader]


if __name__ == "__main__":
    _main()
