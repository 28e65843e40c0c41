"""A writer that writes fewer scalars, for runs of many days."""

import time
from collections.abc import Mapping
from typing import Any


class IntervalSummaryWriter:
    """Writes a tag again only after an interval: 1/200 of the run so far, within the limits of ``cfg``.

    Args:
        summary_writer: receives the remaining scalars, and everything else.
        cfg: in seconds: ``defer_summaries_sec`` (5), before which nothing is written, and the limits
            ``summaries_interval_sec_min`` (5) and ``summaries_interval_sec_max`` (300).
    """

    def __init__(self, summary_writer: Any, cfg: Mapping[str, Any]) -> None:
        self.experiment_start = time.time()
        self.defer_summaries_sec = cfg.get("defer_summaries_sec", 5)
        self.interval_sec_min = cfg.get("summaries_interval_sec_min", 5)
        self.interval_sec_max = cfg.get("summaries_interval_sec_max", 300)
        self.last_interval = self.interval_sec_min
        self.summaries_relative_step = 1.0 / 200
        self.writer = summary_writer
        self.last_write_for_tag: dict[str, float] = {}

    def _calc_interval(self) -> float:
        """Return the seconds between two values of one tag; at its limit it stays constant."""
        if self.last_interval < self.interval_sec_max:
            share = (time.time() - self.experiment_start) * self.summaries_relative_step
            self.last_interval = max(self.interval_sec_min, min(share, self.interval_sec_max))
        return self.last_interval

    def add_scalar(self, tag: str, value: Any, step: Any, *args: Any, **kwargs: Any) -> None:
        """Write a value if the interval has passed; never at step 0."""
        now = time.time()
        if step == 0 or now - self.experiment_start < self.defer_summaries_sec:
            return
        if now - self.last_write_for_tag.get(tag, 0) >= self._calc_interval():
            self.writer.add_scalar(tag, value, step, *args, **kwargs)
            self.last_write_for_tag[tag] = now

    def __getattr__(self, attr: str) -> Any:
        if attr == "writer":  # not yet set
            raise AttributeError(attr)
        return getattr(self.writer, attr)
