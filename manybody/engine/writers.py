"""Log scalars to TensorBoard event files and to ``metrics.jsonl``."""

import contextlib
import json
import math
import os
import socket
import time
from collections.abc import Callable
from typing import Any, SupportsFloat

from manybody.engine import console
from manybody.engine.run_folder import RunFolder


class Writer:
    """Writes ``summaries/`` (TensorBoard) and ``metrics.jsonl`` of a run folder; without a folder, it does nothing.

    The first disk error of each is reported as a warning.
    """

    def __init__(self, folder: RunFolder | None) -> None:
        self.log_dir = str(folder.summaries) if folder else ""
        self._metrics = _MetricsFile(folder.metrics_file) if folder else None
        self._events = _EventFile(self.log_dir) if folder else None
        self._epoch: dict[str, float | None] = {}
        self._broken: set[str] = set()

    def add_scalar(self, tag: str, value: SupportsFloat, step: float) -> None:
        """Record a number under ``tag``.

        Args:
            tag: RL Games' name, e.g. ``losses/a_loss``.
            value: a number or a tensor with one element.
            step: frame, epoch (``…/iter``) or seconds (``…/time``).
        """
        if self._events is not None:
            number = float(value)
            self._epoch[tag] = number if math.isfinite(number) else None
            self._try("TensorBoard", self._events.add, tag, number, step)

    def end_epoch(self, epoch: int, frame: int, time: float) -> None:
        """Append a line with ``epoch``, ``frame``, ``time`` (s) and tags; replace lines of this and later epochs."""
        if self._metrics is not None:
            line = {"epoch": epoch, "frame": frame, "time": time, **self._epoch}
            self._try("metrics.jsonl", self._metrics.append, line)
            self._epoch = {}
            self.flush()

    def flush(self) -> None:
        """Write buffers to the files."""
        if self._events is not None:
            self._try("TensorBoard", self._events.flush)

    def close(self) -> None:
        """Close the files."""
        if self._events is not None:
            self._try("TensorBoard", self._events.close)

    def _try(self, what: str, write: Callable[..., None], *arguments: object) -> None:
        try:
            write(*arguments)
        except OSError as error:
            if what not in self._broken:
                console.warn(
                    f"{what}: cannot write in '{os.path.dirname(self.log_dir)}' ({error.strerror or error}). "
                    "Training continues; the missing values are not written later."
                )
            self._broken.add(what)


class _MetricsFile:
    """``metrics.jsonl``: one line per epoch, in order, also after crashes and resumes."""

    def __init__(self, path: os.PathLike) -> None:
        self.path = path
        self._last_epoch: int | None = None

    def append(self, line: dict[str, Any]) -> None:
        """Append ``line`` in one write, so that no reader or crash sees part of a line."""
        if self._last_epoch is None or line["epoch"] <= self._last_epoch:
            self._drop_from(line["epoch"])
        data = (json.dumps(line, allow_nan=False) + "\n").encode()
        file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            start = os.fstat(file).st_size
            if os.write(file, data) != len(data):  # the disk is full
                os.ftruncate(file, start)
                raise OSError(28, "No space left on device")
        finally:
            os.close(file)
        self._last_epoch = line["epoch"]

    def _drop_from(self, epoch: int) -> None:
        """Truncate the file before the first line that is incomplete, or of ``epoch`` or later."""
        with contextlib.suppress(FileNotFoundError), open(self.path, "r+b") as file:
            good = 0
            with contextlib.suppress(ValueError, KeyError, TypeError):
                for line in file:
                    if not line.endswith(b"\n") or json.loads(line)["epoch"] >= epoch:
                        break
                    good += len(line)
            file.truncate(good)


class _EventFile:
    """A TensorBoard event file, created with the first number.

    Writes synchronously: tensorboard's background thread does not survive a failed write.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._records: Any = None

    def add(self, tag: str, number: float, step: float) -> None:
        """Append one number."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.summary.writer.record_writer import RecordWriter

        if self._records is None:
            os.makedirs(self.folder, exist_ok=True)
            stamp = f"{int(time.time())}.{socket.gethostname()}.{os.getpid()}.{time.monotonic_ns()}"
            file = open(os.path.join(self.folder, f"events.out.tfevents.{stamp}"), "ab")  # noqa: SIM115
            self._records = RecordWriter(file)
            self._records.write(Event(wall_time=time.time(), file_version="brain.Event:2").SerializeToString())
        event = Event(wall_time=time.time(), step=int(step))
        event.summary.value.add(tag=tag, simple_value=number)
        self._records.write(event.SerializeToString())

    def flush(self) -> None:
        """Write the buffer to the file."""
        if self._records is not None:
            self._records.flush()

    def close(self) -> None:
        """Close the file; a later ``add`` opens another."""
        if self._records is not None:
            records, self._records = self._records, None
            records.close()
