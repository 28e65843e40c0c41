"""Tasks as environments: every task is an ``env_name``."""

from contextlib import suppress
from functools import partial
from typing import Any

from manybody import tasks
from manybody.envs.base import VecEnv
from manybody.envs.registration import LIBRARIES, creator_of, register, registered


def register_tasks(params: object = None) -> None:
    """Register every known task as an environment, except under a name that a user registered.

    Args:
        params: the settings of a run; if ``env_name`` is ``module:Class``, this task is imported first.
    """
    config: Any = params.get("config") if hasattr(params, "get") else None
    env_name = config.get("env_name") if hasattr(config, "get") else None
    if isinstance(env_name, str) and ":" in env_name and env_name.partition(":")[0] not in LIBRARIES:
        with suppress(ValueError):  # Gymnasium's ids may have a colon too
            tasks.task_class(env_name)
    for name in tasks.TASKS:
        if name not in registered():
            register(name, partial(_make_task, name))


def registered_task(env_name: str) -> type[tasks.MujocoTask] | None:
    """Return the task registered as the environment ``env_name``; None if it is not a task."""
    maker = creator_of(env_name)
    return tasks.TASKS[env_name] if getattr(maker, "func", None) is _make_task else None


def _make_task(
    task: str,
    num_actors: int,
    seed: int = 0,
    sim_device: str = "cpu",
    num_threads: int | None = None,
    **cfg: object,
) -> VecEnv:
    return tasks.make(task, num_actors, sim_device, seed, cfg, num_threads)
