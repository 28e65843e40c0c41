"""``capture_video=True``: films environment 0 now and then while training goes on."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from manybody.engine.console import warn
from manybody.engine.observers import AlgoObserver
from manybody.media.video import record_in_subprocess
from manybody.tasks import MujocoTask


class VideoObserver(AlgoObserver):
    """Films ``length`` environment steps after every ``frequency`` of them, into the run's ``videos/``.

    Positions are copied while training, pictures are rendered by another process.

    Args:
        frequency: environment steps from the start of one video to the start of the next.
        length: environment steps in a video.
        camera: a camera of the task's model; None: the default one.
    """

    def __init__(self, frequency: int, length: int, camera: str | None = None) -> None:
        self.camera = camera or "track"
        self.frequency = frequency
        self.length = length
        self.steps = 0
        self.qpos: list[np.ndarray] = []
        self.threads: list[threading.Thread] = []

    def after_init(self, algo: Any) -> None:
        """Find the robot to film."""
        self.env = algo.vec_env
        self.folder: Path | None = algo.run.folder.videos if algo.run.folder else None
        if not isinstance(self.env, MujocoTask):
            warn(f"capture_video: {type(self.env).__name__} is not a MuJoCo task; nothing is filmed")
            self.folder = None

    def process_infos(self, infos: dict[str, Any], done_indices: Tensor) -> None:
        """Keep a position, or hand a full clip over."""
        position, self.steps = self.steps % self.frequency, self.steps + 1
        if self.folder is None or position >= self.length:
            return
        self.qpos.append(self.env.sim.qpos[0].double().cpu().numpy())  # one row, only while filming
        if position == min(self.length, self.frequency) - 1:
            self._render(self.folder / f"step_{self.steps - len(self.qpos)}.mp4")

    def _render(self, path: Path) -> None:
        """Start the rendering in the background; a process that is still busy delays nobody."""
        clip, self.qpos = np.stack(self.qpos), []
        job = threading.Thread(
            target=record_in_subprocess,
            args=(self.env.sim.model, clip, path, 1.0 / self.env.dt),
            kwargs={"report": warn, "camera": self.camera},
        )
        job.start()
        self.threads = [*(thread for thread in self.threads if thread.is_alive()), job]
