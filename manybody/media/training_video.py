"""``capture_video=True``: record environment 0 at intervals during training."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor
from typing_extensions import override

from manybody.engine.console import warn
from manybody.engine.observers import AlgoObserver
from manybody.media.video import record_in_subprocess
from manybody.tasks import MujocoTask


class VideoObserver(AlgoObserver):
    """Records ``length`` of every ``frequency`` environment steps to the run's ``videos/``.

    Positions are copied during training; another process renders them.

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

    @override
    def after_init(self, algo: Any) -> None:
        self.env = algo.vec_env
        self.folder: Path | None = algo.run.folder.videos if algo.run.folder else None
        if not isinstance(self.env, MujocoTask):
            warn(f"capture_video: {type(self.env).__name__} is not a MuJoCo task; nothing is filmed")
            self.folder = None

    @override
    def process_infos(self, infos: dict[str, Any], done_indices: Tensor) -> None:
        position, self.steps = self.steps % self.frequency, self.steps + 1
        if self.folder is None or position >= self.length:
            return
        self.qpos.append(self.env.sim.qpos[0].double().cpu().numpy())  # one row, only while filming
        if position == min(self.length, self.frequency) - 1:
            path = self.folder / f"step_{self.steps - len(self.qpos)}.mp4"
            clip, self.qpos = np.stack(self.qpos), []
            job = threading.Thread(target=self._render, args=(clip, path))  # rendering must not delay training
            job.start()
            self.threads = [*(thread for thread in self.threads if thread.is_alive()), job]

    def _render(self, clip: np.ndarray, path: Path) -> None:
        try:
            record_in_subprocess(self.env.sim.model, clip, path, 1.0 / self.env.dt, camera=self.camera)
        except Exception as error:  # must not end training
            warn(f"no video: {error}")
