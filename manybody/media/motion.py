"""Pictures of motion clips: a humanoid put into their poses, without physics; a policy beside the clip it imitates."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from manybody.media.renderer import Frame, offscreen, views
from manybody.media.video import contact_sheet, frame_rate, read_video, render_video
from manybody.motion.clip import Clip
from manybody.motion.imitation import pose_distances
from manybody.motion.library import MotionLib
from manybody.sim import mujoco
from manybody.tasks.articulation import Articulation
from manybody.tasks.base import ASSETS
from manybody.tasks.humanoid_amp import HumanoidAMP, seen_from_root

FPS = 30.0
"""Pictures per second."""
TILE = (200, 300)
"""Width and height of a picture in a strip, pixels."""
COLUMNS, STRIP_SECONDS = 8, 2.0
"""Pictures in each row of a strip of clip and policy, and the time from the first to the last."""


def humanoid() -> tuple[mujoco.MjModel, Articulation]:
    """The model of HumanoidAMP, and what poses it."""
    model = mujoco.MjModel.from_xml_path(str(ASSETS / HumanoidAMP.asset))
    return model, Articulation(model, torch.device("cpu"))


def poses(clip: Clip, body: Articulation, times: np.ndarray) -> np.ndarray:
    """``qpos`` (K, nq) of ``body`` in ``clip``, of the same bodies, at ``times`` (K,) s.

    Raises:
        MotionError: the clip is of other bodies, or lacks offsets.
    """
    motions = MotionLib([clip])
    motions.check_skeleton(body.body_names, body.parents)
    state = motions.state(torch.zeros(len(times), dtype=torch.long), torch.tensor(times, dtype=torch.float32))
    return body.coordinates(state)[0].double().numpy()


def film_clip(clip: Clip, path: Path, title: str) -> Path:
    """A video of ``clip``, of the humanoid's bodies; returns ``path``, an mp4.

    Raises:
        VideoError: no OpenGL library or no video encoder.
    """
    model, body = humanoid()
    times = np.arange(0, clip.length, 1 / FPS)
    return render_video(model, poses(clip, body, times), path, FPS, title=title)


def draw_clip(clip: Clip, path: Path, frames: int) -> Path:
    """A strip of ``frames`` evenly spaced frames of ``clip``, of the humanoid's bodies; returns ``path``, a PNG.

    Raises:
        VideoError: no OpenGL library, or Pillow is missing.
    """
    model, body = humanoid()
    times = np.linspace(0, clip.length, frames)
    pictures = draw(model, poses(clip, body, times), TILE)
    return contact_sheet(pictures, path, count=frames, columns=frames)


def draw(model: mujoco.MjModel, qpos: np.ndarray, size: tuple[int, int]) -> list[Frame]:
    """A picture of ``size`` (width, height) of each of the positions ``qpos`` (K, nq), seen by the camera ``track``.

    Raises:
        VideoError: no OpenGL library.
    """
    with offscreen(model, size) as picture:
        cameras = views(model, qpos, FPS, "track", size)
        return [picture(place, camera) for place, camera in zip(qpos, cameras, strict=True)]


def imitates(env: Any) -> bool:
    """Whether ``env`` is a task with a body and motions that it may be compared with, as HumanoidAMP is."""
    return isinstance(getattr(env, "body", None), Articulation) and isinstance(getattr(env, "motions", None), MotionLib)


def clip_in_step(env: Any, qpos: np.ndarray, begins: np.ndarray, fps: float) -> np.ndarray:
    """``qpos`` (K, nq) of the motion beside that of a policy in ``env``, which :func:`imitates`.

    Where an episode begins, the motion begins with the pose that is nearest to the policy's, and goes on at its own
    speed; after its end it goes on from its start, in the place where it has come to.

    Args:
        env: the task.
        qpos: (K, nq) positions of the policy.
        begins: frames in which an episode begins; the first is 0.
        fps: of ``qpos``, hertz.
    """
    first = torch.tensor(qpos[begins], dtype=torch.float32, device=env.device)
    seen = seen_from_root(env.body.pose(first, env.body.local_rotations(first)))
    clips = env.reference_positions()
    nearest = pose_distances(seen, torch.cat(clips)).argmin(dim=1)
    lengths = torch.tensor([len(clip) for clip in clips], device=env.device)
    ends = lengths.cumsum(0)
    motion = torch.searchsorted(ends, nearest, right=True)
    started = (nearest - (ends - lengths)[motion]) * env.dt

    frames = torch.arange(len(qpos), device=env.device)
    since = torch.tensor(begins, device=env.device)
    episode = torch.searchsorted(since, frames, right=True) - 1
    motion, times = motion[episode], started[episode] + (frames - since[episode]) / fps
    length = env.motions.lengths[motion]
    laps = (times / length).floor()
    result = env.body.coordinates(env.motions.state(motion, times - laps * length))[0]
    lap = env.motions.state(motion, length).root_position - env.motions.state(motion, 0 * length).root_position
    result[:, :2] += laps.unsqueeze(1) * lap[:, :2]
    return result.double().cpu().numpy()


def strip_beside(video: Path) -> Path:
    """A strip of the first seconds of a ``video`` of motion and policy, the motion above, in half its size.

    Returns:
        Its path, a PNG beside the video.

    Raises:
        VideoError: the packages of the ``media`` extra are missing.
    """
    frames = read_video(video)[: round(STRIP_SECONDS * frame_rate(video)) + 1]
    chosen = [frames[i] for i in np.linspace(0, len(frames) - 1, COLUMNS).round().astype(int)]
    height, width, _ = chosen[0].shape
    small = [frame.reshape(height // 2, 2, 2, width // 4, 2, 3).mean(axis=(1, 4)).astype(np.uint8) for frame in chosen]
    rows = [frame[:, side] for side in (0, 1) for frame in small]
    return contact_sheet(rows, video.with_suffix(".png"), count=len(rows), columns=COLUMNS)
