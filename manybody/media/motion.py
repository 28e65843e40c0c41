"""Render motion clips, record a policy's motion as a clip, and show a policy next to the clip that it imitates."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from manybody.algos.player import BasePlayer
from manybody.config.files import expanded, write_whole
from manybody.envs.base import Step
from manybody.media.renderer import Frame, offscreen, views
from manybody.media.video import frame_rate, media_package, read_video, render_video
from manybody.motion.clip import Clip
from manybody.motion.errors import MotionError
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
    """Load the model of HumanoidAMP, and its bodies and joints."""
    model = mujoco.MjModel.from_xml_path(str(ASSETS / HumanoidAMP.asset))
    return model, Articulation(model, torch.device("cpu"))


def poses(clip: Clip, body: Articulation, times: np.ndarray) -> np.ndarray:
    """Return ``qpos`` (K, nq) of ``body`` in ``clip`` at ``times`` (K,) s.

    Raises:
        MotionError: the clip has other bodies, or no offsets.
    """
    motions = MotionLib([clip])
    motions.check_skeleton(body.body_names, body.parents)
    state = motions.state(torch.zeros(len(times), dtype=torch.long), torch.tensor(times, dtype=torch.float32))
    return body.coordinates(state)[0].double().numpy()


def film_clip(clip: Clip, path: Path, title: str) -> Path:
    """Write a video of ``clip``, of the humanoid's bodies, to the mp4 ``path``.

    Raises:
        VideoError: there is no OpenGL library or no video encoder.
    """
    model, body = humanoid()
    times = np.arange(0, clip.length, 1 / FPS)
    return render_video(model, poses(clip, body, times), path, FPS, title=title)


def draw_clip(clip: Clip, path: Path, frames: int) -> Path:
    """Write a strip of ``frames`` evenly spaced frames of ``clip``, of the humanoid's bodies, to the PNG ``path``.

    Raises:
        VideoError: there is no OpenGL library, or Pillow is missing.
    """
    model, body = humanoid()
    qpos = poses(clip, body, np.linspace(0, clip.length, frames))
    with offscreen(model, TILE) as draw:
        pictures = [draw(*pose) for pose in zip(qpos, views(model, qpos, FPS, "track", TILE), strict=True)]
    return contact_sheet(pictures, path, frames)


def record_motion(player: BasePlayer, seconds: float, licence: str) -> Clip:
    """Play in environment 0 and return its motion as a clip of at most ``seconds``, until the first episode there ends.

    The player's task has an :class:`~manybody.tasks.articulation.Articulation` as its ``body``.

    Raises:
        MotionError: the task has no such body, or the episode ended at once.
    """
    env: Any = player.env
    body = getattr(env, "body", None)
    if not isinstance(body, Articulation):
        expected = "a task whose body has ball joints and hinges, such as HumanoidAMP"
        raise MotionError("task", type(env).__name__, expected)
    frames: list[Tensor] = []

    def watch(step: Step) -> bool:
        if bool(step.done[0]):  # the simulator is already in the next episode
            return True
        frames.append(env.sim.qpos[0].clone())
        return len(frames) > seconds / env.dt

    player.run(on_step=watch, quiet=True)
    if len(frames) < 2:
        raise MotionError("policy", "an episode that ended at once", "one of two steps or more", "Train longer.")
    qpos = torch.stack(frames)
    offsets = body.offsets.clone()
    offsets[0] = 0.0
    return Clip(
        fps=1 / env.dt,
        body_names=body.body_names,
        parents=body.parents,
        local_rotations=body.local_rotations(qpos).cpu().numpy(),
        root_translation=qpos[:, :3].cpu().numpy(),
        licence=licence,
        offsets=offsets.cpu().numpy(),
    )


def imitates(env: object) -> bool:
    """Return whether ``env`` is a task with a body and reference motions, such as HumanoidAMP."""
    return isinstance(getattr(env, "body", None), Articulation) and isinstance(getattr(env, "motions", None), MotionLib)


def clip_in_step(env: Any, qpos: np.ndarray, starts: np.ndarray, fps: float) -> np.ndarray:
    """Return the ``qpos`` (K, nq) of the motion to show next to a policy's.

    At the start of an episode, the motion starts at the pose that is nearest to the policy's. It continues at its speed
    and repeats from the position that it has reached.

    Args:
        env: a task that :func:`imitates`.
        qpos: (K, nq) positions of the policy.
        starts: frames in which an episode starts; the first is 0.
        fps: frames per second of ``qpos``.
    """
    first = torch.tensor(qpos[starts], dtype=torch.float32, device=env.device)
    seen = seen_from_root(env.body.pose(first, env.body.local_rotations(first)))
    clips = env.reference_positions()
    nearest = pose_distances(seen, torch.cat(clips)).argmin(dim=1)
    lengths = torch.tensor([len(clip) for clip in clips], device=env.device)
    ends = lengths.cumsum(0)
    motion = torch.searchsorted(ends, nearest, right=True)
    started = (nearest - (ends - lengths)[motion]) * env.dt

    frames = torch.arange(len(qpos), device=env.device)
    since = torch.tensor(starts, device=env.device)
    episode = torch.searchsorted(since, frames, right=True) - 1
    motion, times = motion[episode], started[episode] + (frames - since[episode]) / fps
    length = env.motions.lengths[motion]
    laps = (times / length).floor()
    result = env.body.coordinates(env.motions.state(motion, times - laps * length))[0]
    lap = env.motions.state(motion, length).root_position - env.motions.state(motion, 0 * length).root_position
    result[:, :2] += laps.unsqueeze(1) * lap[:, :2]
    return result.double().cpu().numpy()


def strip_beside(video: Path) -> Path:
    """Write a strip of the first seconds of a ``video`` of motion and policy, the motion above, in half size.

    Returns:
        The PNG, with the name of the video.

    Raises:
        VideoError: the packages of the ``media`` extra are missing.
    """
    frames = read_video(video)
    last = min(round(STRIP_SECONDS * frame_rate(video)), len(frames) - 1)
    chosen = [frames[i] for i in np.linspace(0, last, COLUMNS).round().astype(int)]
    height, width, _ = chosen[0].shape
    small = [frame.reshape(height // 2, 2, 2, width // 4, 2, 3).mean(axis=(1, 4)).astype(np.uint8) for frame in chosen]
    return contact_sheet([frame[:, side] for side in (0, 1) for frame in small], video.with_suffix(".png"), COLUMNS)


def contact_sheet(frames: Sequence[Frame], path: str | Path, columns: int) -> Path:
    """Write ``frames`` as one PNG, row by row, with ``columns`` frames per row.

    Raises:
        VideoError: the packages of the ``media`` extra are missing.
    """
    rows = [np.concatenate(frames[i : i + columns], axis=1) for i in range(0, len(frames), columns)]
    image = media_package("PIL.Image").fromarray(np.concatenate(rows))
    target = Path(expanded(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    write_whole(target, lambda file: image.save(file, format="PNG"))
    return target
