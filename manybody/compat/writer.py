"""A run's writer with all methods of TensorBoard's ``SummaryWriter``, which RL Games' clients call."""

from typing import Any

import numpy as np
import torch
from typing_extensions import override

from manybody.engine.writers import Writer


class LegacyWriter(Writer):
    """Writes scalars with the run's writer, and everything else with a ``SummaryWriter`` in the same folder."""

    def __init__(self, writer: Any) -> None:
        self._writer = writer
        self.log_dir: str = writer.log_dir
        self._others: Any = None

    @override
    def add_scalar(self, tag: str, value: Any = None, step: Any = None, *_: Any, **named: Any) -> None:
        """Write one number at ``step`` (default 0). TensorBoard calls the two ``scalar_value`` and ``global_step``."""
        number, at = named.get("scalar_value", value), named.get("global_step", step)
        if isinstance(number, torch.Tensor):
            number = number.detach()
        elif not isinstance(number, int | float):
            number = np.asarray(number).item()
        self._writer.add_scalar(tag, number, float(at or 0))

    @override
    def end_epoch(self, epoch: int, frame: int, time: float) -> None:
        self._writer.end_epoch(epoch, frame, time)

    @override
    def flush(self) -> None:
        self._writer.flush()
        if self._others is not None:
            self._others.flush()

    @override
    def close(self) -> None:
        self._writer.close()
        if self._others is not None:
            self._others.close()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or not self.log_dir:
            raise AttributeError(name)
        if self._others is None:
            from torch.utils.tensorboard import SummaryWriter

            self._others = SummaryWriter(self.log_dir)
        return getattr(self._others, name)
