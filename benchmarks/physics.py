"""Environment steps per second: physics alone, physics inside task steps, and whole task steps.

    python benchmarks/physics.py Ant Humanoid [--num-envs 4096] [--seconds 6]

Actions are random, uniform in [-1, 1]. For physics alone, the only other work is the reset of robots below the task's
terminationHeight, which is not timed. A rate is the number of steps divided by the total time; the table adds the
rates of the median step and of the slowest and fastest tenth. Measure on an idle machine: one busy core of two halves
the rates.
"""

import argparse
import time

import numpy as np
import torch
from recording import machine

from manybody.tasks import TASKS, make
from manybody.tasks.base import MujocoTask

WARM_UP_STEPS = 50
"""Number of first steps that are not measured, until the environments are in different steps of their episodes."""


def random_actions(task: MujocoTask) -> torch.Tensor:
    """Return twenty batches of actions (20, N, A)."""
    return 2 * torch.rand(20, task.num_envs, task.num_actions) - 1


def physics_alone(task: MujocoTask, seconds: float) -> np.ndarray:
    """Return the seconds of each physics step."""
    actions = random_actions(task)
    substeps = task.cfg.sim.substeps * task.cfg.env.controlFrequencyInv
    height = getattr(task.cfg.env, "terminationHeight", None)
    times: list[float] = []
    while len(times) < WARM_UP_STEPS or sum(times[WARM_UP_STEPS:]) < seconds:
        task.pre_physics_step(actions[len(times) % len(actions)])
        start = time.perf_counter()
        task.sim.step(substeps)
        times.append(time.perf_counter() - start)
        ended = ~task.sim.finite
        if height is not None:
            ended |= task.sim.qpos[:, 2] < height
        task.reset_where(ended)
    return np.array(times[WARM_UP_STEPS:])


def inside_task(task: MujocoTask, seconds: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the seconds of the physics in each step, and of each whole step."""
    actions = random_actions(task)
    physics: list[float] = []
    step_physics = task.sim.step

    def timed(substeps: int) -> None:
        start = time.perf_counter()
        step_physics(substeps)
        physics.append(time.perf_counter() - start)

    task.sim.step = timed
    whole: list[float] = []
    while len(whole) < WARM_UP_STEPS or sum(whole[WARM_UP_STEPS:]) < seconds:
        start = time.perf_counter()
        task.step(actions[len(whole) % len(actions)])
        whole.append(time.perf_counter() - start)
    return np.array(physics[WARM_UP_STEPS:]), np.array(whole[WARM_UP_STEPS:])


def rate(num_envs: int, times: np.ndarray) -> str:
    slow, median, fast = num_envs / np.quantile(times, [0.9, 0.5, 0.1])
    return f"{num_envs / times.mean():>9,.0f}  (median {median:,.0f}; {slow:,.0f} .. {fast:,.0f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="*", default=["Ant", "Humanoid"], help=f"tasks: {', '.join(TASKS)}")
    parser.add_argument("--num-envs", type=int, default=4096)
    parser.add_argument("--seconds", type=float, default=6.0, help="measured time per task")
    options = parser.parse_args()
    print(machine())
    for name in options.tasks:
        task = make(name, options.num_envs)
        alone = physics_alone(task, options.seconds)
        task.reset()
        physics, whole = inside_task(task, options.seconds)
        print(f"{name}, {options.num_envs} environments: environment steps/s (median; p10 .. p90)")
        print(f"  physics alone           {rate(options.num_envs, alone)}")
        print(f"  physics in task steps   {rate(options.num_envs, physics)}")
        print(f"  whole task steps        {rate(options.num_envs, whole)}")
        print(f"  task's own share        {1e3 * (np.median(whole - physics)):>9.2f} ms per step (median)")
        task.close()


if __name__ == "__main__":
    main()
