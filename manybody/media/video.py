"""Videos of recorded motion, encoded as H.264, in this process or safely in one of their own."""

import json
import logging
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from manybody.config.files import expanded
from manybody.media.labels import INSTALL_MEDIA, captions_of, labelled, media_package
from manybody.media.renderer import INSTALL_GL, Frame, VideoError, offscreen, views
from manybody.sim import mujoco

LOGGER = logging.getLogger(__name__)

FEWEST = 10.0
"""Pictures per second of a video, at least, however long they take."""

POLL_SECONDS = 0.1
"""Between two looks at a process that renders."""


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
    progress: Callable[[int], object] | None = None,
) -> Path:
    """Render recorded positions to an mp4 that plays in browsers (H.264, yuv420p).

    Args:
        model: the robot and its world; left unchanged.
        qpos: ``(K, nq)`` positions of K frames, or ``(E, K, nq)`` for E environments in a grid of tiles.
        path: the file to write; its folder is created. It appears only when it is complete.
        fps: frames per second of playback, which is also the rate at which ``qpos`` was recorded (hertz).
        size: width and height of the whole picture, pixels; both even.
        camera: name of a camera of the model. ``track`` may be absent: a camera is then placed by
            :func:`~manybody.media.renderer.camera_path`.
        title: a short line shown in the top left corner.
        labels: E short lines instead, each in the top left corner of its environment's tile.
        returns: ``(K,)`` or ``(E, K)`` return of the episode so far, shown beside the time.
        budget: seconds that rendering may take, about; a slower machine draws fewer pictures a second, 10 at least.
        progress: called with the number of frames that are done, after each picture.

    Returns:
        ``path``.

    Raises:
        ValueError: shapes that do not fit the model, non-finite positions, an odd size or an unknown camera.
        VideoError: no OpenGL library or no video encoder.
    """
    target = Path(expanded(path))
    clips = np.asarray(qpos, dtype=np.float64)
    clips = clips[None] if clips.ndim == 2 else clips
    captions = captions_of(clips, fps, returns)
    labels = labels or [""] * len(clips)
    _check(model, clips, size, camera)
    if len(labels) != len(clips):
        raise ValueError(f"labels: {len(labels)} given, {len(clips)} expected, one for each environment")
    columns, rows = _grid(len(clips))
    tile = (size[0] // columns, size[1] // rows)
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
                frame[y : y + tile[1], x : x + tile[0]] = labelled(picture, labels[e], captions[e][k])
            write(labelled(frame, top=title))
            if progress is not None:
                progress(min(k + every, frames))
    return target


def _every(draw: Callable[[], Frame], pictures: int, fps: float, budget: float) -> int:
    """Of how many frames one can be drawn, so that ``pictures`` take ``budget`` seconds and the video does not jerk."""
    if math.isinf(budget):
        return 1
    draw()  # the first picture takes longer
    began = time.monotonic()
    draw(), draw()
    wanted = math.ceil(pictures * (time.monotonic() - began) / 2 / budget)
    return max(1, min(wanted, round(fps / FEWEST)))


def record_in_subprocess(
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
    time_limit: float = 180.0,
    report: Callable[[str], None] = LOGGER.warning,
    watch: Callable[[int], bool] = lambda _: False,
) -> Path | None:
    """:func:`render_video` in a process of its own: whatever goes wrong there, the caller goes on.

    A missing library, a crash inside a graphics driver or a rendering that takes too long becomes one call of
    ``report``.

    Args:
        model: as for :func:`render_video`, like all down to ``returns``.
        qpos: ``(K, nq)`` or ``(E, K, nq)``.
        path: the mp4.
        fps: hertz.
        size: width and height, pixels.
        camera: a camera of the model, or ``track``.
        title: a short line.
        labels: E short lines.
        returns: ``(K,)`` or ``(E, K)``.
        budget: seconds.
        time_limit: seconds after which the rendering is stopped.
        report: takes the one line that says why there is no video and what to do.
        watch: called several times a second with the number of frames that are done; true ends the rendering.

    Returns:
        ``path``, or None when there is no video.
    """
    target = Path(expanded(path)).absolute()
    options = {"path": str(target), "fps": float(fps), "size": list(size), "camera": camera}
    options |= {"title": title, "labels": list(labels), "budget": budget}
    try:
        with tempfile.TemporaryDirectory(prefix="manybody-video-") as folder:
            job = Path(folder)
            mujoco.mj_saveModel(model, str(job / "model.mjb"))
            np.save(job / "qpos.npy", np.asarray(qpos, np.float64), allow_pickle=False)
            if returns is not None:
                np.save(job / "returns.npy", np.asarray(returns, np.float64), allow_pickle=False)
            (job / "options.json").write_text(json.dumps(options), encoding="utf-8")
            failure = _run_job(job, target, time_limit, watch)
    except Exception as error:  # a full disk or an odd model must not end a training run either
        failure = f"{type(error).__name__}: {error}"
    if failure is None:
        return target
    report(f"no video: {failure}")
    return None


def contact_sheet(
    frames: str | Path | Sequence[Frame],
    path: str | Path,
    *,
    count: int = 8,
    columns: int = 4,
    window: slice = slice(None),
) -> Path:
    """A PNG of evenly spaced frames in reading order: a gait at a glance.

    Args:
        frames: a video file, or the frames themselves.
        path: the PNG to write.
        count: pictures on the sheet, fewer when there are fewer frames.
        columns: pictures in a row.
        window: the part of the frames to choose from, by frame index.

    Returns:
        ``path``.

    Raises:
        ValueError: no frames in the window.
        VideoError: the packages of the ``media`` extra are missing.
    """
    chosen = (read_video(Path(frames)) if isinstance(frames, str | Path) else list(frames))[window]
    if not chosen:
        raise ValueError(f"frames: none given within {window}; at least one was expected")
    chosen = [chosen[i] for i in np.linspace(0, len(chosen) - 1, min(count, len(chosen))).round().astype(int)]
    height, width, _ = chosen[0].shape
    columns = min(columns, len(chosen))
    rows = math.ceil(len(chosen) / columns)
    sheet = np.full((rows * height, columns * width, 3), 255, np.uint8)
    for i, frame in enumerate(chosen):
        y, x = (i // columns) * height, (i % columns) * width
        sheet[y : y + height, x : x + width] = frame
    target = Path(expanded(path))
    with _whole(target) as partial:
        media_package("PIL.Image").fromarray(sheet).save(partial, format="PNG")
    return target


@contextmanager
def open_video(target: Path, size: tuple[int, int], fps: float) -> Iterator[Callable[[Frame], None]]:
    """Gives a function that encodes a frame of ``size``; ``target`` appears when all went well."""
    encoder = media_package("imageio_ffmpeg")
    with _whole(target) as partial:
        with closing(
            encoder.write_frames(
                str(partial),
                size,
                fps=float(fps),
                codec="libx264",
                pix_fmt_out="yuv420p",
                quality=None,
                macro_block_size=1,
                ffmpeg_log_level="error",
                # faststart puts the index first, so that a browser plays while it loads
                output_params=["-crf", "20", "-preset", "fast", "-movflags", "+faststart"],
            )
        ) as sink:
            sink.send(None)
            yield lambda frame: sink.send(np.ascontiguousarray(frame))
        if not partial.exists():
            raise VideoError(f"the encoder left no file in {target.parent}; see that it has space, and try again")


@contextmanager
def _whole(target: Path) -> Iterator[Path]:
    """A name to write ``target`` under; it gets its own when the block ends well, otherwise nothing is left."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = _partial(target, os.getpid())

    def remove_first(number: int, _: FrameType | None) -> None:
        partial.unlink(missing_ok=True)
        signal.signal(number, previous[number])
        signal.raise_signal(number)

    previous: dict[int, Any] = {}
    try:
        if threading.current_thread() is threading.main_thread():  # elsewhere Python allows no handlers
            for end in (signal.SIGINT, signal.SIGTERM):  # whose handler may end the process at once
                if signal.getsignal(end) not in (signal.SIG_IGN, None):
                    previous[end] = signal.signal(end, remove_first)
        yield partial
        os.replace(partial, target)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        partial.unlink(missing_ok=True)


def _partial(target: Path, process: int) -> Path:
    """The name under which the process with this id writes ``target`` until it is complete."""
    return target.with_name(f".{target.stem}.{process}.partial{target.suffix}")


def frame_rate(path: Path) -> float:
    """Pictures per second of a video file."""
    return float(next(media_package("imageio_ffmpeg").read_frames(str(path)))["fps"])


def read_video(path: Path) -> list[Frame]:
    """All frames of a video file."""
    reader = media_package("imageio_ffmpeg").read_frames(str(path))
    width, height = next(reader)["size"]
    return [np.frombuffer(raw, np.uint8).reshape(height, width, 3) for raw in reader]


def _grid(count: int) -> tuple[int, int]:
    """Columns and rows of the smallest near-square grid with ``count`` tiles."""
    columns = math.ceil(math.sqrt(count))
    return columns, math.ceil(count / columns)


def _check(model: mujoco.MjModel, clips: np.ndarray, size: tuple[int, int], camera: str) -> None:
    """Refuse what cannot be rendered, before anything is opened."""
    if clips.ndim != 3 or clips.shape[2] != model.nq or 0 in clips.shape:
        shapes = f"(frames, {model.nq}) or (environments, frames, {model.nq})"
        raise ValueError(f"qpos: {shapes} with at least one frame expected, shape {clips.shape} given")
    if not np.isfinite(clips).all():
        e, k, i = np.argwhere(~np.isfinite(clips))[0]
        raise ValueError(f"qpos[{e}, {k}, {i}] is {clips[e, k, i]}; cut the clip before the physics diverged")
    if size[0] % 2 or size[1] % 2 or min(size) < 16:
        raise ValueError(f"size: {size[0]} x {size[1]} given, two even numbers of at least 16 expected (yuv420p)")
    names = [model.camera(i).name for i in range(model.ncam)]
    if camera != "track" and camera not in names:
        raise ValueError(f"camera: no {camera!r} in this model; 'track' or one of {names}")


def _run_job(job: Path, target: Path, time_limit: float, watch: Callable[[int], bool]) -> str | None:
    """Render the job folder in a new process; why there is no ``target``, or None."""
    # the child finds exactly the packages this process finds, wherever either was started
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with (
        (job / "stderr").open("w+b") as stderr,
        (job / "stdout").open("w+b") as stdout,
        subprocess.Popen(
            [sys.executable, "-m", "manybody.media.video", str(job)],
            env=environment,
            stdin=subprocess.PIPE,  # open as long as this process lives, see _end_with_parent
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,  # Ctrl-C is the trainer's to handle
        ) as child,
    ):
        end = time.monotonic() + time_limit
        try:
            while (status := child.poll()) is None:
                # The child's file is as long as frames are done.
                if watch(os.fstat(stdout.fileno()).st_size):
                    return "skipped"
                if time.monotonic() > end:
                    return f"rendering took longer than {time_limit:g} s; ask for fewer frames or a smaller size"
                time.sleep(min(POLL_SECONDS, time_limit))
        finally:
            child.kill()
            _partial(target, child.pid).unlink(missing_ok=True)
        stderr.seek(0)
        lines = stderr.read().decode(errors="replace").strip().splitlines()
    if status == 0:
        return None
    if status < 0:
        return f"the renderer crashed ({signal.Signals(-status).name}); {INSTALL_GL}, and {INSTALL_MEDIA}"
    return (
        lines[-1].removeprefix("manybody.media.renderer.VideoError: ")
        if lines
        else f"the renderer ended with status {status}"
    )


def _main(job: Path) -> None:
    """Render the job that :func:`record_in_subprocess` wrote."""
    options = json.loads((job / "options.json").read_text(encoding="utf-8"))
    returns = job / "returns.npy"
    partial = _partial(Path(options["path"]), os.getpid())
    threading.Thread(target=_end_with_parent, args=(job, partial), daemon=True).start()
    frames_done = os.dup(1)
    os.dup2(2, 1)  # what a graphics driver has to say is no frame
    render_video(
        mujoco.MjModel.from_binary_path(str(job / "model.mjb")),
        np.load(job / "qpos.npy"),
        options["path"],
        options["fps"],
        (options["size"][0], options["size"][1]),
        options["camera"],
        title=options["title"],
        labels=options["labels"],
        returns=np.load(returns) if returns.exists() else None,
        budget=options["budget"],
        progress=lambda done: os.write(frames_done, b"." * (done - os.lseek(frames_done, 0, os.SEEK_CUR))),
    )


def _end_with_parent(job: Path, partial: Path) -> None:
    """End this process when the one that wants the video is gone, and leave nothing behind."""
    os.read(0, 1)  # of a pipe into which nobody writes: returns when its other end is closed
    partial.unlink(missing_ok=True)
    shutil.rmtree(job, ignore_errors=True)
    os._exit(1)


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
