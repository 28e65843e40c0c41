"""Machine, versions, peak memory and a time limit for benchmarks."""

import os
import platform
import resource
import sys
import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from statistics import fmean
from typing import Any

from manybody.engine.observers import AlgoObserver

PACKAGES = ("manybody", "torch", "mujoco", "numpy", "rl-games")
MEMORY = "performance/peak_memory"
"""Tag of the process's peak resident memory in MiB."""


def machine() -> str:
    """Return the CPU, its usable cores, the load before the measurement, and the versions of packages."""
    load = os.getloadavg()[0]
    return f"{_cpu()}, {cores()} cores, load {load:.2f} before; {versions()}; {time.strftime('%Y-%m-%d')}"


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def versions() -> str:
    """Return the versions of Python and of the packages in ``PACKAGES``."""
    found = [f"Python {platform.python_version()}"]
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


def mebibytes(maxrss: int) -> float:
    """Convert ``ru_maxrss`` to MiB; its unit is KiB on Linux and bytes on macOS. It includes the parent's peak."""
    return maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def table(columns: list[str], rows: list[list[str]]) -> str:
    """Return a markdown table; the first column is left-aligned, the others right-aligned."""
    widths = [max(len(row[i]) for row in [columns, *rows]) for i in range(len(columns))]

    def line(cells: list[str]) -> str:
        first, *rest = zip(cells, widths, strict=True)
        return " | ".join(["| " + first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)]) + " |"

    rule = "|".join(["", "-" * (widths[0] + 2), *("-" * (width + 1) + ":" for width in widths[1:]), ""])
    return "\n".join([line(columns), rule, *map(line, rows)])


def mean_and_range(values: Sequence[float], places: int) -> str:
    """Return the mean and, for several values, the lowest and the highest."""
    limits = f" ({min(values):,.{places}f} .. {max(values):,.{places}f})" if len(values) > 1 else ""
    return f"{fmean(values):,.{places}f}{limits}"


def _cpu() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


class Recorder(AlgoObserver):
    """Log the peak memory of every epoch and stop training at a time limit; works with both libraries.

    Args:
        seconds_limit: training stops after the first epoch that ends later than this after the agent was built.
    """

    def __init__(self, seconds_limit: float = float("inf")) -> None:
        self.seconds_limit = seconds_limit

    def after_init(self, algo: Any) -> None:
        """Start the clock."""
        self.algo = algo
        self.start = time.perf_counter()

    def after_print_stats(self, frame: int, epoch_num: int, total_time: float) -> None:
        """Log the peak memory; make this epoch the last one after the time limit."""
        self.algo.writer.add_scalar(MEMORY, mebibytes(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss), frame)
        if time.perf_counter() - self.start > self.seconds_limit:
            self.algo.max_epochs = epoch_num
