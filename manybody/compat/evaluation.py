"""Evaluation beside a training: new checkpoints in a folder are played as they appear (RL Games 1.6.5)."""

import os
import time
from pathlib import Path
from typing import Any

from manybody.engine.checkpoint import CheckpointError
from manybody.engine.console import say, warn

POLL = 1.0
"""Seconds between two looks into the folder."""


class CheckpointWatch:
    """What a player needs to follow a training: ``player.evaluation`` and ``player.dir_to_monitor``.

    The folder is looked at every ``update_checkpoint_freq`` steps; RL Games has a thread and a package for it.
    """

    def watch_checkpoints(self, player_config: Any) -> None:
        """Take the settings; files that are already there count as new."""
        self.evaluation: bool = player_config.get("evaluation", False)
        self.update_checkpoint_freq: int = player_config.get("update_checkpoint_freq", 100)
        self.dir_to_monitor: str | None = player_config.get("dir_to_monitor")
        self.checkpoint_to_load: str | None = None
        self._seen: tuple[int, str] = (0, "")

    def restore(self, fn: str) -> None:
        """Load the policy from the checkpoint file ``fn``."""
        raise NotImplementedError(f"{type(self).__name__} does not say how it is restored; write restore(fn)")

    def process_new_eval_checkpoint(self, path: str) -> None:
        """Note that ``path`` is to be played from the next look on."""
        self.checkpoint_to_load = path

    def on_file_created(self, event: Any) -> None:
        """For a client's own watcher of files: ``event.src_path`` is new."""
        self.process_new_eval_checkpoint(event.src_path)

    on_file_modified = on_file_created

    def wait_for_checkpoint(self) -> None:
        """Come back when there is a checkpoint to play; at once for a player that does not follow a training."""
        if not self.evaluation or self.dir_to_monitor is None:
            return
        self._look()
        if self.checkpoint_to_load is None:
            say(f"Evaluation: waiting for a checkpoint in {self.dir_to_monitor}")
        while self.checkpoint_to_load is None:
            time.sleep(POLL)
            self._look()
        say(f"Checkpoint {self.checkpoint_to_load} is available!")

    def maybe_load_new_checkpoint(self) -> None:
        """Go on with the newest checkpoint, if there is a new one; one that cannot be played is told and left out."""
        self._look()
        path, self.checkpoint_to_load = self.checkpoint_to_load, None
        if path is None:
            return
        say(f"Evaluation: loading new checkpoint {path}...")
        try:
            self.restore(path)
        except CheckpointError as error:
            warn(f"evaluation goes on with the policy that it has: {error}")

    def _look(self) -> None:
        """Note the newest file, if it is newer than all before; training replaces whole files, so none is half."""
        if self.dir_to_monitor is None:
            return
        files = [(os.stat(path).st_mtime_ns, str(path)) for path in Path(self.dir_to_monitor).glob("*.pth")]
        newest = max(files, default=self._seen)
        if newest > self._seen:
            self._seen = newest
            self.process_new_eval_checkpoint(newest[1])
