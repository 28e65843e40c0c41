"""Environment steps per second of the physics alone and of whole task steps.

    python benchmarks/physics.py Ant Humanoid [--num-envs 4096] [--seconds 6]

Random actions, uniform in [-1, 1]; environments that end are reset, outside the clock for the physics alone.
Spread: the slowest and fastest tenth of the steps. Measure on a machine that does nothing else: one busy core
of two halves the figures.
"""

import argparse
import time

import numpy as np
import torch
from recording import machine

from manybody.tasks import TASKS, make
from manybody.tasks.base import MujocoTask

WARM_UP_STEPS = 50
"""Steps after which the environments have spread over their episodes' beginnings."""


def measure(task: MujocoTask, seconds: float) -> tuple[np.ndarray, np.ndarray]:
    """Seconds of each step's physics, and of each whole step."""
    actions = 2 * torch.rand(20, task.num_envs, task.num_actions) - 1
    physics: list[float] = []
    step_physics = task.sim.step

    def timed(substeps: int) -> None:
        began = time.perf_counter()
        step_physics(substeps)
        physics.append(time.perf_counter() - began)

    task.sim.step = timed
    whole: list[float] = []
    deadline = None
    index = 0
    while deadline is None or time.perf_counter() < deadline:
        began = time.perf_counter()
        task.step(actions[index % len(actions)])
        whole.append(time.perf_counter() - began)
        index += 1
        if index == WARM_UP_STEPS:
            deadline = time.perf_counter() + seconds
    return np.array(physics[WARM_UP_STEPS:]), np.array(whole[WARM_UP_STEPS:])


def rate(num_envs: int, times: np.ndarray) -> str:
    slow, fast = num_envs / np.quantile(times, [0.9, 0.1])
    return f"{num_envs / times.mean():>9,.0f}  ({slow:,.0f} .. {fast:,.0f})"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tasks", nargs="*", default=["Ant", "Humanoid"], help=f"of {', '.join(TASKS)}")
    parser.add_argument("--num-envs", type=int, default=4096)
    parser.add_argument("--seconds", type=float, default=6.0, help="measured time per task")
    options = parser.parse_args()
    print(machine())
    for name in options.tasks:
        task = make(name, options.num_envs)
        physics, whole = measure(task, options.seconds)
        print(
            f"{name}, {options.num_envs} environments, {len(whole)} steps: environment steps/s (p10 .. p90)"
        )
        print(f"  physics alone     {rate(options.num_envs, physics)}")
        print(f"  whole task step   {rate(options.num_envs, whole)}")
        print(f"  task's own share  {1e3 * (np.median(whole - physics)):>9.2f} ms per step (median)")
        task.close()


if __name__ == "__main__":
    main()
